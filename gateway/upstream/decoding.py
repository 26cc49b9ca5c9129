"""Content codings of upstream answers (AG-217) and of request bodies (P14), always with a bound on what comes out.

Only ``identity`` is asked for, so this runs for upstreams that compress regardless and for clients that send
compressed bodies. Bounds hold while decoding: no coding may first inflate and then be measured.
"""

from __future__ import annotations

import zlib
from typing import Protocol

import brotli
import zstandard

CODINGS = frozenset(("gzip", "x-gzip", "deflate", "br", "zstd"))
_STEP_BYTES = 65_536


class DecodeError(ValueError):
    """The bytes are not what the coding says."""


class TooLarge(ValueError):  # noqa: N818 - reads as what it is
    """More would come out than allowed."""


class Decoder(Protocol):
    """Incremental decoder: ``feed`` gives what came out; ``finished`` tells whether the stream is complete."""

    finished: bool

    def feed(self, encoded: bytes) -> bytes: ...


class _Zlib:
    """gzip (several members too) and deflate (zlib or raw)."""

    __slots__ = ("_deflate", "_left", "_machine", "_wbits", "finished")

    def __init__(self, *, deflate: bool, limit_bytes: int) -> None:
        self._deflate = deflate
        self._wbits = zlib.MAX_WBITS if deflate else 16 + zlib.MAX_WBITS
        self._machine = zlib.decompressobj(self._wbits)
        self._left = limit_bytes
        self.finished = False

    def feed(self, encoded: bytes) -> bytes:
        out: list[bytes] = []
        try:
            while encoded:
                if self._machine.eof:
                    if self._deflate:
                        raise DecodeError("bytes after the end of a deflate stream")
                    self._machine = zlib.decompressobj(self._wbits)
                out.append(self._step(encoded))
                encoded = self._machine.unconsumed_tail or self._machine.unused_data
        except zlib.error as error:
            raise DecodeError(f"broken compression: {error}") from None
        self.finished = self._machine.eof
        return b"".join(out)

    def _step(self, encoded: bytes) -> bytes:
        try:
            piece = self._machine.decompress(encoded, min(_STEP_BYTES, self._left) + 1)
        except zlib.error:
            if not self._deflate or self._wbits < 0:
                raise
            self._wbits = -zlib.MAX_WBITS  # "deflate" without the zlib wrapper is common enough to be read
            self._machine = zlib.decompressobj(self._wbits)
            piece = self._machine.decompress(encoded, min(_STEP_BYTES, self._left) + 1)
        self._left -= len(piece)
        if self._left < 0:
            raise TooLarge
        return piece


class _Brotli:
    __slots__ = ("_left", "_machine", "finished")

    def __init__(self, limit_bytes: int) -> None:
        self._machine = brotli.Decompressor()
        self._left = limit_bytes
        self.finished = False

    def feed(self, encoded: bytes) -> bytes:
        out: list[bytes] = []
        try:
            while True:
                piece = self._machine.process(encoded, output_buffer_limit=_STEP_BYTES)
                encoded = b""
                out.append(piece)
                self._left -= len(piece)
                if self._left < 0:
                    raise TooLarge
                if self._machine.is_finished() or (not piece and self._machine.can_accept_more_data()):
                    break
                if self._machine.can_accept_more_data() and len(piece) < _STEP_BYTES:
                    break
        except brotli.error as error:
            raise DecodeError(f"broken compression: {error}") from None
        self.finished = self._machine.is_finished()
        return b"".join(out)


class _Zstd:
    """zstd. A frame that declares its size is measured before anything is allocated for it (P14)."""

    __slots__ = ("_held", "_left", "_machine", "finished")

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self._held = b""
        self._machine: zstandard.ZstdDecompressionObj | None = None
        self.finished = False

    def feed(self, encoded: bytes) -> bytes:
        out: list[bytes] = []
        try:
            while encoded or (self._machine is None and self._held):
                if self._machine is None:
                    encoded, self._held = self._held + encoded, b""
                    if not self._begin(encoded):
                        return b"".join(out)
                assert self._machine is not None
                # small inputs bound what one call can produce: a block is at most 128 KiB of output
                step, encoded = encoded[:1_024], encoded[1_024:]
                piece = self._machine.decompress(step)
                self._left -= len(piece)
                if self._left < 0:
                    raise TooLarge
                out.append(piece)
                if self._machine.eof:
                    encoded = self._machine.unused_data + encoded
                    self._machine = None
        except zstandard.ZstdError as error:
            raise DecodeError(f"broken compression: {error}") from None
        self.finished = self._machine is None and not self._held
        return b"".join(out)

    def _begin(self, encoded: bytes) -> bool:
        if len(encoded) < 18:  # the longest frame header
            try:
                parameters = zstandard.get_frame_parameters(encoded)
            except zstandard.ZstdError:
                self._held = encoded
                return False
        else:
            parameters = zstandard.get_frame_parameters(encoded)
        declared = parameters.content_size
        if declared not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) and declared > self._left:
            raise TooLarge
        self._machine = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
        return True


def decoder(coding: str, limit_bytes: int) -> Decoder:
    """A decoder for one of ``CODINGS`` that gives at most ``limit_bytes`` in all."""
    if coding in ("gzip", "x-gzip"):
        return _Zlib(deflate=False, limit_bytes=limit_bytes)
    if coding == "deflate":
        return _Zlib(deflate=True, limit_bytes=limit_bytes)
    if coding == "br":
        return _Brotli(limit_bytes)
    if coding == "zstd":
        return _Zstd(limit_bytes)
    raise ValueError(f"unknown coding {coding!r}")


def decode(coding: str, encoded: bytes, limit_bytes: int) -> bytes:
    """A whole body. Runs for as long as the body is large: callers on the event loop use a thread."""
    machine = decoder(coding, limit_bytes)
    decoded = machine.feed(encoded)
    if not machine.finished:
        raise DecodeError("compressed data ends too early")
    return decoded
