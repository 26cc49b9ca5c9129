"""Request heads that repeat themselves: read once by aiohttp's parser, recognised by their bytes from then on.

A client sends the same head again and again; only its ``content-length`` differs. Once aiohttp's parser and ``accept``
have read such a head without complaint, the same bytes mean the same thing, and are neither parsed nor judged again.
The head that a connection sent last is compared with first (``recognise``), then the table is asked (``scan``).

Invariants
    1. A head is recognised only if it equals, byte for byte but for the digits of its one ``content-length``, a head
       that was accepted: a plain HTTP/1.1 request with a sized body on a connection that stays open.
    2. The table holds at most ``HEADS_LIMIT`` heads of at most ``HEAD_BYTES`` each; the oldest makes room.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.exchange import RequestHead

HEADS_LIMIT: Final = 1_024
HEAD_BYTES: Final = 4_096
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,9})\r\n")
#: the same in a key
_NO_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?(?=\r\n)")
#: other headers that decide where a body ends
_FRAMING: Final = re.compile(rb"(?i)\n(?:content-length|transfer-encoding|upgrade)[ \t]*:")


def scan(data: bytes) -> tuple[bytes, int, int]:
    """(key, size of the body, where the body begins) of the head that ``data`` begins with.

    The key is the head without its length's digits; b"" with size -1: it states none in the usual form. The last is 0
    for a head that is not complete, or too long to be remembered.
    """
    end = data.find(b"\r\n\r\n", 0, HEAD_BYTES) + 4
    if end < 4:
        return b"", -1, 0
    found = _LENGTH.search(data, 0, end)
    if found is None:
        return b"", -1, end
    start, stop = found.span(1)
    return data[:start] + data[stop:end], int(data[start:stop]), end


def recognise(head: RequestHead, data: bytes) -> tuple[int, int]:
    """(size of the body, where it begins) if ``data`` begins with this remembered head; else (-1, 0)."""
    before, behind = head.around_length
    if not data.startswith(before):
        return -1, 0
    start = len(before)
    stop = data.find(b"\r", start, start + 10)
    digits = data[start:stop]
    if not data.startswith(behind, stop) or not digits.isdigit():
        return -1, 0
    return int(digits), stop + len(behind)


def states_size(data: bytes, end: int, length: int) -> bool:
    """Whether ``scan`` tells without doubt where the body of an unknown head ends."""
    return len(_FRAMING.findall(data, 0, end)) == (1 if length >= 0 else 0)


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
        place = _NO_LENGTH.search(key)
        if not head.plain or place is None:
            return
        head.around_length = key[: place.end()], key[place.end() :]
        if len(self._heads) >= HEADS_LIMIT:
            del self._heads[next(iter(self._heads))]
        self._heads[key] = head
