"""A listener's TLS context, and what a connection of it tells (TP 6.2, TP-138); over sockets: ``wire/checklist``."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.demo.tls import make_certificate
from gateway.proxy.tls import TlsFacts, listener_context, tls_facts
from gateway.settings.model import TlsSettings

CERTIFICATE = make_certificate()


def shaken(context: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> ssl.SSLObject:
    """The server's side of a finished handshake in memory."""
    upwards, downwards = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(upwards, downwards, server_side=True)
    peer = client.wrap_bio(downwards, upwards, server_hostname=name)
    for _ in range(6):
        for side in (peer, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert server.version() is not None
    return server


def context_of(folder: Path) -> ssl.SSLContext:
    cert_file, key_file = CERTIFICATE.write(folder)
    return listener_context(TlsSettings(cert_file=cert_file, key_file=key_file))


@pytest.mark.parametrize(
    ("newest", "version"), [(ssl.TLSVersion.TLSv1_2, "1.2"), (ssl.TLSVersion.TLSv1_3, "1.3")]
)  # fmt: skip
def test_facts(newest: ssl.TLSVersion, version: str, tmp_path: Path) -> None:
    client = CERTIFICATE.client_context()
    client.maximum_version = newest
    facts = TlsFacts(shaken(context_of(tmp_path), client, "localhost"))
    assert (facts.version, facts.sni, facts.negotiated_alpn, facts.session_resumed) == (version, "localhost", "", False)
    assert facts.cipher_suite
    assert facts.client is None
    assert facts.server is not None
    assert facts.server.subject == "CN=localhost"


def test_a_client_that_names_nobody(tmp_path: Path) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    assert TlsFacts(shaken(context_of(tmp_path), client, None)).sni == ""


def test_old_versions_are_not_spoken(tmp_path: Path) -> None:
    assert context_of(tmp_path).minimum_version == ssl.TLSVersion.TLSv1_2


def test_plain_connections_have_none() -> None:
    """TP-138."""
    assert tls_facts(asyncio.BaseTransport({"ssl_object": None})) is None
