"""Transforms in a row."""

from __future__ import annotations

from gateway.policy.transform import TransformChain
from gateway.upstream.decoding import decode
from gateway.upstream.encoding import Compressor


class Upper:
    """Holds back the last byte until it is finished."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, payload: bytes) -> bytes:
        payload = self.held + payload
        self.held = payload[-1:]
        return payload[:-1].upper()

    def finish(self) -> bytes:
        return self.held.upper()


def test_in_order_and_with_what_each_still_holds() -> None:
    chain = TransformChain([Upper(), Compressor("gzip")])
    encoded = b"".join(chain.feed(part) for part in (b"a", b"", b"bc", b"d")) + chain.finish()
    assert decode("gzip", encoded, 100) == b"ABCD"
    assert decode("gzip", TransformChain([Upper(), Compressor("gzip")]).whole(b"xyz"), 100) == b"XYZ"


def test_none_at_all() -> None:
    assert TransformChain([]).whole(b"as it is") == b"as it is"
