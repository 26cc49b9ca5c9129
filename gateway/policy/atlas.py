"""What is known about IP addresses: places and networks out of MaxMind databases, categories (TP 6.1, TP-130, TP-131).

``open_atlas`` reads the files that the settings name. The package ``maxminddb`` is an optional part of the
installation: without it, naming a database is an error that says so. A database is mapped into memory, so a new version
has to be put in its place by renaming, as MaxMind's own updater does; a reload (SIGHUP) opens what is there then.

Invariants
    1. A lookup never fails: what has no entry, or is no address, has ``''``, 0 and false everywhere (TP-131).
    2. Nothing is read from a file that is not what its setting says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.cel.conversions import to_string
from gateway.cel.env import BOOL, INT, STRING, CelType, object_of
from gateway.policy.categories import load_categories
from gateway.problems import Problems

if TYPE_CHECKING:
    from gateway.settings.model import GeoipSettings

#: error: a database that cannot be used
DATABASE_CODE = "ERR_TP_GEOIP"
#: addresses whose entries are remembered, for each kind of entry
_REMEMBERED = 4_096
#: words in the type that a database calls itself by
_CITY_TYPES = ("City", "Enterprise", "Insights")
_ASN_TYPES = ("ASN", "ISP", "Enterprise")

#: address → its entry; empty if there is none
Lookup = Callable[[str], Mapping[str, Any]]


def _texts(*names: str) -> dict[str, CelType]:
    return dict.fromkeys(names, STRING)


class RegisteredLocation:
    """``conn.client_ip.geo.registered_location``: the country that the network is registered in."""

    __slots__ = ("city", "continent", "country", "country_code", "is_eu", "metro_code", "subdivision", "timezone")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        **_texts("city", "continent", "country", "country_code", "metro_code", "subdivision", "timezone"),
        "is_eu": BOOL,
    }  # fmt: skip

    def __init__(self, entry: Mapping[str, Any], country: str = "registered_country") -> None:
        self.country = _text(entry, country, "names", "en")
        self.country_code = _text(entry, country, "iso_code")
        self.is_eu = _value(entry, country, "is_in_european_union") is True
        # the databases know no more about a registration
        self.city = self.continent = self.metro_code = self.subdivision = self.timezone = ""


class Location(RegisteredLocation):
    """``conn.client_ip.geo.location`` and ``conn.geo``: where the address is used.

    Names are in English, ``subdivision`` is the largest part of the country, ``radius`` is in kilometres.
    """

    __slots__ = ("latitude", "longitude", "postal_code", "radius")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        **RegisteredLocation.__cel__, **_texts("latitude", "longitude", "postal_code", "radius")
    }  # fmt: skip

    def __init__(self, entry: Mapping[str, Any]) -> None:
        super().__init__(entry, "country")
        self.city = _text(entry, "city", "names", "en")
        self.continent = _text(entry, "continent", "names", "en")
        self.postal_code = _text(entry, "postal", "code")
        self.timezone = _text(entry, "location", "time_zone")
        self.metro_code = _text(entry, "location", "metro_code")
        self.latitude = _text(entry, "location", "latitude")
        self.longitude = _text(entry, "location", "longitude")
        self.radius = _text(entry, "location", "accuracy_radius")
        parts = entry.get("subdivisions")
        self.subdivision = _text(parts[0], "names", "en") if isinstance(parts, list) and parts else ""


class Geo:
    """``conn.client_ip.geo``."""

    __slots__ = ("location", "registered_location")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "location": object_of(Location), "registered_location": object_of(RegisteredLocation),
    }  # fmt: skip

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.location = Location(entry)
        self.registered_location = RegisteredLocation(entry)


class AutonomousSystem:
    """``conn.client_ip.as``: who runs the network."""

    __slots__ = ("number", "organization")
    __cel__: ClassVar[Mapping[str, CelType]] = {"number": INT, "organization": STRING}

    def __init__(self, entry: Mapping[str, Any]) -> None:
        number = entry.get("autonomous_system_number")
        self.number = number if isinstance(number, int) else 0
        self.organization = _text(entry, "autonomous_system_organization")


class Atlas:
    """The databases and lists of one snapshot. What is not ``available`` is None for every address."""

    def __init__(
        self, city: Lookup | None = None, asn: Lookup | None = None,
        categories: Callable[[str], tuple[str, ...]] | None = None,
    ) -> None:  # fmt: skip
        self.categories: Callable[[str], tuple[str, ...] | None] = categories or (lambda address: None)
        self.geo: Callable[[str], Geo | None] = _remembered(Geo, city)
        self.system: Callable[[str], AutonomousSystem | None] = _remembered(AutonomousSystem, asn)
        #: as in ``PolicyOptions.available``
        provided = (("geo", city), ("asn", asn), ("feed", categories))
        self.available = frozenset(name for name, found in provided if found is not None)


def _remembered(view: Callable[[Mapping[str, Any]], Any], lookup: Lookup | None) -> Callable[[str], Any]:
    if lookup is None:
        return lambda address: None
    return lru_cache(_REMEMBERED)(lambda address: view(lookup(address)))


NO_ATLAS = Atlas()


def open_atlas(settings: GeoipSettings, categories: Path | None = None) -> tuple[Atlas, Problems]:
    """The databases and lists that the settings name, and what is wrong with them. Reads files."""
    problems = Problems("<geoip>")
    city = _open(settings.city_db, "geoip.city_db", _CITY_TYPES, problems)
    asn = _open(settings.asn_db, "geoip.asn_db", _ASN_TYPES, problems)
    return Atlas(city, asn, load_categories(categories, problems) if categories is not None else None), problems


def _open(path: Path | None, setting: str, types: tuple[str, ...], problems: Problems) -> Lookup | None:
    if path is None:
        return None
    try:
        return _lookup(path, types)
    except _UnusableError as error:
        problems.add_error(DATABASE_CODE, f"{setting}: {error}", line=1, column=1)
        return None


class _UnusableError(Exception):
    """A file that cannot serve its setting."""


def _lookup(path: Path, types: tuple[str, ...]) -> Lookup:
    try:
        import maxminddb  # an optional part of the installation
    except ImportError:
        words = "needs the package maxminddb, which is not installed: pip install 'ai-gateway[geoip]'"
        raise _UnusableError(words) from None
    try:
        reader = maxminddb.open_database(path)
    except OSError as error:
        raise _UnusableError(f"{path}: {error.strerror}") from None
    except (ValueError, maxminddb.InvalidDatabaseError):
        raise _UnusableError(f"{path} is no MaxMind database") from None
    kind = reader.metadata().database_type
    if not any(word in kind for word in types):
        raise _UnusableError(f"{path} is a database of type '{kind}', not one of {' or '.join(types)}")

    def lookup(address: str) -> Mapping[str, Any]:
        try:
            entry = reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):  # no address; IPv6 in a database of IPv4; a damaged entry
            return {}
        return entry if isinstance(entry, dict) else {}

    return lookup


def _value(entry: Any, *path: str) -> Any:
    for name in path:
        if not isinstance(entry, dict):
            return None
        entry = entry.get(name)
    return entry


def _text(entry: Any, *path: str) -> str:
    """A member as a string, numbers as TP-115 writes them; ``''`` if there is none."""
    value = _value(entry, *path)
    return to_string(value) if isinstance(value, str | int | float) else ""
