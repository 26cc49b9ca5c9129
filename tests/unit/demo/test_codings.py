"""Content codings, piece by piece."""

from __future__ import annotations

import zlib

import pytest

from gateway.demo.codings import build_coder


@pytest.mark.parametrize(("name", "wbits"), [("gzip", 31), ("deflate", 15)])
def test_every_piece_is_decodable_at_once(name, wbits):
    coder, decoder = build_coder(name), zlib.decompressobj(wbits)
    for piece in (b"data: 1\n\n", b"data: 2\n\n"):
        assert decoder.decompress(coder.encode(piece)) == piece
    assert decoder.decompress(coder.finish()) == b""
    assert decoder.eof


def test_unknown_codings_change_nothing():
    coder = build_coder("x-demo")
    assert (coder.encode(b"abc"), coder.finish()) == (b"abc", b"")
