"""TLS to an upstream: OpenSSL between a plain connection and the protocol above it, one read per block.

The event loop's own TLS asks OpenSSL for 256 KiB at a time, and learns from an exception that there is no more. For an
event of a stream that costs more than its decryption.

Invariants
    1. The protocol above gets nothing before the certificate was verified and the handshake is over.
    2. Whatever comes, no exception reaches the event loop: the connection is cut, and ``connection_lost`` says why.
    3. A connection that ends without TLS's own end (``close_notify``) was cut: anybody can send a FIN (RFC 9112, 9.8).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
from collections.abc import Callable
from typing import Final, cast

_NOBODY: Final = asyncio.Protocol()


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """The protocol of a plain connection, and the transport of the protocol ``above`` it.

    ``established`` is done when the handshake is over; it fails with OSError or ssl.SSLError. ``context`` must not
    allow renegotiation, so that nothing written ever waits for the other side.
    """

    __slots__ = (
        "_above", "_closing", "_deliver", "_ended", "_error", "_incoming", "_open", "_outgoing", "_plain", "_read",
        "_take", "_tls", "established",
    )  # fmt: skip

    def __init__(
        self, above: asyncio.Protocol, context: ssl.SSLContext, host: str, established: asyncio.Future[None]
    ) -> None:
        super().__init__()
        self.established = established
        self._above = above
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        # what each block needs
        self._take: Callable[[bytes], int] = self._incoming.write
        self._read: Callable[[int], bytes] = self._tls.read
        self._deliver: Callable[[bytes], None] = above.data_received
        self._plain = cast("asyncio.Transport", None)  # until ``connection_made``
        self._open = False
        #: nothing more goes out
        self._closing = False
        #: the other side has said that nothing more comes
        self._ended = False
        self._error: Exception | None = None

    # ---- asyncio.Protocol: the plain connection -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._plain = cast("asyncio.Transport", transport)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        self._take(data)
        if not self._open and not self._shake_hands():
            return
        size = len(data)
        try:
            payload = self._read(size)
            if self._incoming.pending or not 0 < len(payload) < size:
                payload = self._read_on(payload, size)
        except ssl.SSLWantReadError:
            payload = b""
        except ssl.SSLError as error:
            self._break(error)
            return
        if self._outgoing.pending:
            self._flush()
        if payload:
            self._deliver(payload)

    def _read_on(self, payload: bytes, size: int) -> bytes:
        """The block held more than one record, or the rest of one, or the end."""
        pieces = [payload]
        try:
            while payload and (self._incoming.pending or len(payload) == size):
                size = 2 * len(payload)  # the next is hardly longer; if it is, the rest comes with another read
                payload = self._read(size)
                pieces.append(payload)
        except ssl.SSLWantReadError:
            pass  # the next record is not complete
        except ssl.SSLError as error:
            self._break(error)
        if not payload:
            self._ended = True
            self.close()
        return b"".join(pieces)

    def _shake_hands(self) -> bool:
        """A step of the handshake; True: that was the last one."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert
            self._break(error)
            return False
        self._flush()
        self._open = True
        self._above.connection_made(self)
        if not self.established.done():
            self.established.set_result(None)
        return True

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        error = self._error or exc
        if not self._open:
            if not self.established.done():
                cut = ConnectionResetError(errno.ECONNRESET, "closed during the TLS handshake")
                self.established.set_exception(error or cut)
            return
        self._open = False
        if error is None and not self._ended and not self._closing:
            error = ssl.SSLEOFError("closed without TLS's own end")
        above, self._above = self._above, _NOBODY
        self._deliver = _NOBODY.data_received  # no cycle is left for the collector
        above.connection_lost(error)

    # ---- asyncio.Transport: the protocol above --------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends it encrypted; nothing happens on a connection that is closing."""
        if self._closing:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._break(error)
        else:
            self._flush()

    def is_closing(self) -> bool:
        return self._closing or self._plain.is_closing()

    def pause_reading(self) -> None:
        self._plain.pause_reading()

    def resume_reading(self) -> None:
        self._plain.resume_reading()

    def close(self) -> None:
        """Says so to the other side, and does not wait for its answer."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._plain.close()

    def abort(self) -> None:
        self._closing = True
        self._plain.abort()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._plain.write(self._outgoing.read())

    def _break(self, error: Exception) -> None:
        self._error = error
        self.abort()
