"""Places and autonomous systems out of MaxMind databases: TP 6.1, TP-130, TP-131."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.exchange import Exchange
from gateway.policy.atlas import NO_ATLAS, Atlas, open_atlas
from gateway.policy.model import Phase
from gateway.policy.options import PolicyOptions
from gateway.settings.model import GeoipSettings
from tests.unit.policy.mmdb import write_database
from tests.unit.policy.world import compiled, context, request, run, value_of

BERLIN = {
    "city": {"names": {"en": "Berlin", "de": "Berlin"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "DE", "names": {"en": "Germany"}, "is_in_european_union": True},
    "location": {
        "latitude": 52.5, "longitude": 13.0, "accuracy_radius": 20, "time_zone": "Europe/Berlin", "metro_code": 7,
    },
    "postal": {"code": "10115"},
    "registered_country": {"iso_code": "US", "names": {"en": "United States"}},
    "subdivisions": [{"names": {"en": "Land Berlin"}}, {"names": {"en": "Mitte"}}],
}  # fmt: skip
OPTIONS = context(PolicyOptions(available=frozenset(("geo", "asn"))))


@pytest.fixture
def settings(tmp_path: Path) -> GeoipSettings:
    places = {
        "203.0.113.0/24": BERLIN,
        "2001:db8::/32": {"country": {"iso_code": "FR"}},
        "198.51.100.0/24": "not a map",
    }
    systems = {"203.0.113.0/24": {"autonomous_system_number": 64_500, "autonomous_system_organization": "Example"}}
    return GeoipSettings(
        city_db=write_database(tmp_path / "city.mmdb", "GeoLite2-City", places),
        asn_db=write_database(tmp_path / "asn.mmdb", "GeoLite2-ASN", systems, ip_version=4),
    )


@pytest.fixture
def atlas(settings: GeoipSettings) -> Atlas:
    found, problems = open_atlas(settings)
    assert not problems.failed, str(problems)
    return found


def asked(atlas: Atlas, client_ip: str = "203.0.113.7") -> Exchange:
    exchange = request(client_ip=client_ip)
    exchange.snapshot.atlas = atlas
    return exchange


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("conn.geo.city", "Berlin"),
        ("conn.geo.country", "Germany"),
        ("conn.geo.country_code", "DE"),
        ("conn.geo.latitude", "52.5"),
        ("conn.geo.longitude", "13"),
        ("conn.geo.radius", "20"),
        ("conn.geo.subdivision", "Land Berlin"),
        ("conn.client_ip.geo.location.city", "Berlin"),
        ("conn.client_ip.geo.location.continent", "Europe"),
        ("conn.client_ip.geo.location.is_eu", True),
        ("conn.client_ip.geo.location.metro_code", "7"),
        ("conn.client_ip.geo.location.postal_code", "10115"),
        ("conn.client_ip.geo.location.timezone", "Europe/Berlin"),
        ("conn.client_ip.geo.registered_location.country_code", "US"),
        ("conn.client_ip.geo.registered_location.country", "United States"),
        ("conn.client_ip.geo.registered_location.is_eu", False),
        ("conn.client_ip.geo.registered_location.timezone", ""),
        ("conn.client_ip.as.number", 64_500),
        ("conn.client_ip.as.organization", "Example"),
        ("conn.server_ip.as.number", 0),
        ("conn.server_ip.geo.location.country_code", ""),
        ("conn.client_ip == '203.0.113.7'", True),
    ],
)
@pytest.mark.parametrize("phase", [Phase.TCP, Phase.REQUEST])
def test_members(expression: str, value: Any, phase: Phase, atlas: Atlas) -> None:
    """TP 6.1."""
    found = value_of(expression, asked(atlas), phase, OPTIONS)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("client_ip", ["192.0.2.9", "198.51.100.1", "", "nonsense", "2001:db9::1", "fe80::1%eth0"])
def test_without_an_entry_members_are_empty_tp131(client_ip: str, atlas: Atlas) -> None:
    exchange = asked(atlas, client_ip)
    assert value_of("conn.geo.country_code + conn.geo.city", exchange, with_context=OPTIONS) == ""
    assert value_of("conn.client_ip.geo.location.is_eu", exchange, with_context=OPTIONS) is False
    assert value_of("conn.client_ip.as.number", exchange, with_context=OPTIONS) == 0


def test_the_sixth_version_of_the_protocol(atlas: Atlas) -> None:
    """An entry with few members; no autonomous system, since that database knows only IPv4."""
    exchange = asked(atlas, "2001:db8::1")
    assert value_of("conn.geo.country_code + conn.geo.country", exchange, with_context=OPTIONS) == "FR"
    assert value_of("conn.client_ip.as.number", exchange, with_context=OPTIONS) == 0


def test_rules_by_country_are_indexed(atlas: Atlas) -> None:
    countries = ["AT", "BE", "CH", "CZ", "DE", "DK", "FR", "LU"]
    text = "".join(
        f"- expressions: [\"conn.geo.country_code == '{name}'\"]\n"
        f"  type: set-vars\n  config: {{vars: [{{at: {name}}}]}}\n"
        for name in countries
    )  # fmt: skip
    phase = compiled("on_http_request:\n" + text, with_context=OPTIONS)
    exchange = asked(atlas)
    assert run(phase, exchange) is None
    assert exchange.vars == {"at": "DE"}
    assert phase.index is not None
    assert len(phase.index.possible(exchange.scope)) == 1


def test_nothing_is_known_without_databases() -> None:
    atlas, problems = open_atlas(GeoipSettings())
    assert atlas.available == NO_ATLAS.available == frozenset()
    assert not len(problems)
    assert atlas.geo("203.0.113.7") is None
    assert atlas.system("203.0.113.7") is None


def test_one_database_of_two(settings: GeoipSettings) -> None:
    atlas, _ = open_atlas(GeoipSettings(asn_db=settings.asn_db))
    assert atlas.available == {"asn"}
    assert atlas.geo("203.0.113.7") is None
    assert atlas.system("203.0.113.7") is not None


def errors(settings: GeoipSettings) -> str:
    atlas, problems = open_atlas(settings)
    assert problems.failed
    assert atlas.available == frozenset()
    return str(problems)


def test_what_is_no_database_is_an_error(tmp_path: Path, settings: GeoipSettings) -> None:
    """Each names its setting."""
    (tmp_path / "text").write_text("nothing of the kind")
    assert f"error ERR_TP_GEOIP: geoip.city_db: {tmp_path}/text is no MaxMind database" in errors(
        GeoipSettings(city_db=tmp_path / "text")
    )
    assert "geoip.asn_db: " in errors(GeoipSettings(asn_db=tmp_path / "none"))
    assert "No such file" in errors(GeoipSettings(asn_db=tmp_path / "none"))
    assert "is a database of type 'GeoLite2-ASN', not one of City" in errors(GeoipSettings(city_db=settings.asn_db))
    country = write_database(tmp_path / "country", "GeoLite2-Country", {"203.0.113.0/24": {}})
    assert "of type 'GeoLite2-Country'" in errors(GeoipSettings(city_db=country))


def test_without_the_package_a_database_is_an_error(settings: GeoipSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    words = errors(settings)
    assert "geoip.city_db: needs the package maxminddb" in words
    assert "pip install 'ai-gateway[geoip]'" in words


def test_a_damaged_entry_is_no_entry(settings: GeoipSettings) -> None:
    """A file whose tree leads beyond its end."""
    assert settings.city_db is not None
    content = bytearray(settings.city_db.read_bytes())
    start = content.index(b"Germany") - 40
    content[start : start + 40] = b"\xff" * 40
    settings.city_db.write_bytes(content)
    atlas, _ = open_atlas(settings)
    geo = atlas.geo("203.0.113.7")
    assert geo is not None
    assert geo.location.country_code == ""
