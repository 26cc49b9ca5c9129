"""Codings of answers (TP-530, TP-531)."""

from __future__ import annotations

import zlib

import brotli
import pytest

from gateway.upstream.decoding import decode
from gateway.upstream.encoding import CODINGS, Compressor, negotiate, preferences

ALL = ("gzip", "deflate", "br", "compress")


@pytest.mark.parametrize(
    ("lines", "offered", "chosen"),
    [
        ([], ALL, ""),
        ([""], ALL, ""),
        (["gzip"], ALL, "gzip"),
        (["gzip, deflate, br"], ALL, "gzip"),
        (["gzip, deflate, br"], ("br", "gzip"), "br"),
        (["gzip;q=0.5, br;q=0.8"], ALL, "br"),
        (["gzip;q=0.5", "br;q=0.8"], ALL, "br"),
        (["gzip;q=0"], ALL, ""),
        (["gzip;q=0, *"], ALL, "deflate"),
        (["*"], ALL, "gzip"),
        (["*;q=0"], ALL, ""),
        (["*;q=0, br;q=0.1"], ALL, "br"),
        (["compress"], ALL, ""),
        (["x-gzip"], ALL, "gzip"),
        (["GZIP ; Q=0.4"], ALL, "gzip"),
        (["identity, gzip;q=0.5"], ALL, ""),
        (["identity;q=0.5, gzip"], ALL, "gzip"),
        (["identity, gzip"], ALL, "gzip"),
        (["zstd"], ALL, ""),
        (["gzip;q=2, br;q=abc, de flate"], ALL, ""),
        (["gzip"], ("br",), ""),
        (["gzip"], (), ""),
    ],
)
def test_the_highest_weight_wins_tp530(lines: list[str], offered: tuple[str, ...], chosen: str) -> None:
    assert negotiate(lines, offered) == chosen


def test_preferences_by_example() -> None:
    assert preferences(["gzip;q=0.5, *", "br;q=1.000"]) == {"gzip": 0.5, "*": 1.0, "br": 1.0}


@pytest.mark.parametrize("coding", CODINGS)
def test_what_goes_in_comes_out(coding: str) -> None:
    body = "A body with ümlauts, again and again. ".encode() * 500
    machine = Compressor(coding)
    encoded = b"".join(machine.feed(body[at : at + 1_000]) for at in range(0, len(body), 1_000)) + machine.finish()
    assert decode(coding, encoded, 1 << 20) == body
    assert len(encoded) < len(body) / 10
    empty = Compressor(coding)
    assert decode(coding, empty.feed(b"") + empty.finish(), 10) == b""


@pytest.mark.parametrize("coding", CODINGS)
def test_each_message_can_be_read_at_once_tp531(coding: str) -> None:
    machine = Compressor(coding, flush_each=True)
    zlib_reader = zlib.decompressobj(zlib.MAX_WBITS | 32)
    brotli_reader = brotli.Decompressor()
    read = brotli_reader.process if coding == "br" else zlib_reader.decompress
    for n in range(5):
        assert read(machine.feed(b"data: %d\n\n" % n)) == b"data: %d\n\n" % n
