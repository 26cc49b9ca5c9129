"""Content codings of answers to clients (TP-530, TP-531): which one a client wants most, and the compressors."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

import brotli

#: what can be made; ``compress`` is known and never chosen
CODINGS = ("gzip", "deflate", "br")
_LEVEL = 6
_BROTLI_QUALITY = 4
_MEMBER = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


def preferences(lines: Iterable[str]) -> dict[str, float]:
    """``gzip;q=0.5, *`` → ``{'gzip': 0.5, '*': 1.0}`` (RFC 9110, 12.5.3); what cannot be read is left out."""
    weights: dict[str, float] = {}
    for line in lines:
        for member in line.split(","):
            match = _MEMBER.fullmatch(member)
            if match is not None:
                coding = match[1].lower().removeprefix("x-")
                weights.setdefault(coding, min(1.0, float(match[2])) if match[2] else 1.0)
    return weights


def negotiate(lines: Iterable[str], offered: Sequence[str]) -> str:
    """The coding with the highest weight, the first offered among equals; ``''`` to send the answer as it is."""
    weights = preferences(lines)
    anything = weights.get("*", 0.0)
    best, best_weight = "", 0.0
    for coding in offered:
        weight = weights.get(coding, anything)
        if coding in CODINGS and weight > best_weight:
            best, best_weight = coding, weight
    # a client that says that it prefers the plain answer gets it
    return best if best_weight >= weights.get("identity", 0.0) else ""


class Compressor:
    """One body. ``flush_each``: what was fed can be read by the client at once, as event streams need."""

    __slots__ = ("_brotli", "_flush_each", "_zlib")

    def __init__(self, coding: str, *, flush_each: bool = False) -> None:
        self._flush_each = flush_each
        self._brotli = brotli.Compressor(quality=_BROTLI_QUALITY) if coding == "br" else None
        wbits = zlib.MAX_WBITS if coding == "deflate" else 16 + zlib.MAX_WBITS
        self._zlib = zlib.compressobj(_LEVEL, zlib.DEFLATED, wbits)

    def feed(self, payload: bytes) -> bytes:
        if self._brotli is not None:
            out: bytes = self._brotli.process(payload)
            return out + self._brotli.flush() if self._flush_each else out
        out = self._zlib.compress(payload)
        return out + self._zlib.flush(zlib.Z_SYNC_FLUSH) if self._flush_each else out

    def finish(self) -> bytes:
        if self._brotli is not None:
            last: bytes = self._brotli.finish()
            return last
        return self._zlib.flush()
