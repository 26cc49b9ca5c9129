"""What expressions see of a request and of a response (TP 6.4, 6.5): ``req`` and ``res``.

Structured strings (TP-94) are ``str`` subclasses with slots, so that they are strings everywhere. Host headers, query
strings and cookies are parsed leniently: what a client sends must never fail a rule by being odd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote_plus

from gateway.cel.env import (
    HEADER_MAP,
    INT,
    STRING,
    TIMESTAMP,
    VALUE_MAP,
    CelType,
    list_of,
    map_of,
    nullable,
    object_of,
    sensitive,
)
from gateway.cel.values import Timestamp
from gateway.headers import HeaderMap, ValueList
from gateway.policy.cookies import Cookie, request_cookies, response_cookies
from gateway.policy.lazy import LazyView
from gateway.policy.user_agent import UserAgent

if TYPE_CHECKING:
    from gateway.exchange import Exchange, ResponseHead

#: name → cookies of that name; a missing name gives null (TP-80 a)
COOKIE_MAP = map_of(list_of(object_of(Cookie), lookup=True), lookup=True)


def nanoseconds(unix_s: float) -> Timestamp:
    """Unix seconds as a CEL timestamp."""
    return Timestamp(int(unix_s * 1_000_000) * 1_000)


class ContentType(str):
    """The media type in lower case, with ``raw`` and ``parameters``."""

    __slots__ = ("parameters", "raw")
    __cel__: ClassVar[Mapping[str, CelType]] = {"raw": STRING, "parameters": map_of(STRING, lookup=True)}
    raw: str
    parameters: dict[str, str]

    @classmethod
    def of(cls, headers: HeaderMap) -> ContentType:
        """From a message's headers; ``''`` without the header."""
        raw = headers.first("content-type") or ""
        media_type, _, rest = raw.partition(";")
        self = cls(media_type.strip().lower())
        self.raw = raw
        self.parameters = {}
        for part in rest.split(";"):
            name, sign, value = part.partition("=")
            if sign and name.strip():
                self.parameters.setdefault(name.strip().lower(), value.strip().strip('"'))
        return self


def _encodings(headers: HeaderMap) -> list[str]:
    """Tokens of ``content-encoding`` in lower case."""
    joined = ",".join(headers.get("content-encoding", ()))
    return [token.strip().lower() for token in joined.split(",") if token.strip()]


def query_values(query: str) -> dict[str, ValueList]:
    """``a=1&a=2&b`` → ``{'a': ['1', '2'], 'b': ['']}``, percent- and plus-decoded (TP-92)."""
    values: dict[str, ValueList] = {}
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            values.setdefault(unquote_plus(name), ValueList()).append(unquote_plus(value))
    return values


def split_authority(authority: str) -> tuple[str, str, int | None]:
    """``user:pw@[::1]:80`` → ``('user:pw', '[::1]', 80)``; the port is None when it is not explicit or no number."""
    user, sign, rest = authority.rpartition("@")
    if not sign:
        user = ""
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or host.endswith(":"):
        return user, rest, None
    return user, host, int(port) if len(port) <= 5 else None


class Url(str):
    """The normalised full URL with its parts (TP-140, TP-141)."""

    __slots__ = (
        "authority", "host", "path", "port", "query", "query_params", "raw", "raw_path", "scheme", "uri",
        "user_password",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "scheme": STRING, "host": STRING, "authority": STRING, "user_password": sensitive(STRING),
        "port": nullable(INT), "path": STRING, "query": sensitive(STRING), "uri": sensitive(STRING),
        "query_params": VALUE_MAP, "raw": sensitive(STRING), "raw_path": STRING,
    }  # fmt: skip
    scheme: str
    host: str
    authority: str
    user_password: str
    port: int | None
    path: str
    query: str
    uri: str
    query_params: dict[str, ValueList]
    raw: str
    raw_path: str

    @classmethod
    def of(cls, exchange: Exchange) -> Url:
        """From the exchange's current path and query, and the target as received."""
        origin = f"{exchange.scheme}://{exchange.host}"
        uri = f"{exchange.path}?{exchange.query}" if exchange.query else exchange.path
        self = cls(origin + uri)
        self.scheme = exchange.scheme
        self.authority = exchange.host
        self.user_password, self.host, self.port = split_authority(exchange.host)
        self.path, self.query, self.uri = exchange.path, exchange.query, uri
        target = exchange.raw_target
        self.raw = origin + target if target.startswith("/") else target
        self.raw_path = raw_path(target)
        return self

    def __getattr__(self, name: str) -> Any:
        if name != "query_params":
            raise AttributeError(name)
        self.query_params = query_values(self.query)
        return self.query_params


def raw_path(target: str) -> str:
    """The path of a request target as received."""
    path = target.partition("?")[0]
    if "://" in path and not path.startswith("/"):
        rest = path.partition("://")[2]
        return rest[rest.find("/") :] if "/" in rest else "/"
    return path


class RequestTimes:
    """``req.ts``."""

    __slots__ = ("body_received", "header_received")
    __cel__: ClassVar[Mapping[str, CelType]] = {"header_received": TIMESTAMP, "body_received": nullable(TIMESTAMP)}

    def __init__(self, header_received: Timestamp) -> None:
        self.header_received = header_received
        self.body_received: Timestamp | None = None


class RequestView(LazyView):
    """``req``."""

    __slots__ = (
        "content_encoding", "content_length", "content_type", "cookies", "exchange", "headers", "host", "id",
        "location", "method", "trailers", "ts", "url", "user_agent", "version",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING, "method": STRING, "version": STRING, "host": STRING, "headers": HEADER_MAP,
        "trailers": HEADER_MAP, "cookies": COOKIE_MAP, "content_type": object_of(ContentType),
        "content_encoding": list_of(STRING), "content_length": nullable(INT), "location": STRING,
        "url": object_of(Url), "user_agent": object_of(UserAgent), "ts": object_of(RequestTimes),
    }  # fmt: skip
    #: members that follow the headers, the path or the query
    CHANGING: ClassVar[tuple[str, ...]] = (
        "content_encoding", "content_type", "cookies", "headers", "host", "location", "url", "user_agent",
    )  # fmt: skip
    _members: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "id": lambda view: view.exchange.id,
        "method": lambda view: view.exchange.method,
        "version": lambda view: view.exchange.http_version,
        "host": lambda view: view.exchange.host,
        "headers": lambda view: view.exchange.headers,
        "trailers": lambda view: HeaderMap(),
        "cookies": lambda view: request_cookies(view.headers),
        "content_type": lambda view: ContentType.of(view.headers),
        "content_encoding": lambda view: _encodings(view.headers),
        "content_length": lambda view: view.exchange.content_length,
        "location": lambda view: view.headers.first("location") or "",
        "url": lambda view: Url.of(view.exchange),
        "user_agent": lambda view: UserAgent(view.headers.first("user-agent") or ""),
        "ts": lambda view: RequestTimes(nanoseconds(view.exchange.started_s)),
    }

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange


def _declared_length(headers: HeaderMap) -> int | None:
    text = headers.first("content-length") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


class ResponseView(LazyView):
    """``res``: the answer while the response phase may still change it."""

    __slots__ = (
        "content_encoding", "content_length", "content_type", "cookies", "head", "headers", "location", "status_code",
        "trailers",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "status_code": INT, "headers": HEADER_MAP, "trailers": HEADER_MAP, "content_type": object_of(ContentType),
        "content_encoding": list_of(STRING), "content_length": nullable(INT), "location": STRING, "cookies": COOKIE_MAP,
    }  # fmt: skip
    CHANGING: ClassVar[tuple[str, ...]] = (
        "content_encoding", "content_length", "content_type", "cookies", "headers", "location", "status_code",
    )  # fmt: skip
    _members: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "status_code": lambda view: view.head.status,
        "headers": lambda view: view.head.headers,
        "trailers": lambda view: HeaderMap(),
        "content_type": lambda view: ContentType.of(view.headers),
        "content_encoding": lambda view: _encodings(view.headers),
        "content_length": lambda view: _declared_length(view.headers),
        "location": lambda view: view.headers.first("location") or "",
        "cookies": lambda view: response_cookies(view.headers),
    }

    def __init__(self, head: ResponseHead) -> None:
        self.head = head
