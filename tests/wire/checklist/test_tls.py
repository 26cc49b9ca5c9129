"""Checklist: a listener with a certificate (CL-58), and every variable of the connection that it gives (TP 6.2)."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.demo.tls import make_certificate
from gateway.settings.model import Settings, TlsSettings
from tests.wire.checklist.stage import NOTATIONS, Answer, Row, Stage, play, row, rows
from tests.wire.running import read_answer, request_bytes

CERTIFICATE = make_certificate("gateway.test")
FOLDER = TemporaryDirectory()


def encrypted(settings: Settings) -> Settings:
    """The endpoint with a certificate."""
    files = TlsSettings(**dict(zip(("cert_file", "key_file"), CERTIFICATE.write(Path(FOLDER.name)), strict=True)))
    (endpoint,) = settings.endpoints
    return replace(settings, endpoints=(replace(endpoint, tls=files),))


async def ask(stage: Stage, version: ssl.TLSVersion, name: str = "gateway.test") -> Answer:
    """One request over a connection of this version."""
    context = await asyncio.to_thread(CERTIFICATE.client_context)
    context.maximum_version = version
    address = stage.gateway.address
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname=name)
    writer.write(request_bytes("/x", method="GET"))
    try:
        return Answer(*await read_answer(reader))
    finally:
        writer.transport.abort()


@row(
    58,
    """
        on_http_request:
          - expressions: ["conn.tls.version < '1.3'"]
            actions: [{type: custom-response, config: {status_code: 401, body: "${conn.tls.version} is too old"}}]
          - {type: custom-response, config: {body: "${req.url.scheme} ${conn.tls.version}"}}
    """,
    change=encrypted,
)
async def old_versions_are_refused(stage: Stage) -> None:
    old = await ask(stage, ssl.TLSVersion.TLSv1_2)
    assert (old.status, old.text) == (401, "1.2 is too old")
    new = await ask(stage, ssl.TLSVersion.TLSv1_3)
    assert (new.status, new.text) == (200, "https 1.3")


@row(
    58,
    """
        on_tcp_connect:
          - expressions: ["conn.tls.sni == 'localhost'"]
            actions: [{type: deny}]
        on_http_request:
          - type: custom-response
            config:
              body: >-
                ${json.encode([conn.tls.sni, conn.tls.cipher_suite.startsWith('TLS_'), conn.tls.session_resumed,
                conn.tls.negotiated_alpn, conn.tls.client.subject.common_name, conn.tls.server.subject.common_name,
                conn.tls.server.subject, conn.tls.server.issuer.organization, conn.tls.server.san.dns_names,
                conn.tls.server.san.ip_addresses, conn.tls.server.signature_algorithm,
                size(conn.tls.server.serial_number) > 5,
                conn.tls.server.validity.not_after > timestamp(time.now),
                conn.tls.server.extensions.exists(e, e.id == '2.5.29.17' && size(e.value) > 4 && !e.critical)])}
    """,
    change=encrypted,
)
async def what_expressions_see_of_it(stage: Stage) -> None:
    assert (await ask(stage, ssl.TLSVersion.TLSv1_3)).json == [
        "gateway.test", True, False, "", None, "localhost", "CN=localhost", [], ["localhost", "gateway.test"],
        ["127.0.0.1", "::1"], "ECDSA-SHA256", True, True, True,
    ]  # fmt: skip
    with pytest.raises((ConnectionError, EOFError)):
        await ask(stage, ssl.TLSVersion.TLSv1_3, "localhost")


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
