"""``basic-auth`` (TP-410 … TP-414, CL-53)."""

from __future__ import annotations

import base64
import logging

import pytest

from gateway.actions.basic_auth import literal_colons, presented_credentials
from tests.unit.actions.policies import Policies, Secrets, action, refused, report, result


def basic(user: str, password: str, scheme: str = "Basic") -> dict[str, str]:
    return {"authorization": f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def credentials(*entries: str, extra: str = "") -> str:
    return action("basic-auth", "credentials:\n" + "".join(f"  - {entry}\n" for entry in entries) + extra)


def allowed(policies: Policies, text: str, headers: dict[str, str]) -> bool:
    return policies.run(policies.compile(text), policies.exchange(headers=headers)) is None


def test_the_right_password_passes() -> None:
    text = credentials("alice:correct-horse", "bob:battery-staple")
    assert allowed(Policies(), text, basic("alice", "correct-horse"))
    assert allowed(Policies(), text, basic("bob", "battery-staple", "bAsIc"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Basic"},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic " + base64.b64encode(b"alice").decode()},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe:correct-horse").decode()},
        {"authorization": "Bearer " + base64.b64encode(b"alice:correct-horse").decode()},
        basic("alice", "wrong-horse"),
        basic("alice", ""),
        basic("bob", "correct-horse"),
        basic("alice:correct-horse", ""),
        basic("Alice", "correct-horse"),
    ],
)
def test_anything_else_is_a_401_tp412(headers: dict[str, str]) -> None:
    policies = Policies()
    policy = policies.compile(credentials("alice:correct-horse"))
    error = refused(policies.run(policy, policies.exchange(headers=headers)))
    assert (error.code, error.status) == ("ERR_TP_BASIC_AUTH", 401)
    assert error.headers == (("www-authenticate", 'Basic realm="ngrok"'),)


def test_two_authorization_lines_are_not_one_cl95() -> None:
    policies = Policies()
    line = basic("alice", "correct-horse")["authorization"]
    exchange = policies.exchange(lines=[("authorization", line), ("authorization", line)])
    refused(policies.run(policies.compile(credentials("alice:correct-horse")), exchange))


def test_the_realm_is_quoted() -> None:
    policies = Policies()
    policy = policies.compile(credentials("alice:correct-horse", extra="realm: 'my \"realm\" \\'\n"))
    error = refused(policies.run(policy, policies.exchange()))
    assert error.headers[0][1] == 'Basic realm="my \\"realm\\" \\\\"'


def test_a_password_may_contain_colons_tp410() -> None:
    assert allowed(Policies(), credentials("'alice:pass:word:x'"), basic("alice", "pass:word:x"))


def test_a_secret_as_password_cl53() -> None:
    policies = Policies(secrets=Secrets({("v", "s"): "from-the-vault"}))
    text = credentials("\"alice:${secrets.get('v', 's')}\"")
    assert allowed(policies, text, basic("alice", "from-the-vault"))
    assert not allowed(policies, text, basic("alice", "from-the-vaulT"))


def test_a_whole_credential_from_one_expression_cl53() -> None:
    policies = Policies(secrets=Secrets({("v", "s"): "alice:from-the-vault"}))
    assert allowed(policies, credentials("\"${secrets.get('v', 's')}\""), basic("alice", "from-the-vault"))


def test_a_whole_credential_without_a_colon_fails_closed_tp411() -> None:
    policies = Policies(secrets=Secrets({("v", "s"): "no-colon-in-here"}))
    policy = policies.compile(credentials("\"${secrets.get('v', 's')}\""))
    assert refused(policies.run(policy, policies.exchange())).code == "ERR_NGROK_2238"


@pytest.mark.parametrize("entry", ["\"${secrets.get('v', 's')}:long-password\"", "\"alice:${secrets.get('v', 's')}\""])
def test_an_interpolated_part_must_not_yield_a_colon_tp411(entry: str) -> None:
    policies = Policies(secrets=Secrets({("v", "s"): "alice:another-word"}))
    policy = policies.compile(credentials(entry))
    error = refused(policies.run(policy, policies.exchange(headers=basic("alice", "another-word"))))
    assert error.code == "ERR_NGROK_2238"
    assert "another-word" not in str(error) + error.cause


def test_a_missing_secret_fails_closed_tp86() -> None:
    policies = Policies()
    policy = policies.compile(credentials("\"alice:${secrets.get('v', 's')}\""))
    assert refused(policies.run(policy, policies.exchange())).code == "ERR_NGROK_2238"


def test_the_mapping_form_is_tolerated_tp410() -> None:
    policies = Policies(secrets=Secrets({("v", "s"): "with:colon:inside"}))
    assert allowed(policies, credentials("{username: alice, password: correct-horse}"), basic("alice", "correct-horse"))
    text = credentials("{username: alice, password: \"${secrets.get('v', 's')}\"}")
    assert allowed(policies, text, basic("alice", "with:colon:inside"))


def test_a_short_password_out_of_interpolation_never_matches_tp414(caplog: pytest.LogCaptureFixture) -> None:
    policies = Policies(secrets=Secrets({("v", "s"): "short"}))
    policy = policies.compile(credentials("\"alice:${secrets.get('v', 's')}\"", "bob:battery-staple"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            refused(policies.run(policy, policies.exchange(headers=basic("alice", "short"))))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "short" not in caplog.text.replace("alice:${secrets", "")
    assert policies.run(policy, policies.exchange(headers=basic("bob", "battery-staple"))) is None


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("alice", "ERR_NGROK_2204"),
        ("\"alice${secrets.get('v', 's')}\"", "ERR_NGROK_2204"),
        ("\"${'a' + ':b'}${secrets.get('v', 's')}\"", "ERR_NGROK_2204"),
        ("':long-enough-word'", "ERR_NGROK_2257"),
        ("alice:short", "ERR_NGROK_2258"),
        (f"alice:{'x' * 129}", "ERR_NGROK_2258"),
        ("alice:${vars.", "ERR_NGROK_2224"),
        ("5", "ERR_NGROK_2203"),
        ("{username: alice}", "ERR_NGROK_2234"),
        ("{username: 'a:b', password: long-enough}", "ERR_NGROK_2257"),
    ],
)
def test_wrong_credentials(entry: str, code: str) -> None:
    problems = Policies().problems(credentials(entry))
    assert [problem.code for problem in problems.errors] == [code]
    assert problems.errors[0].line == 5


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("credentials: []", ("ERR_NGROK_2223", 4, 20)),
        ("credentials: [" + ", ".join(["a:12345678"] * 11) + "]", ("ERR_NGROK_2218", 4, 20)),
        ("realm: x", ("ERR_NGROK_2234", 4, 7)),
        ("{credentials: ['a:12345678'], realm: " + "r" * 129 + "}", ("ERR_NGROK_2255", 4, 44)),
        ("{credentials: ['a:12345678'], realm: 'ä'}", ("ERR_NGROK_2204", 4, 44)),
        ("{credentials: ['a:12345678'], enforce: 1}", ("ERR_NGROK_2203", 4, 46)),
    ],
)
def test_limits_of_the_fields(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action("basic-auth", config))) == [place]


def test_passwords_of_8_to_128_characters_load() -> None:
    assert not Policies().problems(credentials("a:12345678", f"b:{'x' * 128}")).failed


def test_result_variables_tp413() -> None:
    policies = Policies()
    policy = policies.compile(credentials("alice:correct-horse", extra="enforce: false\n"))
    seen = []
    for headers in ({}, basic("mallory", "guess-guess"), basic("alice", "correct-horse")):
        exchange = policies.exchange(headers=headers)
        assert policies.run(policy, exchange) is None, "enforce: false lets everybody pass"
        shown = result(exchange, "basic_auth").credentials
        seen.append((shown.presented, shown.username, shown.authorized))
    assert seen == [(False, "", False), (True, "mallory", False), (True, "alice", True)]


def test_allow_list_or_basic_auth_cl52() -> None:
    policies = Policies()
    policy = policies.compile(
        """
        on_http_request:
          - type: restrict-ips
            config: {enforce: false, allow: [203.0.113.0/24]}
          - type: basic-auth
            config: {enforce: false, credentials: ['alice:correct-horse']}
          - expressions:
              - actions.ngrok.restrict_ips.action == 'deny'
              - '!actions.ngrok.basic_auth.credentials.authorized'
            actions: [{type: deny, config: {status_code: 401}}]
        """
    )
    outside = "198.51.100.1"
    assert policies.run(policy, policies.exchange()) is None
    assert policies.run(policy, policies.exchange(client_ip=outside)) is not None
    entered = policies.exchange(client_ip=outside, headers=basic("alice", "correct-horse"))
    assert policies.run(policy, entered) is None


def test_an_accepted_credential_is_never_passed_on_ag195() -> None:
    policies = Policies()
    exchange = policies.exchange(headers=basic("alice", "correct-horse"))
    policies.run(policies.compile(credentials("alice:correct-horse")), exchange)
    assert exchange.consumed_tokens == {base64.b64encode(b"alice:correct-horse").decode()}
    assert exchange.headers.first("authorization") is not None, "the header is not removed (TP-412)"


@pytest.mark.parametrize(
    ("source", "colons"),
    [("a:b", [1]), ("${x ? 1 : 2}:b", [12]), ("a:${'}:'}:c", [1, 9]), ("$${:b", [3]), ("${'a:b'}", []), ("", [])],
)
def test_colons_outside_of_expressions_tp411(source: str, colons: list[int]) -> None:
    assert literal_colons(source) == colons


def test_reading_the_header() -> None:
    line = basic("ä", "p:w")["authorization"]
    assert presented_credentials([line]) == ("ä", "p:w")
    assert presented_credentials(None) is None
    assert presented_credentials([line, line]) is None
