"""The head of an upstream response: read strictly in one pass, and written on for the client.

Invariants
    1. Whatever leaves doubt about where a body ends is refused: two lengths, a length beside a transfer coding, an
       unknown coding, folded lines, stray line breaks or control characters (P33).
    2. No hop-by-hop header, ``set-cookie``, ``ngrok-error-code`` or operator's account id reaches the client
       (AG-210, AG-220).
    3. No key that was used and no token of this product does either (AG-209).
    4. ``content-length`` and ``transfer-encoding`` are never in a block: who writes the body writes its framing.

Source: ai-gateway.md AG-130, AG-209, AG-210, AG-220, AG-221, AG-260.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.ai.credentials import holds_issued_token, scrub
from gateway.headers import HeaderMap, lower_name
from gateway.secrets.secret import Secret
from gateway.upstream.framing import BadResponse

__all__ = ["BadResponse", "InboundHead", "header_block", "parse_head", "served_lines"]

MAX_LINES: Final = 256
EVENT_STREAM: Final = "text/event-stream"

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
#: all bytes but control characters; what is left without them has to be line ends only
_PLAIN: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_LINE_ENDS: Final = b"\r\n" * (MAX_LINES + 1)
_BREAKS: Final = re.compile(r"[\r\n\0]")
_UNSAFE: Final = re.compile(r"[^\x20-\x7e]")

# What a header name means here. Small integers: they are compared for every line.
_KEEP, _QUOTA, _DROP, _LENGTH, _CODING, _CONNECTION, _TYPE, _ENCODING = range(8)
_ACCOUNT, _X_REQUEST_ID, _REQUEST_ID, _BUFFERING = range(8, 12)
_MEANINGS: Final = {
    "content-length": _LENGTH,
    "transfer-encoding": _CODING,
    "connection": _CONNECTION,
    "content-type": _TYPE,
    "content-encoding": _ENCODING,
    "retry-after": _QUOTA,
    "retry-after-ms": _QUOTA,
    "openai-organization": _ACCOUNT,
    "openai-project": _ACCOUNT,
    "anthropic-organization-id": _ACCOUNT,
    "x-request-id": _X_REQUEST_ID,
    "request-id": _REQUEST_ID,
    "x-accel-buffering": _BUFFERING,
    **dict.fromkeys(
        (
            "keep-alive", "te", "trailer", "upgrade", "set-cookie", "set-cookie2", "server", "alt-svc",
            "strict-transport-security", "ngrok-error-code",
        ),
        _DROP,
    ),
}  # fmt: skip
_DROPPED_PREFIXES: Final = ("proxy-", "x-gateway-", "x-ai-gateway-")
_QUOTA_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-")
#: written by whoever writes the body
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive"})

#: raw header name → what it means; bounded
_KINDS: dict[bytes, int] = {}
#: raw content-type → media type; bounded
_MEDIA_TYPES: dict[bytes, str] = {}
_CACHE_LIMIT: Final = 2_048
#: heads read last
_HEADS: dict[tuple[bytes, int], InboundHead] = {}
_HEADS_LIMIT: Final = 64


class InboundHead:
    """One parsed response head; ``gateway.upstream.codec.Head``. Read-only: answers with the same head share one."""

    __slots__ = (
        "_account", "_block", "_block_of", "_buffering", "_connection", "_encoding", "_kept", "_quota",
        "_quota_headers", "chunked", "content_encoding", "content_length", "has_request_id", "has_x_request_id",
        "is_event_stream", "keep_alive", "media_type",
    )  # fmt: skip

    def __init__(self, kept: list[bytes], quota: list[bytes], *, keep_alive: bool) -> None:
        self.content_length: int | None = None
        self.chunked = False
        self.keep_alive = keep_alive
        #: lower-case, without parameters; '' if none
        self.media_type = ""
        self.is_event_stream = False
        #: lower-case tokens joined by a comma; '' for none or ``identity``
        self.content_encoding = ""
        self.has_request_id = False
        self.has_x_request_id = False
        # lines as received, without line ends; the rare ones are made on demand
        self._kept = kept
        self._quota = quota
        self._account: tuple[bytes, ...] = ()
        self._encoding: tuple[bytes, ...] = ()
        self._buffering: tuple[bytes, ...] = ()
        self._connection: tuple[bytes, ...] = ()
        # made when first asked for; the block for whom it was made
        self._quota_headers: HeaderMap | None = None
        self._block_of: tuple[Secret | None, bool, bool] | None = None
        self._block = b""

    def quota_headers(self) -> HeaderMap:
        """The rate limit headers of both families and ``retry-after`` (AG-130, AG-131), values as sent. Read-only."""
        headers = self._quota_headers
        if headers is None:
            headers = self._quota_headers = HeaderMap.from_raw(
                [(name, value) for name, _, value in map(_partition, self._quota)]
            )
        return headers

    def client_block(
        self, *, request_id: str, served: bytes = b"", attempts: int = 1, secret: Secret | None = None,
        server_side: bool = True, decoded: bool = False,
    ) -> bytes:  # fmt: skip
        """The header lines for the client, each with its line end; framing is the writer's.

        ``served``: ``served_lines`` of the candidate, b"" where ``ai.response_headers`` is off. ``secret``: the key
        used; ``server_side``: it is the operator's. ``decoded``: the body goes on without its content coding.
        """
        made_for = self._block_of
        if (
            made_for is None
            or made_for[0] is not secret
            or made_for[1] is not server_side
            or made_for[2] is not decoded
        ):
            lines = self._lines(server_side=server_side, decoded=decoded)
            if self.is_event_stream:
                lines.append(b"x-accel-buffering: no")
            lines.append(b"x-gateway-request-id: ")
            self._block = _scrubbed(b"\r\n".join(lines), secret)
            self._block_of = (secret, server_side, decoded)
        identity = request_id.encode()
        if self.has_x_request_id:
            ids = b"%b\r\nrequest-id: %b\r\n" % (identity, identity) if not self.has_request_id else identity + b"\r\n"
        elif self.has_request_id:
            ids = b"%b\r\nx-request-id: %b\r\n" % (identity, identity)
        else:
            ids = b"%b\r\nx-request-id: %b\r\nrequest-id: %b\r\n" % (identity, identity, identity)
        return b"%b%b%b%d\r\n" % (self._block, ids, served, attempts) if served else self._block + ids

    def header_map(self, *, secret: Secret | None = None, server_side: bool = True, decoded: bool = False) -> HeaderMap:
        """The same without the gateway's own headers: for the action result and the response phase (AG-280)."""
        block = _scrubbed(b"\r\n".join(self._lines(server_side=server_side, decoded=decoded)), secret)
        return HeaderMap.from_raw((name, value) for name, _, value in map(_partition, block.split(b"\r\n")) if name)

    def _lines(self, *, server_side: bool, decoded: bool) -> list[bytes]:
        lines = self._kept.copy()
        if self._encoding and not decoded:
            lines += self._encoding
        if self._account and not server_side:
            lines += self._account
        if self._buffering and not self.is_event_stream:
            lines += self._buffering
        return lines

    def _read_special(self, kind: int, line: bytes, value: bytes) -> None:
        """A line that is more than kept or dropped, by what it means."""
        if kind == _TYPE:
            self._kept.append(line)
            if not self.media_type:
                self.media_type = _MEDIA_TYPES.get(value) or _media_type(value)
                self.is_event_stream = self.media_type == EVENT_STREAM
        elif kind == _LENGTH:
            value = value.strip(b" \t")
            if self.content_length is not None or not value.isdigit() or len(value) > 18:
                raise BadResponse("conflicting or malformed content-length")
            self.content_length = int(value)
        elif kind == _X_REQUEST_ID:
            self._kept.append(line)
            self.has_x_request_id = True
        elif kind == _CODING:
            if self.chunked or value.strip(b" \t").lower() != b"chunked":
                raise BadResponse("unknown transfer coding")
            self.chunked = True
        elif kind == _REQUEST_ID:
            self._kept.append(line)
            self.has_request_id = True
        else:
            self._read_rare(kind, line, value)

    def _read_rare(self, kind: int, line: bytes, value: bytes) -> None:
        if kind == _ACCOUNT:
            self._account += (line,)
        elif kind == _BUFFERING:
            self._buffering += (line,)
        elif kind == _CONNECTION:
            self._connection += (value,)
        elif kind == _ENCODING:
            self._encoding += (line,)
            codings = value.decode("latin-1").lower().replace(" ", "")
            if codings not in {"", "identity"}:
                self.content_encoding = f"{self.content_encoding},{codings}" if self.content_encoding else codings

    def _settle(self) -> None:
        """What only the whole head tells."""
        if self._connection:
            self._apply_connection()
        if self.chunked and self.content_length is not None:
            raise BadResponse("transfer-encoding beside content-length")

    def _apply_connection(self) -> None:
        """``close``, ``keep-alive``, and the names of headers that are meant for this connection only."""
        words = {word.strip().lower() for value in self._connection for word in value.split(b",")}
        if b"close" in words:
            self.keep_alive = False
        elif b"keep-alive" in words:
            self.keep_alive = True
        named = words - {b"close", b"keep-alive", b""}
        if named:
            self._kept[:] = [line for line in self._kept if line.partition(b":")[0].lower() not in named]


def parse_head(raw: bytes, minor: int = 1) -> InboundHead:
    """Reads a head: status line and header lines, each with its CRLF; ``minor`` of HTTP/1.x. Raises BadResponse.

    Servers without request ids and quotas, such as those that people run themselves, repeat themselves for a second.
    """
    key = (raw, minor)
    head = _HEADS.get(key)
    if head is None:
        head = _read_head(raw, minor)
        if len(_HEADS) >= _HEADS_LIMIT:
            del _HEADS[next(iter(_HEADS))]
        _HEADS[key] = head
    return head


def _read_head(raw: bytes, minor: int) -> InboundHead:
    lines = raw.split(b"\r\n")
    if raw.translate(None, _PLAIN) != _LINE_ENDS[: 2 * len(lines) - 2] or lines.pop():
        raise BadResponse("too many header lines, or a control character in one")
    del lines[0]
    kept: list[bytes] = []
    quota: list[bytes] = []
    head = InboundHead(kept, quota, keep_alive=minor == 1)
    kinds = _KINDS
    for line in lines:
        name, colon, value = line.partition(b":")
        try:
            kind = kinds[name]
        except KeyError:
            kind = _kind(name)
        if not colon:
            raise BadResponse("header line without a colon")
        if kind < _DROP:
            kept.append(line)
            if kind:
                quota.append(line)
        elif kind != _DROP:
            head._read_special(kind, line, value)
    head._settle()
    if minor == 0 and head.chunked:
        raise BadResponse("transfer-encoding in HTTP/1.0")
    return head


def served_lines(provider: str, model: str) -> bytes:
    """The constant start of AG-221's lines for one candidate; the number of attempts follows it."""
    text = f"x-gateway-provider: {_safe(provider)}\r\nx-gateway-model: {_safe(model)}\r\nx-gateway-attempts: "
    return scrub(text).encode()


def header_block(headers: HeaderMap) -> bytes:
    """The lines of a map that a policy may have changed, each with its line end; framing headers are left out."""
    parts = [
        f"{name}: {_BREAKS.sub(' ', value)}\r\n"
        for name, value in headers.lines()
        if name not in _FRAMING and _TOKEN.fullmatch(name.encode("utf-8", "replace"))
    ]
    return "".join(parts).encode("utf-8", "surrogateescape")


def _kind(name: bytes) -> int:
    if not _TOKEN.fullmatch(name):
        raise BadResponse("malformed header name")
    lower = lower_name(name)
    kind = _MEANINGS.get(lower)
    if kind is None and lower.startswith(_QUOTA_PREFIXES):
        kind = _QUOTA
    elif kind is None:
        kind = _DROP if lower.startswith(_DROPPED_PREFIXES) else _KEEP
    if len(_KINDS) < _CACHE_LIMIT and len(name) <= 64:
        _KINDS[name] = kind
    return kind


def _media_type(value: bytes) -> str:
    media_type = value.partition(b";")[0].strip().decode("latin-1").lower()
    if len(_MEDIA_TYPES) < _CACHE_LIMIT and len(value) <= 128:
        _MEDIA_TYPES[value] = media_type
    return media_type


def _scrubbed(block: bytes, secret: Secret | None) -> bytes:
    text: str | None = None
    if secret is not None and (value := secret.reveal().strip()) and value.encode("utf-8", "surrogateescape") in block:
        text = block.decode("utf-8", "surrogateescape").replace(value, "***")
    elif b"-g1-" in block or b"-a1-" in block:
        text = block.decode("utf-8", "surrogateescape")
    if text is None:
        return block
    if holds_issued_token(text):
        text = scrub(text)
    return text.encode("utf-8", "surrogateescape")


def _partition(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")


def _safe(text: str) -> str:
    """A client's model name may hold anything; a header may not."""
    return _UNSAFE.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), text[:256]
    )
