"""Content codings of answers: each piece is flushed, so that an event can be decoded as soon as it arrives. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard


class Coder(Protocol):
    """Encodes a body piece by piece."""

    def encode(self, piece: bytes) -> bytes:
        """The piece, complete and decodable."""
        ...

    def finish(self) -> bytes:
        """What ends the coding."""
        ...


class Identity:
    """Leaves bytes alone."""

    def encode(self, piece: bytes) -> bytes:
        return piece

    def finish(self) -> bytes:
        return b""


class Deflating:
    """gzip (``wbits`` 31) or zlib (15)."""

    def __init__(self, wbits: int) -> None:
        self._coder = zlib.compressobj(wbits=wbits)

    def encode(self, piece: bytes) -> bytes:
        return self._coder.compress(piece) + self._coder.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._coder.flush(zlib.Z_FINISH)


class Brotli:
    """br."""

    def __init__(self) -> None:
        self._coder = brotli.Compressor()

    def encode(self, piece: bytes) -> bytes:
        return bytes(self._coder.process(piece) + self._coder.flush())

    def finish(self) -> bytes:
        return bytes(self._coder.finish())


class Zstandard:
    """zstd."""

    def __init__(self) -> None:
        self._coder = zstandard.ZstdCompressor().compressobj()

    def encode(self, piece: bytes) -> bytes:
        return self._coder.compress(piece) + self._coder.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._coder.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


_CODERS: dict[str, Callable[[], Coder]] = {
    "gzip": lambda: Deflating(31),
    "deflate": lambda: Deflating(15),
    "br": Brotli,
    "zstd": Zstandard,
}


def build_coder(name: str) -> Coder:
    """The coder of a content coding; unknown names leave the bytes alone (that is the fault)."""
    return _CODERS.get(name, Identity)()
