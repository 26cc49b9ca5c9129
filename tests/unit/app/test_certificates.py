"""Certificates of listeners: one reading for each listener, and every problem at once (SV-11)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.app.certificates import read_certificates
from gateway.demo.tls import make_certificate
from gateway.settings import Settings
from gateway.settings.address import Listen, PublicUrl
from gateway.settings.model import EndpointSettings, TlsSettings

LISTEN = Listen("127.0.0.1", 8443)
PLAIN = EndpointSettings(id="ep_a", name="a", url=PublicUrl("http", "*", 8080), listen=Listen("127.0.0.1", 8080))


def with_tls(name: str, certificate: Path, key: Path, listen: Listen = LISTEN) -> EndpointSettings:
    tls = TlsSettings(cert_file=certificate, key_file=key)
    url = PublicUrl("https", "*", listen.port)
    return replace(PLAIN, id=f"ep_{name}", name=name, url=url, listen=listen, tls=tls)


def test_one_for_each_listener(tmp_path: Path) -> None:
    pair = make_certificate("localhost").write(tmp_path)
    first, second = with_tls("first", *pair), with_tls("second", *pair)
    other = with_tls("other", *pair, Listen("127.0.0.1", 9443))
    contexts, problems = read_certificates(Settings(endpoints=(PLAIN, first, second, other)))
    assert contexts.keys() == {first.listener, other.listener}
    assert first.listener == second.listener
    assert not list(problems)


def test_every_problem_with_its_endpoint(tmp_path: Path) -> None:
    certificate, key = make_certificate("localhost").write(tmp_path)
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no such thing")
    endpoints = (
        with_tls("absent", tmp_path / "none.pem", key, Listen("127.0.0.1", 1)),
        with_tls("good", certificate, key, Listen("127.0.0.1", 2)),
        with_tls("odd", garbage, key, Listen("127.0.0.1", 3)),
        with_tls("keyless", certificate, garbage, Listen("127.0.0.1", 4)),
    )
    contexts, problems = read_certificates(Settings(endpoints=endpoints))
    assert contexts.keys() == {endpoints[1].listener}
    assert problems.failed
    said = [problem.message for problem in problems]
    assert [words.partition(":")[0] for words in said] == [
        f"endpoint absent, {tmp_path / 'none.pem'}",
        f"endpoint odd, {garbage}",
        f"endpoint keyless, {certificate}",
    ]
