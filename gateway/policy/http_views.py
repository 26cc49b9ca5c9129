"""What expressions see of a request and of a response (TP 6.4, 6.5): ``req`` and ``res``.

Structured strings (TP-94) are ``str`` subclasses with slots, so that they are strings everywhere. Host headers, query
strings and cookies are parsed leniently: what a client sends must never fail a rule by being odd.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar
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

    __slots__ = ("_origin", "_query_params", "_target", "authority", "path", "query", "scheme", "uri")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "scheme": STRING, "host": STRING, "authority": sensitive(STRING), "user_password": sensitive(STRING),
        "port": nullable(INT), "path": STRING, "query": sensitive(STRING), "uri": sensitive(STRING),
        "query_params": VALUE_MAP, "raw": sensitive(STRING), "raw_path": STRING,
    }  # fmt: skip
    scheme: str
    authority: str
    path: str
    query: str
    uri: str
    _origin: str
    _target: str
    _query_params: dict[str, ValueList] | None

    @classmethod
    def of(cls, exchange: Exchange) -> Url:
        """From the exchange's current path and query, and the target as received."""
        path, query = exchange.path, exchange.query
        uri = f"{path}?{query}" if query else path
        origin = f"{exchange.scheme}://{exchange.host}"
        self = cls(origin + uri)
        self.scheme, self.authority = exchange.scheme, exchange.host
        self.path, self.query, self.uri = path, query, uri
        self._origin, self._target = origin, exchange.raw_target
        self._query_params = None
        return self

    @property
    def host(self) -> str:
        return split_authority(self.authority)[1]

    @property
    def port(self) -> int | None:
        return split_authority(self.authority)[2]

    @property
    def user_password(self) -> str:
        return split_authority(self.authority)[0]

    @property
    def query_params(self) -> dict[str, ValueList]:
        values = self._query_params
        if values is None:
            values = self._query_params = query_values(self.query)
        return values

    @property
    def raw(self) -> str:
        """As received."""
        return self._origin + self._target if self._target.startswith("/") else self._target

    @property
    def raw_path(self) -> str:
        """As received."""
        return raw_path(self._target)


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


class RequestView:
    """``req``. ``headers`` and ``method`` are plain slots: most rules read them, and a property costs a call."""

    __slots__ = ("_content_type", "_cookies", "_url", "_user_agent", "exchange", "headers", "method")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING, "method": STRING, "version": STRING, "host": STRING, "headers": HEADER_MAP,
        "trailers": HEADER_MAP, "cookies": COOKIE_MAP, "content_type": object_of(ContentType),
        "content_encoding": list_of(STRING), "content_length": nullable(INT), "location": STRING,
        "url": sensitive(object_of(Url)), "user_agent": object_of(UserAgent), "ts": object_of(RequestTimes),
    }  # fmt: skip

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.method = exchange.method
        self.headers = exchange.headers
        self._url: Url | None = None
        self._cookies: dict[str, list[Cookie]] | None = None
        self._content_type: ContentType | None = None
        self._user_agent: UserAgent | None = None

    def refresh(self) -> None:
        """Forgets what was derived from headers, path, query or host (TP-141)."""
        self.headers = self.exchange.headers
        self._url = self._cookies = self._content_type = self._user_agent = None

    @property
    def id(self) -> str:
        return self.exchange.id

    @property
    def version(self) -> str:
        return self.exchange.http_version

    @property
    def host(self) -> str:
        return self.exchange.host

    @property
    def trailers(self) -> HeaderMap:
        """The HTTP server does not expose them."""
        return HeaderMap()

    @property
    def url(self) -> Url:
        url = self._url
        if url is None:
            url = self._url = _url_of(self.exchange)
        return url

    @property
    def cookies(self) -> dict[str, list[Cookie]]:
        cookies = self._cookies
        if cookies is None:
            cookies = self._cookies = request_cookies(self.headers)
        return cookies

    @property
    def content_type(self) -> ContentType:
        content_type = self._content_type
        if content_type is None:
            content_type = self._content_type = ContentType.of(self.headers)
        return content_type

    @property
    def content_encoding(self) -> list[str]:
        return _encodings(self.headers)

    @property
    def content_length(self) -> int | None:
        return self.exchange.content_length

    @property
    def location(self) -> str:
        return self.headers.first("location") or ""

    @property
    def user_agent(self) -> UserAgent:
        user_agent = self._user_agent
        if user_agent is None:
            user_agent = self._user_agent = UserAgent(self.headers.first("user-agent") or "")
        return user_agent

    @property
    def ts(self) -> RequestTimes:
        return RequestTimes(nanoseconds(self.exchange.started_s))


class WarmRequestView(RequestView):
    """``req`` for policies whose rules read ``req.url``: a slot in place of the property (``variables.Scope``)."""

    __slots__ = ("url",)
    url: Url

    def __init__(self, exchange: Exchange) -> None:  # once per request: straight, without a call of the other
        self.exchange = exchange
        self.method = exchange.method
        self.headers = exchange.headers
        self._url = self._cookies = self._content_type = self._user_agent = None
        self.url = _url_of(exchange)

    def refresh(self) -> None:
        super().refresh()
        self.url = _url_of(self.exchange)


def _url_of(exchange: Exchange) -> Url:
    """Requests with the same head share it; its only lazy part follows from it."""
    head = exchange.head
    if head is None:
        return Url.of(exchange)
    url: Url | None = head.notes.get(Url)
    if url is None:
        url = head.notes[Url] = Url.of(exchange)
    return url


def _declared_length(headers: HeaderMap) -> int | None:
    text = headers.first("content-length") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


class ResponseView:
    """``res``: the answer while the response phase may still change it. Made anew when the answer has changed."""

    __slots__ = ("_content_type", "_cookies", "headers", "status_code")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "status_code": INT, "headers": HEADER_MAP, "trailers": HEADER_MAP, "content_type": object_of(ContentType),
        "content_encoding": list_of(STRING), "content_length": nullable(INT), "location": STRING, "cookies": COOKIE_MAP,
    }  # fmt: skip

    def __init__(self, head: ResponseHead) -> None:
        self.status_code = head.status
        self.headers = head.headers
        self._cookies: dict[str, list[Cookie]] | None = None
        self._content_type: ContentType | None = None

    @property
    def trailers(self) -> HeaderMap:
        """Empty: the head is judged before any trailer can have come."""
        return HeaderMap()

    @property
    def cookies(self) -> dict[str, list[Cookie]]:
        cookies = self._cookies
        if cookies is None:
            cookies = self._cookies = response_cookies(self.headers)
        return cookies

    @property
    def content_type(self) -> ContentType:
        content_type = self._content_type
        if content_type is None:
            content_type = self._content_type = ContentType.of(self.headers)
        return content_type

    @property
    def content_encoding(self) -> list[str]:
        return _encodings(self.headers)

    @property
    def content_length(self) -> int | None:
        return _declared_length(self.headers)

    @property
    def location(self) -> str:
        return self.headers.first("location") or ""
