"""The trace of a request: ``explain`` with ``lens``, ``selection``, ``trace`` and ``render``."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from gateway.limiter.buckets import LimiterIdentity
from gateway.policy_tools.explain import LenientSecrets
from gateway.policy_tools.lens import WatchedLimits, plain_copy
from gateway.policy_tools.render import render
from gateway.policy_tools.selection import MAX_CANDIDATES
from gateway.secrets.sources import MemorySource
from tests.unit.policy_tools.kit import GATEWAY, explained

POLICY = """
on_http_request:
  - name: token
    expressions:
      - req.headers['authorization'][0] != 'Bearer ' + secrets.get('auth', 'token')
    actions: [{type: deny, config: {status_code: 401}}]
  - actions:
      - type: set-vars
        config: {vars: [{who: "${req.headers['x-who'][0]}"}, {seen: "${secrets.get('auth', 'token')}"}]}
      - type: rate-limit
        config: {name: few, algorithm: sliding_window, capacity: 1, rate: 60s, bucket_key: [vars.who]}
      - type: add-headers
        config: {headers: {x-new: "${vars.who}!"}}
  - type: ai-gateway
    config:
      providers: [{id: openai, api_keys: [{value: sk-openai-key-0123456789}, {value: "${secrets.get('k', 'k')}"}]}]
"""
RIGHT = """
secrets: {auth: {token: right-token}, k: {k: sk-from-the-vault-0123456789}}
request: {headers: {authorization: Bearer right-token, x-who: ann}}
"""


def effects(explanation: Any, rule: int, action: int) -> dict[str, Any]:
    found = explanation["rules"][rule]["actions"][action]["effects"]
    return {effect["what"]: effect["value"] for effect in found}


def test_rule_by_rule() -> None:
    explanation = explained(POLICY, RIGHT)
    assert [(rule["place"], rule["matched"]) for rule in explanation["rules"]] == [
        ("on_http_request[0]", False), ("on_http_request[1]", True), ("on_http_request[2]", True),
    ]  # fmt: skip
    (condition,) = explanation["rules"][0]["expressions"]
    assert condition["value"] is False
    assert effects(explanation, 1, 0) == {"var who": "ann", "var seen": "***"}
    limit = effects(explanation, 1, 1)["limit 'few'"]
    assert limit == {"used": 0, "capacity": 1, "window": "1m", "admits": True, "retry_after": 0}
    assert explanation["rules"][1]["actions"][1]["inputs"][0]["value"] == "ann"
    assert effects(explanation, 1, 2)["header x-new"] == ["ann!"]
    assert explanation["answer"]["decision"] == "forwarded"


def test_secrets_are_masked_everywhere() -> None:
    """TP-628: neither in the document nor in the text; trimmed keys are AG-208's."""
    request = RIGHT.replace("x-who: ann", "x-who: right-token")
    explanation = explained(POLICY, request)
    for shown in (json.dumps(explanation, default=str), render(explanation)):
        for secret in ("right-token", "sk-openai-key-0123456789", "sk-from-the-vault-0123456789"):
            assert secret not in shown
    assert explanation["model_request"]["candidates"][0]["keys"] == ["sk-open...6789", "sk-from...6789"]


def test_sent_credentials_are_masked_and_told_apart() -> None:
    explanation = explained(POLICY, RIGHT.replace("Bearer right-token", "Bearer wrong-token"))
    parts = {part["source"]: part["value"] for part in explanation["rules"][0]["expressions"][0]["parts"]}
    assert parts["req.headers['authorization'][0]"] == "Bearer ***(sent)"
    assert parts["'Bearer ' + secrets.get('auth', 'token')"] == "Bearer ***"
    assert "wrong-token" not in render(explanation)
    assert explanation["answer"]["decided_by"] == ["on_http_request[0]", "token"]


def test_missing_secrets_are_made_up_and_said() -> None:
    explanation = explained(POLICY, "{}")
    assert explanation["notes"] == ["secret 'auth/token' is not known here: a made-up value stands in for it"]
    assert explanation["answer"]["status"] == 401


def test_lenient_secrets() -> None:
    table = LenientSecrets([MemorySource({("v", "a"): "1", ("w", "a"): "2", ("v", "b"): "3"})])
    assert (table.get("v", "a"), table.get_single("b")) == ("1", "3")
    assert table.missing == {}
    assert table.get("v", "c") == table.get("v", "c") != table.get_single("c")
    assert set(table.missing) == {"v/c", "c"}
    assert set(table.missing.values()) <= table.values()


def test_a_case_of_the_file() -> None:
    """Steps are played up to the last; the last request is explained."""
    request = RIGHT + "cases: [{name: again, steps: [{repeat: 2}]}]"
    explanation = explained(POLICY, request, case="again")
    assert explanation["answer"]["status"] == 429
    assert effects(explanation, 1, 1)["limit 'few'"]["used"] == 1
    assert "limit 'few' → 1 of 1 used in 1m, refuses for 60 s" in render(explanation)


def test_candidates_that_were_not_reached() -> None:
    request = "request: {body: {models: [gpt-4o, gpt-4o-mini], messages: []}}\nupstream: [{key: sk-first, status: 500}]"
    call = explained(GATEWAY, request)["model_request"]
    assert [(each["model"], each["reached"]) for each in call["candidates"]] == [
        ("gpt-4o", True), ("gpt-4o-mini", False),
    ]  # fmt: skip
    assert [attempt["status"] for attempt in call["attempts"]] == [500, 200]
    assert call["asked_for"] == ["gpt-4o", "gpt-4o-mini"]
    assert call["more_candidates"] == max(0, 2 - MAX_CANDIDATES) == 0


def test_rejected_models_and_strategies() -> None:
    more = """\
      only_allow_configured_providers: true
      model_selection: {strategy: ["ai.models.filter(m, m.id == 'x')"]}
"""
    text = render(explained(GATEWAY + more, "request: {body: {models: [gpt-4o, no-such], messages: []}}"))
    assert "strategy ai.models.filter(m, m.id == 'x') → nothing" in text
    assert "not no-such: " in text


def test_a_failing_condition() -> None:
    policy = 'on_http_request: [{expressions: ["vars.nothing == 1"], actions: [{type: deny}]}]'
    explanation = explained(policy, "{}")
    (rule,) = explanation["rules"]
    assert rule["matched"] is None
    assert "error" in rule["expressions"][0]
    assert explanation["answer"]["status"] == 500
    assert "no such key" in explanation["answer"]["error"]
    assert "fails: the condition cannot be evaluated" in render(explanation)


def test_a_failing_action() -> None:
    policy = 'on_http_request: [{type: add-headers, config: {headers: {x: "${vars.nothing}"}}}]'
    (rule,) = explained(policy, "{}")["rules"]
    assert rule["actions"][0]["outcome"].startswith("fails: ERR_NGROK_2238")


def test_closed_connections() -> None:
    policy = "on_tcp_connect: [{name: no, type: close-connection}]"
    assert "closed without an answer by on_tcp_connect[0] no" in render(explained(policy, "{}"))


def test_rules_that_cannot_match_are_shown_too() -> None:
    """The engine does not even ask them, since a look at the headers is enough."""
    rules = "".join(f"- expressions: [hasReqHeader('x-{number}')]\n  type: deny\n" for number in range(9))
    shown = explained("on_http_request:\n" + rules, RIGHT)["rules"]
    assert [rule["matched"] for rule in shown] == [False] * 9


def test_tracing_changes_nothing() -> None:
    """Chance is drawn as without it: a part evaluated for the reader takes no number from the policy."""
    policy = """
        on_http_request:
          - expressions: ["rand.double() < 2.0"]
            actions: [{type: custom-response, config: {body: "${rand.double()}"}}]
    """
    generator = Random(3)
    generator.random()
    assert float(explained(policy, "seed: 3")["answer"]["body"]) == generator.random()


def test_watched_limits_count_as_the_limiter_does() -> None:
    """The numbers shown are those that decide: live admissions of the bucket, before this one."""
    limits = WatchedLimits()
    limiter = limits.limiter(LimiterIdentity("ep", "few", 60_000_000_000, 2, ("x",), 0))
    waits = [limiter.admit(b"k" * 32, now_s) for now_s in (0.0, 30.0, 31.0, 60.0, 61.0)]
    notes = [state for _, state in limits.take_notes()]
    assert waits == [0, 0, 29, 0, 29]
    assert [(state["used"], state["admits"]) for state in notes] == [
        (0, True), (1, True), (2, False), (1, True), (2, False),
    ]  # fmt: skip
    assert limits.take_notes() == []


def test_plain_copies() -> None:
    assert plain_copy(b"\xff") == "\ufffd"
    assert plain_copy(object()) == "<object>"
    assert plain_copy({"a": [1, None]}) == {"a": [1, None]}
