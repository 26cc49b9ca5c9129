"""Certificates that are renewed under a running process (SV-11, SV-20)."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
from pathlib import Path

import pytest

from gateway.demo.tls import make_certificate
from tests.e2e.serving_process import run, serving

ANY = "127.0.0.1:0"


def issue(folder: Path) -> str:
    """A new pair in place of the old one; the certificate."""
    certificate, _ = make_certificate("localhost").write(folder)
    return certificate.read_text()


async def shown(address: str) -> str:
    """The certificate that a new connection gets."""
    host, _, port = address.rpartition(":")
    return await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))


def same(one: str, other: str) -> bool:
    return ssl.PEM_cert_to_DER_cert(one.strip() + "\n") == ssl.PEM_cert_to_DER_cert(other.strip() + "\n")


@pytest.mark.parametrize("how", ["signal", "watch"])
async def test_sv_11_certificates_are_read_again_on_reload(tmp_path: Path, how: str) -> None:
    """New connections get the new one, on either listener; a pair that does not fit keeps the old one, and says so."""
    pairs = tmp_path / "tls"
    await asyncio.to_thread(pairs.mkdir)
    first = await asyncio.to_thread(issue, pairs)
    tls = {"cert_file": str(pairs / "cert.pem"), "key_file": str(pairs / "key.pem")}
    config = tmp_path / "gateway.json"
    endpoint = {"name": "e", "listen": ANY, "tls": tls}
    await asyncio.to_thread(config.write_text, json.dumps({"endpoints": [endpoint], "admin": {"tls": tls}}))
    arguments = ["--config", str(config), *(["--watch"] if how == "watch" else [])]
    async with serving(tmp_path, *arguments) as gateway:
        data = (await gateway.url()).removeprefix("https://")
        admin = (await gateway.line(r"management listens on ([\d.:]+)"))[1]
        assert same(await shown(data), first)
        assert same(await shown(admin), first)
        second = await asyncio.to_thread(issue, pairs)
        at = len(gateway.lines)
        if how == "signal":
            gateway.signal(signal.SIGHUP)
        await gateway.line("reloaded", at)
        assert same(await shown(data), second)
        assert same(await shown(admin), second)
        at = len(gateway.lines)
        await asyncio.to_thread(Path(tls["key_file"]).write_text, "no key")
        if how == "signal":
            gateway.signal(signal.SIGHUP)
        await gateway.line("reload failed", at)
        await gateway.line(r"error .*cert\.pem", at)
        assert same(await shown(data), second)
        assert same(await shown(admin), second)
        assert "Traceback" not in gateway.text


@pytest.mark.parametrize("arguments", [(), ("--check",)], ids=["serve", "check"])
@pytest.mark.parametrize("broken", ["cert.pem", "key.pem"])
async def test_a_pair_that_cannot_be_used_is_named_before_anything_listens(
    tmp_path: Path, broken: str, arguments: tuple[str, ...]
) -> None:
    """SV-1: status 2, which endpoint, which file, and no traceback."""
    await asyncio.to_thread(issue, tmp_path)
    await asyncio.to_thread((tmp_path / broken).write_text, "no such thing")
    tls = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    endpoints = [{"name": "plain", "listen": ANY}, {"name": "safe", "listen": ANY, "tls": tls}]
    config = tmp_path / "gateway.json"
    await asyncio.to_thread(config.write_text, json.dumps({"endpoints": endpoints, "admin": {"listen": ANY}}))
    code, text = await run("serve", "--config", str(config), "--data-dir", str(tmp_path / "data"), *arguments)
    assert code == 2
    assert f"error ERR_AIGW_CONFIG: endpoint safe, {tmp_path / 'cert.pem'}: " in text
    assert "listening on" not in text
    assert "Traceback" not in text
