"""``restrict-ips`` (TP-300 … TP-306, CL-50, P29)."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.auth.addresses import IpPolicyTable, IpRules
from gateway.exchange import ResponseHead
from gateway.headers import HeaderMap
from gateway.policy.action import CloseConnection
from gateway.policy.model import Phase
from gateway.policy.options import PolicyOptions
from tests.unit.actions.policies import Policies, action, refused, report, result


def passes(policies: Policies, config: str, client_ip: str) -> bool:
    policy = policies.compile(action("restrict-ips", config))
    return policies.run(policy, policies.exchange(client_ip=client_ip)) is None


@pytest.mark.parametrize(
    ("client_ip", "expected"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("203.0.113.66", False),
        ("::ffff:203.0.113.5", True),
        ("2001:db8::1", True),
        ("2001:db8:dead::1", False),
        ("2001:db9::1", False),
        ("", False),
    ],
)
def test_allowed_and_not_denied_tp301(client_ip: str, expected: bool) -> None:
    config = "allow: [203.0.113.0/24, '2001:db8::/32']\ndeny: [203.0.113.66/32, '2001:db8:dead::/48']"
    assert passes(Policies(), config, client_ip) is expected


def test_the_refusal_is_a_403_tp304() -> None:
    policies = Policies()
    policy = policies.compile(action("restrict-ips", "allow: [10.0.0.0/8]"))
    error = refused(policies.run(policy, policies.exchange()))
    assert (error.code, error.status) == ("ERR_NGROK_3203", 403)


def test_forwarding_headers_are_never_consulted_tp300_p29() -> None:
    policies = Policies()
    policy = policies.compile(action("restrict-ips", "allow: [10.0.0.0/8]"))
    spoofed = {"x-forwarded-for": "10.0.0.1", "x-real-ip": "10.0.0.1", "forwarded": "for=10.0.0.1"}
    refused(policies.run(policy, policies.exchange(headers=spoofed)))


def test_a_connection_is_closed_tp304() -> None:
    policies = Policies()
    policy = policies.compile(action("restrict-ips", "allow: [10.0.0.0/8]", "on_tcp_connect"))
    assert isinstance(policies.run(policy, policies.exchange(), Phase.TCP), CloseConnection)
    assert policies.run(policy, policies.exchange(client_ip="10.1.1.1"), Phase.TCP) is None


def test_a_response_is_refused_tp304() -> None:
    policies = Policies()
    policy = policies.compile(action("restrict-ips", "allow: [10.0.0.0/8]", "on_http_response"))
    exchange = policies.exchange(response=ResponseHead(200, HeaderMap()))
    refused(policies.run(policy, exchange, Phase.RESPONSE))


def test_deny_alone_refuses_everybody_with_a_warning_tp302() -> None:
    policies = Policies()
    text = action("restrict-ips", "deny: [10.0.0.0/8]")
    warnings = [problem for problem in policies.problems(text).warnings if "0.0.0.0/0" in problem.message]
    assert len(warnings) == 1
    assert "::/0" in warnings[0].message
    assert not passes(policies, "deny: [10.0.0.0/8]", "203.0.113.7")


def test_ipv4_entries_do_not_match_ipv6_tp303() -> None:
    assert not passes(Policies(), "allow: [0.0.0.0/0]", "2001:db8::1")
    assert not passes(Policies(), "allow: ['::/0']", "203.0.113.7")
    assert passes(Policies(), "allow: ['::ffff:203.0.113.0/120']", "203.0.113.7")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("203.0.113.7", "/32"),
        ("'2001:db8::1'", "/128"),
        ("example.com", "CIDR"),
        ("10.0.0.0/33", "CIDR"),
        ("10.0.0.0/255.0.0.0", "CIDR"),
        ("''", "CIDR"),
    ],
)
def test_entries_that_are_not_networks_tp303(entry: str, words: str) -> None:
    problems = Policies().problems(action("restrict-ips", f"allow: [{entry}]"))
    assert report(problems) == [("ERR_NGROK_2217", 4, 15)]
    assert words in problems.errors[0].message


def test_host_bits_are_masked_with_a_warning_tp303() -> None:
    policies = Policies()
    text = action("restrict-ips", "allow: [203.0.113.99/24]")
    assert [p.code for p in policies.problems(text).warnings if "host bits" in p.message] == ["ERR_NGROK_2217"]
    assert passes(policies, "allow: [203.0.113.99/24]", "203.0.113.1")


def test_interpolated_entries() -> None:
    policies = Policies()
    config = "allow: [\"${req.headers['x-net'][0]}\"]"
    policy = policies.compile(action("restrict-ips", config))
    assert policies.run(policy, policies.exchange(headers={"x-net": "203.0.113.0/24"})) is None
    assert refused(policies.run(policy, policies.exchange(headers={"x-net": "10.0.0.0/8"}))).code == "ERR_NGROK_3203"
    for broken in ({"x-net": "everybody"}, {}):
        assert refused(policies.run(policy, policies.exchange(headers=broken))).code == "ERR_NGROK_2238"


def rules(allow: str = "", deny: str = "") -> IpRules:
    return IpRules([ip_network(n) for n in allow.split()], [ip_network(n) for n in deny.split()])


def test_ip_policies_and_their_changes_without_a_reload_tp305() -> None:
    table = IpPolicyTable({"ipp_office": rules("203.0.113.0/24", "203.0.113.66/32")})
    policies = Policies(PolicyOptions(ip_policies=frozenset({"ipp_office"})), {IpPolicyTable: table})
    policy = policies.compile(action("restrict-ips", "ip_policies: [ipp_office]"))
    assert policies.run(policy, policies.exchange()) is None
    refused(policies.run(policy, policies.exchange(client_ip="203.0.113.66")))
    table.replace({"ipp_office": rules("198.51.100.0/24")})
    assert refused(policies.run(policy, policies.exchange())).code == "ERR_NGROK_3203"
    table.replace({})
    assert refused(policies.run(policy, policies.exchange())).code == "ERR_NGROK_2300"


def test_an_unknown_ip_policy_is_a_load_error_tp305() -> None:
    problems = Policies().problems(action("restrict-ips", "ip_policies: [ipp_nowhere]"))
    assert report(problems) == [("ERR_NGROK_2216", 4, 21)]


@pytest.mark.parametrize(
    ("client_ip", "expected"),
    [
        ("203.0.113.7", ("allow", "203.0.113.0/24", None)),
        ("203.0.113.66", ("deny", "203.0.113.64/26", "ERR_NGROK_3203")),
        ("192.0.2.1", ("deny", "", "ERR_NGROK_3203")),
    ],
)
def test_result_variables_without_enforcement_tp306(client_ip: str, expected: tuple[str, str, str | None]) -> None:
    policies = Policies()
    config = """
    enforce: false
    allow: [203.0.113.0/24, 203.0.0.0/16]
    deny: [203.0.113.64/26, 203.0.113.66/32]
    """
    policy = policies.compile(action("restrict-ips", config))
    exchange = policies.exchange(client_ip=client_ip)
    assert policies.run(policy, exchange) is None
    shown = result(exchange, "restrict_ips")
    assert (shown.action, shown.matched_cidr, shown.error and shown.error.code) == expected


def test_wrong_types() -> None:
    assert report(Policies().problems(action("restrict-ips", "allow: 10.0.0.0/8"))) == [("ERR_NGROK_2203", 4, 14)]
    assert report(Policies().problems(action("restrict-ips", "enforce: maybe"))) == [("ERR_NGROK_2203", 4, 16)]
