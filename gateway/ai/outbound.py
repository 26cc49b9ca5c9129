"""The head of an upstream request: constant parts prebuilt per candidate, the client's part filtered once per request.

Invariants
    1. One line per header: a value can hold no CR, LF or NUL, whoever set it (RFC 9110, 5.5: each becomes a space).
    2. No header of AG-205 that the client sent, and no token of this product, goes upstream (AG-208, P17).
    3. At most one credential header is added, and none where the action's ``headers`` set one (AG-207).

Source: ai-gateway.md AG-42, AG-43, AG-56, AG-205 to AG-217.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from gateway.ai.credentials import UpstreamCredential, holds_issued_token, scrub
from gateway.ai.providers import join, merge_query
from gateway.ai.surfaces import Format, Surface
from gateway.errors import ROUTING_LOOP, failure
from gateway.headers import HeaderMap

if TYPE_CHECKING:
    from gateway.ai.providers import Target

HOP_HEADER: Final = "x-ai-gateway-hop"
MAX_HOPS: Final = 5
DEFAULT_ANTHROPIC_VERSION: Final = "2023-06-01"

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,256}")
_HOP: Final = re.compile(r"([A-Za-z0-9._-]{1,128});([0-9]{1,4})")
_LINE_BREAKS: Final = re.compile(r"[\r\n\0]")

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings"}
)
#: set by the gateway for every attempt, or meaningless behind it (AG-214, AG-215, AG-217)
_OWN: Final = frozenset({"host", "content-length", "content-type", "content-encoding", "accept-encoding"})
_CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"})
_ORIGINS: Final = frozenset({"forwarded", "via", "x-real-ip", "origin", "referer"})
_DROPPED: Final = _HOP_BY_HOP | _OWN | _CREDENTIALS | _ORIGINS
_DROPPED_PREFIXES: Final = ("proxy-", "x-forwarded-", "sec-", "x-ai-gateway-")
#: the operator's account, not the client's, once a server-side key is used (AG-210)
_ACCOUNT: Final = frozenset({"openai-organization", "openai-project"})
_NOT_SETTABLE: Final = _HOP_BY_HOP | (_OWN - {"content-encoding"})
_REPLACES_CREDENTIAL: Final = ("authorization", "x-api-key", "api-key")

_PLAIN_CONNECTIONS: Final = (["keep-alive"], ["close"], ["Keep-Alive"])
#: client header name → the start of its line, or '' if it does not go upstream; bounded
_FATES: dict[str, str] = {}
_FATES_LIMIT: Final = 2_048


@functools.lru_cache(maxsize=1_024)
def is_settable(name: str) -> bool:
    """Whether the action's ``headers`` may set this lower-case name (AG-214)."""
    return (
        _TOKEN.fullmatch(name) is not None
        and name not in _NOT_SETTABLE
        and not name.startswith(("proxy-", "x-ai-gateway-"))
    )


def next_hop(received: Collection[str] | None, instance_id: str) -> str:
    """The value of ``x-ai-gateway-hop`` to send on; raises 27237 for a loop, ignores malformed values (AG-56)."""
    hops = 0
    for value in received or ():
        for part in value.split(","):
            found = _HOP.fullmatch(part.strip())
            if found is None:
                continue
            hops = max(hops, int(found[2]))
            if found[1] == instance_id or hops >= MAX_HOPS:
                raise failure(ROUTING_LOOP)
    return f"{instance_id};{hops + 1}"


class ClientLines:
    """The header lines of one client request that go upstream, whichever candidate is tried (AG-215).

    Texts consist of ``\\r\\nname: value`` pieces.
    """

    __slots__ = ("account", "lines", "sets_credential", "sets_version")

    def __init__(self, lines: str, account: str, *, sets_version: bool, sets_credential: bool) -> None:
        #: complete lines, hop header included
        self.lines = lines
        #: lines that go only with the client's own credential (AG-210)
        self.account = account
        #: ``anthropic-version`` is among them (AG-43)
        self.sets_version = sets_version
        #: the action's ``headers`` replace the credential (AG-207)
        self.sets_credential = sets_credential


def client_lines(
    headers: HeaderMap, *, hop: str, replaced: Collection[str] = (), secrets_seen: Collection[str] = ()
) -> ClientLines:
    """Filters the client's headers. ``replaced``: names that the action's ``headers`` set (``field_lines``)."""
    connection = headers.get("connection")
    if replaced or (connection is not None and connection not in _PLAIN_CONNECTIONS):
        dropped = _connection_names(connection or ()).union(replaced)
        headers = HeaderMap((name, values) for name, values in headers.items() if name not in dropped)
    parts: list[str] = []
    fates = _FATES
    for name, values in headers.items():
        start = fates.get(name)
        if start is None:
            start = _fate(name)
        if start:
            if len(values) == 1:
                parts.append(start + values[0])
            else:
                parts.extend([start + value for value in values])
    if secrets_seen:
        parts = [part for part in parts if not _holds_secret(part, secrets_seen)]
    sets_version = "anthropic-version" in headers or "anthropic-version" in replaced
    sets_credential = any(name in replaced for name in _REPLACES_CREDENTIAL)
    parts.append(f"\r\n{HOP_HEADER}: {hop}")
    account = _joined(_account_lines(headers, secrets_seen)) if not _ACCOUNT.isdisjoint(headers) else ""
    return ClientLines(_joined(parts), account, sets_version=sets_version, sets_credential=sets_credential)


@functools.lru_cache(maxsize=256)
def field_lines(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """The action's evaluated ``headers``, their names in lower case, as lines for ``RequestHead.build``."""
    return _joined([f"\r\n{name}: {value}" for name, value in zip(names, values, strict=True) if is_settable(name)])


class RequestHead:
    """The constant parts of every request to one target on one surface."""

    __slots__ = ("_constant", "_path", "_start", "_target_query", "_version")

    def __init__(self, target: Target, surface: Surface) -> None:
        self._path = f"POST {join(target, surface)}"
        self._target_query = target.query
        self._constant = (
            f" HTTP/1.1\r\nhost: {target.origin.authority}"
            "\r\ncontent-type: application/json\r\naccept-encoding: identity"
        )
        self._version = (
            f"\r\nanthropic-version: {DEFAULT_ANTHROPIC_VERSION}" if surface.format is Format.ANTHROPIC else ""
        )
        self._start = self._request_line(target.query)

    @classmethod
    def compile(cls, target: Target, surface: Surface) -> RequestHead:
        """Cache it per (provider, surface)."""
        return cls(target, surface)

    def build(
        self,
        lines: ClientLines,
        credential: UpstreamCredential | None,
        body_length: int,
        query: UpstreamQuery | None = None,
        fields: str = "",
    ) -> bytes:
        """The request head, ready to be sent with a body of ``body_length`` bytes behind it."""
        start = self._start if query is None else self._request_line(query.merged(self._target_query))
        version = "" if not self._version or lines.sets_version else self._version
        account = lines.account if credential is None or not credential.server_side else ""
        key = "" if credential is None or lines.sets_credential else credential.line
        head = f"{start}{lines.lines}{fields}{version}{account}{key}\r\ncontent-length: {body_length}\r\n\r\n"
        return head.encode("utf-8", "surrogateescape")

    def url(self, query: UpstreamQuery | None = None) -> str:
        """Path and query as requested, for records; the caller removes credentials (``without_credentials``)."""
        merged = self._target_query if query is None else query.merged(self._target_query)
        path = self._path.removeprefix("POST ")
        return f"{path}?{merged}" if merged else path

    def _request_line(self, query: str) -> str:
        return f"{self._path}?{query}{self._constant}" if query else self._path + self._constant


class UpstreamQuery:
    """The part of the upstream's query that comes from the client and the action (AG-216)."""

    __slots__ = ("_client", "_params")

    def __init__(self, client_query: str, query_params: Mapping[str, str]) -> None:
        self._client = client_query
        self._params = query_params

    @classmethod
    def of(cls, client_query: str, query_params: Mapping[str, str] = {}) -> UpstreamQuery | None:
        """None where neither adds anything, so that the prebuilt request line serves."""
        return cls(client_query, query_params) if client_query or query_params else None

    def merged(self, target_query: str) -> str:
        return merge_query(self._client, target_query, self._params)


def _fate(name: str) -> str:
    """``user-agent`` → the start of its line; a name that is dropped, or is no name, → ''."""
    keep = (
        _TOKEN.fullmatch(name) is not None
        and name not in _DROPPED
        and name not in _ACCOUNT
        and not name.startswith(_DROPPED_PREFIXES)
    )
    fate = f"\r\n{name}: " if keep else ""
    if len(_FATES) < _FATES_LIMIT and len(name) <= 64:
        _FATES[name] = fate
    return fate


def _account_lines(headers: HeaderMap, secrets_seen: Collection[str]) -> list[str]:
    lines = [f"\r\n{name}: {value}" for name in _ACCOUNT for value in headers.get(name, ())]
    return [line for line in lines if not _holds_secret(line, secrets_seen)]


def _joined(parts: list[str]) -> str:
    """The lines as one text; what breaks a line is mended, what holds a token of this product is left out."""
    text = "".join(parts)
    lines = len(parts)
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        parts = ["\r\n" + _LINE_BREAKS.sub(" ", part[2:]) for part in parts]
        text = "".join(parts)
    if holds_issued_token(text):
        text = "".join(part for part in parts if scrub(part) == part)
    return text


def _connection_names(values: Iterable[str]) -> frozenset[str]:
    """The header names that ``connection`` lists."""
    return frozenset(part.strip().lower() for value in values for part in value.split(","))


def _holds_secret(line: str, secrets: Collection[str]) -> bool:
    """Whether the value equals a secret; a scheme word in front of either makes no difference (AG-215)."""
    value = line.partition(": ")[2].strip()
    forms = {value, value.partition(" ")[2].strip()} - {""}
    return any(not forms.isdisjoint((secret.strip(), secret.partition(" ")[2].strip())) for secret in secrets)
