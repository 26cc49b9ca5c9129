"""What expressions see of connection, endpoint and time (TP 6.1 to 6.3): ``conn``, ``endpoint``, ``time``."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.cel.env import BOOL, DYN, INT, STRING, TIMESTAMP, CelType, nullable, object_of
from gateway.cel.values import Timestamp
from gateway.policy.lazy import LazyView

if TYPE_CHECKING:
    from gateway.exchange import Exchange


def timestamp_of(unix_s: float) -> Timestamp:
    """Unix seconds as a CEL timestamp, to the microsecond."""
    return Timestamp(int(unix_s * 1_000_000) * 1_000)


class Address(str):
    """An IP address. Its members need databases that this gateway does not read yet, so they are absent (TP-130)."""

    __slots__ = ()
    __cel__: ClassVar[Mapping[str, CelType]] = dict.fromkeys(
        ("geo", "as", "categories", "is_on_blocklist", "is_tor_node"), DYN
    )

    def __getattr__(self, name: str) -> None:
        if name not in self.__cel__:
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


class ConnectionView(LazyView):
    """``conn``."""

    __slots__ = (
        "client_ip", "client_port", "exchange", "geo", "k8s", "server_ip", "server_port", "server_region", "tls", "ts",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "client_ip": object_of(Address), "client_port": INT, "server_ip": object_of(Address), "server_port": INT,
        "server_region": STRING, "bytes_in": INT, "bytes_out": INT, "ts": object_of(ConnectionTimes),
        "tls": object_of(TlsView), "geo": DYN, "k8s": DYN,
    }  # fmt: skip
    _members: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "client_ip": lambda view: Address(view.exchange.conn.client_ip),
        "client_port": lambda view: view.exchange.conn.client_port,
        "server_ip": lambda view: Address(view.exchange.conn.server_ip),
        "server_port": lambda view: view.exchange.conn.server_port,
        "server_region": lambda view: view.exchange.snapshot.settings.server.region,
        "ts": lambda view: ConnectionTimes(timestamp_of(view.exchange.conn.started_s)),
        "tls": lambda view: TlsView(view.exchange.conn.tls),
        "geo": lambda view: None,
        "k8s": lambda view: None,
    }

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def __getattr__(self, name: str) -> Any:
        # counters are never kept: they grow while the request is served
        if name == "bytes_in":
            return self.exchange.content_length or len(self.exchange.body or b"")
        if name == "bytes_out":
            return self.exchange.sent_bytes
        return super().__getattr__(name)


class EndpointView(LazyView):
    """``endpoint``."""

    __slots__ = ("addr", "exchange", "host", "id", "port", "protocol", "url")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING, "url": STRING, "host": STRING, "port": INT, "addr": STRING, "protocol": STRING,
    }  # fmt: skip
    _members: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "id": lambda view: view.exchange.endpoint.id,
        "url": lambda view: view.exchange.endpoint.url,
        "host": lambda view: view.exchange.endpoint.host,
        "port": lambda view: view.exchange.endpoint.port,
        "addr": lambda view: f"{view.exchange.endpoint.host}:{view.exchange.endpoint.port}",
        "protocol": lambda view: view.exchange.endpoint.scheme,
    }

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange


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
