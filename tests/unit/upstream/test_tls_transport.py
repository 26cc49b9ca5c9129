"""TLS to an upstream: what the protocol above gets of every cut of the bytes, and how each kind of end looks to it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import ssl
import weakref
from dataclasses import dataclass, field

import pytest

from gateway.demo.tls import SelfSigned, make_certificate
from gateway.upstream.tls_transport import TlsTransport
from tests.unit.upstream.wire_double import RecordingTransport

#: the most that one record carries
RECORD_BYTES = 16_384


@pytest.fixture(scope="module")
def certificate() -> SelfSigned:
    return make_certificate()


@pytest.fixture(scope="module")
def server_context(certificate: SelfSigned) -> ssl.SSLContext:
    return certificate.server_context()


@dataclass
class Above(asyncio.Protocol):
    """Notes what it is told, in order."""

    heard: list[str] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)
    error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        assert data, "a block without bytes"
        self.blocks.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append("lost")
        self.error = exc

    @property
    def received(self) -> bytes:
        return b"".join(self.blocks)


class Ends:
    """Client and server of one connection, without a network between them."""

    def __init__(
        self, client: ssl.SSLContext, server: ssl.SSLContext, *, host: str = "localhost", version: str = "TLSv1_3"
    ) -> None:
        server.maximum_version = ssl.TLSVersion[version]
        self._to_server, self._from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(self._to_server, self._from_server, server_side=True)
        self.above = Above()
        self.plain = RecordingTransport()
        self.tls = TlsTransport(self.above, client, host, asyncio.get_running_loop().create_future())

    def connect(self) -> None:
        """Until neither has anything more to say."""
        self.tls.connection_made(self.plain)
        self.shake_hands()

    def shake_hands(self) -> None:
        while True:
            self.carry()
            with contextlib.suppress(ssl.SSLWantReadError):
                self.server.do_handshake()
            answer = self._from_server.read()
            if not answer:
                return
            self.tls.data_received(answer)

    def carry(self) -> None:
        """What the client sent to the server."""
        for block in self.plain.written:
            self._to_server.write(block)
        self.plain.written.clear()

    def encrypted(self, *pieces: bytes) -> bytes:
        """One record for each piece."""
        for piece in pieces:
            self.server.write(piece)
        return self._from_server.read()

    def farewell(self) -> bytes:
        """The server's close_notify."""
        with pytest.raises(ssl.SSLWantReadError):
            self.server.unwrap()
        return self._from_server.read()

    def sent(self) -> bytes:
        """What the server could decrypt since the last call; ends at close_notify."""
        self.carry()
        pieces = []
        while True:
            try:
                piece = self.server.read(RECORD_BYTES)
            except ssl.SSLWantReadError:
                break
            if not piece:
                pieces.append(b"<end>")
                break
            pieces.append(piece)
        return b"".join(pieces)


def client_context(certificate: SelfSigned) -> ssl.SSLContext:
    context = certificate.client_context()
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
async def ends(request: pytest.FixtureRequest, certificate: SelfSigned, server_context: ssl.SSLContext) -> Ends:
    made = Ends(client_context(certificate), server_context, version=request.param)
    made.connect()
    assert made.tls.established.done()
    assert made.above.heard == ["made"]
    return made


async def test_one_record_is_one_block(ends: Ends) -> None:
    for event in (b"data: 1\n\n", b"x", b"y" * RECORD_BYTES):
        ends.tls.data_received(ends.encrypted(event))
    assert ends.above.blocks == [b"data: 1\n\n", b"x", b"y" * RECORD_BYTES]


async def test_records_that_come_together_are_one_block(ends: Ends) -> None:
    ends.tls.data_received(ends.encrypted(b"a", b"b" * 700, b"c" * RECORD_BYTES, b"d"))
    assert ends.above.blocks == [b"a" + b"b" * 700 + b"c" * RECORD_BYTES + b"d"]


async def test_every_cut_of_records_of_every_size(ends: Ends) -> None:
    rng = random.Random(7)
    for _ in range(150):
        pieces = [rng.randbytes(rng.choice((1, 20, 333, 4_000, RECORD_BYTES))) for _ in range(rng.randint(1, 6))]
        data = ends.encrypted(*pieces)
        cuts = sorted(rng.randrange(len(data)) for _ in range(rng.randint(0, 5)))
        before = len(ends.above.received)
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            if end > start:
                ends.tls.data_received(data[start:end])
        assert ends.above.received[before:] == b"".join(pieces)


async def test_single_bytes(ends: Ends) -> None:
    for byte in ends.encrypted(b"one", b"two"):
        ends.tls.data_received(bytes((byte,)))
    assert ends.above.blocks == [b"one", b"two"]


async def test_what_is_written_arrives_encrypted(ends: Ends) -> None:
    ends.tls.write(b"POST / HTTP/1.1\r\n\r\n")
    assert b"POST" not in ends.plain.bytes_written
    ends.tls.write(bytearray(3 * RECORD_BYTES))
    assert ends.sent() == b"POST / HTTP/1.1\r\n\r\n" + bytes(3 * RECORD_BYTES)


async def test_nothing_is_heard_before_the_handshake(certificate: SelfSigned, server_context: ssl.SSLContext) -> None:
    ends = Ends(client_context(certificate), server_context)
    ends.tls.connection_made(ends.plain)
    assert ends.above.heard == []
    assert not ends.tls.established.done()
    ends.shake_hands()
    assert ends.above.heard == ["made"]


async def test_payload_behind_the_handshake_in_one_block(
    certificate: SelfSigned, server_context: ssl.SSLContext
) -> None:
    ends = Ends(client_context(certificate), server_context, version="TLSv1_2")
    ends.tls.connection_made(ends.plain)
    ends.carry()
    with pytest.raises(ssl.SSLWantReadError):
        ends.server.do_handshake()
    ends.tls.data_received(ends.encrypted())
    ends.carry()
    ends.server.do_handshake()
    ends.tls.data_received(ends.encrypted(b"early"))
    assert ends.above.heard == ["made"]
    assert ends.above.received == b"early"


@pytest.mark.parametrize("host", ["example.com", "127.0.0.2"])
async def test_a_certificate_for_another_host(
    certificate: SelfSigned, server_context: ssl.SSLContext, host: str
) -> None:
    ends = Ends(client_context(certificate), server_context, host=host)
    with pytest.raises(ssl.SSLError, match="bad certificate"):  # what the server is told
        ends.connect()
    assert ends.plain.aborted
    ends.tls.connection_lost(None)
    with pytest.raises(ssl.SSLCertVerificationError):
        ends.tls.established.result()
    assert ends.above.heard == []


async def test_a_certificate_that_nobody_trusts(server_context: ssl.SSLContext) -> None:
    ends = Ends(ssl.create_default_context(), server_context)
    with pytest.raises(ssl.SSLError, match="unknown ca"):
        ends.connect()
    ends.tls.connection_lost(None)
    with pytest.raises(ssl.SSLCertVerificationError):
        ends.tls.established.result()
    assert ends.above.heard == []


async def test_a_server_that_speaks_no_tls(certificate: SelfSigned, server_context: ssl.SSLContext) -> None:
    ends = Ends(client_context(certificate), server_context)
    ends.tls.connection_made(ends.plain)
    ends.tls.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert ends.plain.aborted
    ends.tls.connection_lost(None)
    with pytest.raises(ssl.SSLError):
        ends.tls.established.result()
    assert ends.above.heard == []


async def test_closed_during_the_handshake(certificate: SelfSigned, server_context: ssl.SSLContext) -> None:
    ends = Ends(client_context(certificate), server_context)
    ends.tls.connection_made(ends.plain)
    ends.tls.connection_lost(None)
    with pytest.raises(ConnectionResetError, match="handshake"):
        ends.tls.established.result()
    assert ends.above.heard == []


async def test_a_dial_that_was_given_up(certificate: SelfSigned, server_context: ssl.SSLContext) -> None:
    ends = Ends(client_context(certificate), server_context)
    ends.tls.established.cancel()
    ends.tls.connection_made(ends.plain)
    ends.tls.connection_lost(None)
    assert ends.above.heard == []


async def test_the_server_ends_the_connection(ends: Ends) -> None:
    ends.tls.data_received(ends.encrypted(b"last") + ends.farewell())
    assert ends.above.received == b"last"
    assert ends.plain.closed
    assert ends.tls.is_closing()
    ends.tls.connection_lost(None)
    assert ends.above.heard == ["made", "lost"]
    assert ends.above.error is None


async def test_a_connection_cut_without_an_end_is_broken(ends: Ends) -> None:
    ends.tls.data_received(ends.encrypted(b"half of"))
    assert ends.tls.eof_received() is False
    ends.tls.connection_lost(None)
    assert ends.above.received == b"half of"
    assert isinstance(ends.above.error, ssl.SSLEOFError)


async def test_a_reset_says_so(ends: Ends) -> None:
    reset = ConnectionResetError()
    ends.tls.connection_lost(reset)
    assert ends.above.error is reset


@pytest.mark.parametrize("at", [0, 1])
async def test_a_forged_record_breaks_the_connection(ends: Ends, at: int) -> None:
    good, forged = ends.encrypted(b"good"), bytearray(ends.encrypted(b"evil"))
    forged[-1] ^= 1
    ends.tls.data_received((good if at else b"") + bytes(forged))
    assert ends.above.received == (b"good" if at else b"")
    assert ends.plain.aborted
    ends.tls.connection_lost(None)
    assert isinstance(ends.above.error, ssl.SSLError)


async def test_closing_says_so_once(ends: Ends) -> None:
    ends.tls.close()
    ends.tls.close()
    ends.tls.write(b"too late")
    assert ends.plain.closed
    assert ends.sent() == b"<end>"
    ends.tls.connection_lost(None)
    assert ends.above.error is None


async def test_aborting_says_nothing(ends: Ends) -> None:
    ends.tls.abort()
    ends.tls.write(b"too late")
    ends.tls.close()
    assert ends.plain.aborted
    assert ends.plain.written == []
    ends.tls.connection_lost(None)
    assert ends.above.heard == ["made", "lost"]


async def test_a_lost_connection_is_free_at_once(ends: Ends) -> None:
    """Without the collector, which would have to look at everything."""
    above, ends.above = weakref.ref(ends.above), Above()
    gc.disable()
    try:
        ends.tls.connection_lost(None)
        assert above() is None
    finally:
        gc.enable()


async def test_reading_pauses_below(ends: Ends) -> None:
    ends.tls.pause_reading()
    assert not ends.plain.reading
    ends.tls.resume_reading()
    assert ends.plain.reading
