"""``conn``, ``endpoint``, ``time``: TP 6.1 to 6.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gateway.exchange import Connection
from gateway.policy.model import Phase
from gateway.policy.options import PolicyOptions
from tests.unit.policy.world import CLOCK, context, request, value_of

EXCHANGE = request(content_length=5)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("conn.client_ip", "203.0.113.7"),
        ("conn.client_port", 5000),
        ("conn.server_ip", "192.0.2.1"),
        ("conn.server_port", 8443),
        ("conn.server_region", "eu"),
        ("string(conn.ts.start)", "2023-11-14T22:13:20.25Z"),
        ("conn.ts.end", None),
        ("conn.bytes_in", 5),
        ("conn.bytes_out", 0),
        ("inCidrRange(conn.client_ip, '203.0.113.0/24')", True),
        ("endpoint.id", "ep_1"),
        ("endpoint.url", "https://gateway.example:8443"),
        ("endpoint.host", "gateway.example"),
        ("endpoint.port", 8443),
        ("endpoint.addr", "gateway.example:8443"),
        ("endpoint.protocol", "https"),
        ("time.now", "2023-11-14T22:13:20Z"),
        ("timestamp(time.now) > timestamp('2023-01-01T00:00:00Z')", True),
    ],
)
def test_variables(expression: str, value: Any, phase: Phase) -> None:
    """Available in all phases."""
    assert value_of(expression, EXCHANGE, phase) == value


def test_counters_are_read_anew() -> None:
    exchange = request()
    assert value_of("conn.bytes_out", exchange) == 0
    exchange.sent_bytes = 9
    exchange.body = b"abc"
    assert value_of("conn.bytes_out", exchange) == 9
    assert value_of("conn.bytes_in", exchange) == 3


def test_time_moves() -> None:
    exchange = request()
    before = value_of("time.now", exchange)
    CLOCK.advance(1.5)
    try:
        assert value_of("time.now", exchange) != before
    finally:
        CLOCK.advance(-1.5)


ABSENT = [
    "conn.geo.country_code", "conn.client_ip.geo.location.city", "conn.server_ip.as.number",
    "conn.client_ip.categories",
    "conn.client_ip.is_on_blocklist", "conn.client_ip.is_tor_node", "conn.k8s.pod.id", "conn.tls.version",
    "conn.tls.ja4_fingerprint",
]  # fmt: skip


@pytest.mark.parametrize("variable", ABSENT)
def test_unavailable_variables_are_absent_where_they_load(variable: str) -> None:
    """TP-130."""
    lenient = context(PolicyOptions(unavailable_absent=True))
    assert value_of(variable, EXCHANGE, with_context=lenient) is None


@dataclass
class Tls:
    version: str = "1.3"
    cipher_suite: str = "TLS_AES_128_GCM_SHA256"
    sni: str = "gateway.example"


def test_tls() -> None:
    """TP 6.2, TP-138: absent on a plain connection, client certificates always."""
    tls = context(PolicyOptions(available=frozenset(("tls",))))
    exchange = request()
    assert value_of("conn.tls.version", exchange, with_context=tls) is None
    conn = exchange.conn
    exchange = request()
    exchange.conn = Connection(conn.client_ip, 1, conn.server_ip, 2, 0.0, Tls())
    assert value_of("conn.tls.version", exchange, with_context=tls) == "1.3"
    assert value_of("conn.tls.sni", exchange, with_context=tls) == "gateway.example"
    assert value_of("conn.tls.session_resumed", exchange, with_context=tls) is None
    assert value_of("conn.tls.client.subject.common_name", exchange, with_context=tls) is None
