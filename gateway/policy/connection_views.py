"""What expressions see of connection, endpoint and time (TP 6.1 to 6.3): ``conn``, ``endpoint``, ``time``."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.cel.env import BOOL, DYN, INT, STRING, TIMESTAMP, CelType, list_of, nullable, object_of
from gateway.cel.values import Timestamp
from gateway.policy.atlas import Atlas, AutonomousSystem, Geo, Location
from gateway.policy.categories import BLOCKLIST, TOR

if TYPE_CHECKING:
    from gateway.exchange import Exchange


def timestamp_of(unix_s: float) -> Timestamp:
    """Unix seconds as a CEL timestamp, to the microsecond."""
    return Timestamp(int(unix_s * 1_000_000) * 1_000)


class Address(str):
    """An IP address with what the atlas of the snapshot knows about it; absent where that lacks a database (TP-130)."""

    __slots__ = ("exchange",)
    __cel__: ClassVar[Mapping[str, CelType]] = dict.fromkeys(
        ("geo", "as", "categories", "is_on_blocklist", "is_tor_node"), DYN
    )
    exchange: Exchange

    @classmethod
    def of(cls, exchange: Exchange, text: str) -> Address:
        """An address of the exchange's connection."""
        self = cls(text)
        self.exchange = exchange
        return self

    @property
    def geo(self) -> Geo | None:
        atlas: Atlas = self.exchange.snapshot.atlas
        return atlas.geo(str(self))

    @property
    def categories(self) -> list[str] | None:
        names = self._categories()
        return list(names) if names is not None else None

    @property
    def is_on_blocklist(self) -> bool | None:
        names = self._categories()
        return BLOCKLIST in names if names is not None else None

    @property
    def is_tor_node(self) -> bool | None:
        names = self._categories()
        return TOR in names if names is not None else None

    def _categories(self) -> tuple[str, ...] | None:
        atlas: Atlas = self.exchange.snapshot.atlas
        return atlas.categories(str(self))

    def __getattr__(self, name: str) -> AutonomousSystem | None:
        if name == "as":  # reserved in Python, not in expressions
            atlas: Atlas = self.exchange.snapshot.atlas
            return atlas.system(str(self))
        raise AttributeError(name)


class ConnectionTimes:
    """``conn.ts``; ``end`` stays absent while anything can read it."""

    __slots__ = ("end", "start")
    __cel__: ClassVar[Mapping[str, CelType]] = {"start": TIMESTAMP, "end": nullable(TIMESTAMP)}

    def __init__(self, start: Timestamp) -> None:
        self.start = start
        self.end: Timestamp | None = None


class TlsView:
    """``conn.tls``: what the TLS layer reports about the connection; every member is absent on a plain one (TP-138)."""

    __slots__ = (
        "cipher_suite",
        "client",
        "ja4_fingerprint",
        "negotiated_alpn",
        "server",
        "session_resumed",
        "sni",
        "version",
    )
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "version": nullable(STRING), "cipher_suite": nullable(STRING), "sni": nullable(STRING),
        "negotiated_alpn": nullable(STRING), "session_resumed": nullable(BOOL),
        "client": DYN, "server": DYN, "ja4_fingerprint": DYN,
    }  # fmt: skip

    def __init__(self, tls: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(tls, name, None))


class ConnectionView:
    """``conn``."""

    __slots__ = ("client_ip", "exchange")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "client_ip": object_of(Address), "client_port": INT, "server_ip": object_of(Address), "server_port": INT,
        "server_region": STRING, "bytes_in": INT, "bytes_out": INT, "ts": object_of(ConnectionTimes),
        "tls": object_of(TlsView), "geo": DYN, "k8s": DYN,
    }  # fmt: skip
    #: absent where it may be mentioned at all (TP-130)
    k8s = None

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.client_ip = Address.of(exchange, exchange.conn.client_ip)

    @property
    def geo(self) -> Location | None:
        geo = self.client_ip.geo
        return geo.location if geo is not None else None

    @property
    def client_port(self) -> int:
        return self.exchange.conn.client_port

    @property
    def server_ip(self) -> Address:
        return Address.of(self.exchange, self.exchange.conn.server_ip)

    @property
    def server_port(self) -> int:
        return self.exchange.conn.server_port

    @property
    def server_region(self) -> str:
        region: str = self.exchange.snapshot.settings.server.region
        return region

    @property
    def bytes_in(self) -> int:
        return self.exchange.content_length or len(self.exchange.body or b"")

    @property
    def bytes_out(self) -> int:
        return self.exchange.sent_bytes

    @property
    def ts(self) -> ConnectionTimes:
        return ConnectionTimes(timestamp_of(self.exchange.conn.started_s))

    @property
    def tls(self) -> TlsView:
        return TlsView(self.exchange.conn.tls)


@cache
def connection_type(available: frozenset[str]) -> CelType:
    """The type of ``conn`` in an installation that has these databases: their members have types, all others none."""
    about: dict[str, CelType] = dict(Address.__cel__)
    members = dict(ConnectionView.__cel__)
    if "geo" in available:
        about["geo"], members["geo"] = object_of(Geo), object_of(Location)
    if "asn" in available:
        about["as"] = object_of(AutonomousSystem)
    if "feed" in available:
        about.update(categories=list_of(STRING), is_on_blocklist=BOOL, is_tor_node=BOOL)
    address = object_of(type("Address", (Address,), {"__slots__": (), "__cel__": about}))
    members["client_ip"] = members["server_ip"] = address
    return object_of(type("ConnectionView", (ConnectionView,), {"__slots__": (), "__cel__": members}))


class EndpointView:
    """``endpoint``."""

    __slots__ = ("addr", "host", "id", "port", "protocol", "url")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING, "url": STRING, "host": STRING, "port": INT, "addr": STRING, "protocol": STRING,
    }  # fmt: skip

    def __init__(self, endpoint: Any) -> None:
        self.id: str = endpoint.id
        self.url: str = endpoint.url
        self.host: str = endpoint.host
        self.port: int = endpoint.port
        self.addr = f"{self.host}:{self.port}"
        self.protocol: str = endpoint.scheme


class TimeView:
    """``time``: ``now`` is read from the clock each time."""

    __slots__ = ("_now",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"now": STRING}

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    @property
    def now(self) -> str:
        """``2026-11-22T18:54:03Z``: RFC 3339 with microseconds unless they are zero."""
        moment = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        return moment.isoformat().replace("+00:00", "Z")
