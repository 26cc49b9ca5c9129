"""What exists in which phase: TP-78, TP-130, TP-144, TP-160."""

from __future__ import annotations

import pytest

from gateway.cel.compile import compile_expression
from gateway.cel.errors import CelTypeError
from gateway.policy.environments import environment_for, unavailable_variables
from gateway.policy.model import Phase
from tests.unit.policy.world import TABLE

PHASES = {"T": Phase.TCP, "R": Phase.REQUEST, "Q": Phase.RESPONSE, "S": Phase.STREAM}


def loads(expression: str, phase: Phase, **options: object) -> bool:
    try:
        compile_expression(expression, environment_for(phase, TABLE, **options))  # type: ignore[arg-type]
    except CelTypeError:
        return False
    return True


@pytest.mark.parametrize(
    ("expression", "where"),
    [
        ("conn.client_ip", "TRQS"),
        ("endpoint.id", "TRQS"),
        ("time.now", "TRQS"),
        ("vars.anything", "TRQS"),
        ("actions.ngrok.log.metadata", "TRQS"),
        ("secrets.get('a', 'b')", "TRQS"),
        ("secrets.get('a')", "TRQS"),
        ("req.method", "RQS"),
        ("getReqHeader('a')", "RQS"),
        ("hasReqHeader('a')", "RQS"),
        ("getQueryParam('a')", "RQS"),
        ("hasQueryParam('a')", "RQS"),
        ("getReqCookie('a')", "RQS"),
        ("hasReqCookie('a')", "RQS"),
        ("res.status_code", "QS"),
        ("getResHeader('a')", "QS"),
        ("hasResHeader('a')", "QS"),
        ("getResCookie('a')", "QS"),
        ("hasResCookie('a')", "QS"),
        ("sse.data", "S"),
        ("ai.models", ""),
        ("attempts", ""),
        ("geo", ""),
    ],
)
def test_phases(expression: str, where: str) -> None:
    assert "".join(letter for letter, phase in PHASES.items() if loads(expression, phase)) == where


@pytest.mark.parametrize(
    "expression",
    [
        "conn.geo.country_code", "conn.client_ip.geo.location.country", "conn.client_ip.as.number",
        "conn.server_ip.categories", "conn.client_ip.is_tor_node", "conn.k8s.pod.id", "conn.tls.version",
        "conn.tls.ja4_fingerprint",
    ],
)  # fmt: skip
def test_what_this_gateway_cannot_provide(expression: str) -> None:
    """TP-130: a load error, unless the installation wants it to be absent."""
    with pytest.raises(CelTypeError, match="variable not available: conn"):
        compile_expression(expression, environment_for(Phase.REQUEST, TABLE))
    assert loads(expression, Phase.REQUEST, absent=True)


@pytest.mark.parametrize(
    ("expression", "group"),
    [
        ("conn.geo.country_code == 'DE'", "geo"),
        ("conn.client_ip.geo.location.timezone in ['Europe/Berlin']", "geo"),
        ("conn.server_ip.geo.registered_location.is_eu", "geo"),
        ("conn.client_ip.as.number == 64500 && conn.server_ip.as.organization.contains('x')", "asn"),
    ],
)
def test_what_a_database_provides(expression: str, group: str) -> None:
    """TP-130; members have types then, so that a misspelt one is found."""
    assert loads(expression, Phase.TCP, available=frozenset((group,)))
    assert not loads(expression, Phase.TCP, available=frozenset(("geo", "asn", "feed", "tls")) - {group})
    for wrong in (expression.replace("country_code", "county"), expression + " && conn.geo == 1 && conn.geo.cty == ''"):
        assert wrong == expression or not loads(wrong, Phase.TCP, available=frozenset(("geo", "asn")))


def test_what_lists_provide() -> None:
    """TP-135."""
    for name in ("categories.size() == 0", "is_on_blocklist", "is_tor_node"):
        assert loads(f"conn.client_ip.{name}", Phase.TCP, available=frozenset(("feed",)))
        assert not loads(f"conn.client_ip.{name}", Phase.TCP, available=frozenset(("geo", "asn", "tls")))


def test_tls() -> None:
    """TP 6.2."""
    tls = frozenset(("tls",))
    assert loads("conn.tls.version == '1.3'", Phase.TCP, available=tls)
    assert not loads("conn.tls.ja4_fingerprint == ''", Phase.TCP, available=tls)
    assert not loads("conn.tls.versoin == ''", Phase.TCP, available=tls)


def test_reasons() -> None:
    assert unavailable_variables(frozenset())["conn.geo"] == "needs a city database: set geoip.city_db"
    assert "conn.tls" not in unavailable_variables(frozenset(("tls",)))
