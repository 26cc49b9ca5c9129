"""TLS of a listener: its context, and what expressions see of a connection (TP 6.2)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from gateway.policy.certificates import Certificate, parse_certificate

if TYPE_CHECKING:
    import asyncio

    from gateway.settings.model import TlsSettings

#: where the name that a client asked for is kept on its connection's ``ssl.SSLObject``
_ASKED = "name_asked_for"


class ListenerContext(ssl.SSLContext):
    """Serves one certificate and knows it. A listener keeps its first one; ``newest`` serves new connections."""

    certificate: Certificate | None = None
    newest: ListenerContext | None = None


def listener_context(tls: TlsSettings) -> ListenerContext:
    """Reads certificate and key: blocks. Raises OSError, and ValueError for what is no certificate."""
    context = ListenerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.certificate = parse_certificate(tls.cert_file.read_bytes())
    context.sni_callback = _hello
    return context


def _hello(connection: Any, name: str, context: ssl.SSLContext) -> None:
    """What a handshake begins with, whether or not it names a host.

    The server's side of a connection does not show the name later on, so it is kept beside it; and files that were read
    again hold from here on (SV-11).
    """
    setattr(connection, _ASKED, name)
    newest = getattr(context, "newest", None)
    if newest is not None:
        connection.context = newest


class TlsFacts:
    """``Connection.tls``. Listeners ask for no client certificate, so ``client`` is absent."""

    __slots__ = ("cipher_suite", "client", "negotiated_alpn", "server", "session_resumed", "sni", "version")

    def __init__(self, connection: ssl.SSLObject) -> None:
        cipher = connection.cipher()
        self.version = (connection.version() or "").removeprefix("TLSv")
        self.cipher_suite = cipher[0] if cipher is not None else ""
        self.sni: str = getattr(connection, _ASKED, None) or ""
        self.negotiated_alpn = connection.selected_alpn_protocol() or ""
        self.session_resumed = bool(connection.session_reused)
        self.server: Certificate | None = getattr(connection.context, "certificate", None)
        self.client: Certificate | None = None


def tls_facts(transport: asyncio.BaseTransport) -> TlsFacts | None:
    """None on a plain connection (TP-138)."""
    connection = transport.get_extra_info("ssl_object")
    return TlsFacts(connection) if connection is not None else None
