"""Connections through a load balancer that speaks the PROXY protocol (SV-13)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from gateway.demo.tls import make_certificate
from gateway.proxy.announcing import AnnouncingListener
from gateway.settings.model import TlsSettings
from tests.unit.proxy.test_announced import HEADERS, V1
from tests.wire.running import RunningGateway, read_answer, request_bytes, settings_for

POLICY = """\
on_http_request:
  - actions:
      - type: custom-response
        config: {body: '${conn.client_ip} ${conn.client_port} ${conn.server_ip} ${conn.server_port}'}
"""


@asynccontextmanager
async def announced(tls: TlsSettings | None = None, limit: int = 20_000) -> AsyncIterator[RunningGateway]:
    """A gateway whose one listener wants headers."""
    settings = settings_for(POLICY)
    endpoints = tuple(replace(endpoint, proxy_protocol=True, tls=tls) for endpoint in settings.endpoints)
    server = replace(settings.server, max_connections=limit)
    async with RunningGateway(replace(settings, endpoints=endpoints, server=server)) as gateway:
        assert isinstance(gateway.process.listeners[0], AnnouncingListener)
        yield gateway


async def opened(gateway: RunningGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(gateway.address.host, gateway.address.port)


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(request_bytes("/", method="GET"))
    return (await read_answer(reader))[2].decode()


@pytest.mark.parametrize("name", HEADERS)
async def test_sv_13_the_announced_addresses_are_the_connections(name: str) -> None:
    """For every request of the connection; without addresses, its own count."""
    header, said = HEADERS[name]
    async with announced() as gateway:
        reader, writer = await opened(gateway)
        writer.write(header)
        own = f"127.0.0.1 {writer.get_extra_info('sockname')[1]} 127.0.0.1 {gateway.address.port}"
        wanted = own if said is None else f"{said.client_ip} {said.client_port} {said.server_ip} {said.server_port}"
        assert [await asked(reader, writer) for _ in range(2)] == [wanted, wanted]
        writer.close()


async def test_sv_13_a_header_may_come_byte_by_byte_and_with_the_request() -> None:
    async with announced() as gateway:
        for header in (V1, HEADERS["version 2"][0]):
            reader, writer = await opened(gateway)
            for byte in header:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert await asked(reader, writer) == "192.0.2.1 56324 198.51.100.7 443"
            writer.close()
            reader, writer = await opened(gateway)
            writer.write(header + request_bytes("/", method="GET"))
            assert (await read_answer(reader))[2] == b"192.0.2.1 56324 198.51.100.7 443"
            writer.close()


@pytest.mark.parametrize(
    "begin", [request_bytes("/", method="GET"), b"\x16\x03\x01\x00\x05hello", V1[:-2] + b"x" * 100]
)
async def test_sv_13_a_connection_without_a_header_is_closed_unanswered(begin: bytes) -> None:
    async with announced() as gateway:
        reader, writer = await opened(gateway)
        writer.write(begin)
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        assert gateway.records == []
        reader, writer = await opened(gateway)
        writer.write(V1)
        assert (await asked(reader, writer)).startswith("192.0.2.1")
        writer.close()


async def test_sv_13_the_header_comes_before_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = make_certificate("localhost")
    certificate, key = await asyncio.to_thread(authority.write, tmp_path_factory.mktemp("tls"))
    context = ssl.create_default_context(cafile=str(certificate))
    async with announced(TlsSettings(cert_file=certificate, key_file=key)) as gateway:
        reader, writer = await opened(gateway)
        writer.write(V1)
        await writer.drain()
        await writer.start_tls(context, server_hostname="localhost")
        assert await asked(reader, writer) == "192.0.2.1 56324 198.51.100.7 443"
        writer.close()


async def test_sv_26_silent_connections_count_for_the_limit_and_room_is_found_again() -> None:
    async with announced(limit=3) as gateway:
        silent = [await opened(gateway) for _ in range(3)]
        reader, writer = await opened(gateway)
        writer.write(V1 + request_bytes("/", method="GET"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.readexactly(1)
        for _, other in silent:
            other.close()
        async with asyncio.timeout(5):
            assert (await read_answer(reader))[2].startswith(b"192.0.2.1")
        writer.close()
