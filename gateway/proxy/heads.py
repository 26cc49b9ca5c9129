"""Request heads that repeat themselves: read once by aiohttp's parser, recognised by their bytes from then on.

A client sends the same head again and again; only its ``content-length`` differs. Once aiohttp's parser and ``accept``
have read such a head without complaint, the same bytes mean the same thing, and are neither parsed nor judged again.

Invariants
    1. A head is recognised only if it equals, byte for byte but for the digits of its one ``content-length``, a head
       that was accepted: a plain HTTP/1.1 request with a sized body on a connection that stays open.
    2. The table holds at most ``HEADS_LIMIT`` heads of at most ``HEAD_BYTES`` each; the oldest makes room.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from gateway.exchange import RequestHead

HEADS_LIMIT: Final = 1_024
HEAD_BYTES: Final = 4_096
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,9})\r\n")
#: other headers that decide where a body ends
_FRAMING: Final = re.compile(rb"(?i)\n(?:content-length|transfer-encoding|upgrade)[ \t]*:")


class HeadBytes(NamedTuple):
    """A complete head at the start of some bytes."""

    #: the head without its length's digits; b"" if it states no length in the usual form
    key: bytes
    #: size of the body
    length: int
    #: where the body begins
    end: int


def scan(data: bytes) -> HeadBytes | None:
    """The head that ``data`` begins with; None if it is not complete, or too long to be remembered."""
    end = data.find(b"\r\n\r\n", 0, HEAD_BYTES) + 4
    if end < 4:
        return None
    found = _LENGTH.search(data, 0, end)
    if found is None:
        return HeadBytes(b"", 0, end)
    start, stop = found.span(1)
    return HeadBytes(data[:start] + data[stop:end], int(data[start:stop]), end)


def states_size(data: bytes, head: HeadBytes) -> bool:
    """Whether ``length`` tells without doubt where the body of an unknown head ends."""
    return len(_FRAMING.findall(data, 0, head.end)) == (1 if head.key else 0)


class HeadTable:
    """The heads known to one listener."""

    __slots__ = ("_heads", "find")

    def __init__(self) -> None:
        self._heads: dict[bytes, RequestHead] = {}
        #: the head for a key, or None
        self.find = self._heads.get

    def __len__(self) -> int:
        return len(self._heads)

    def learn(self, key: bytes, head: RequestHead) -> None:
        """Remembers an accepted head, if it is of the kind that may be recognised."""
        if not head.plain:
            return
        if len(self._heads) >= HEADS_LIMIT:
            del self._heads[next(iter(self._heads))]
        self._heads[key] = head
