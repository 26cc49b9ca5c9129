"""Loading policies: TP sections 2.1 to 2.4, and the wrong documents of CL-80 to CL-90."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.document import Kind, Node, Problems, parse_document
from gateway.policy.action import ActionSpec, CompiledAction
from gateway.policy.load import MAX_ACTIONS, MAX_NAME, MAX_RULES, load_policy, load_policy_node
from gateway.policy.model import Phase, Policy, Protocol, Terminates
from gateway.policy.options import PolicyOptions
from gateway.schema.shapes import record
from tests.unit.policy.world import context, load, quoted, report

DENY = "- type: deny\n"
RULE = "on_http_request:\n- type: deny\n"


def shape(policy: Policy | None) -> Any:
    """What a policy says, without positions."""
    assert policy is not None
    return {
        str(phase): [(rule.name, rule.expressions, [action.type for action in rule.actions]) for rule in rules]
        for phase, rules in policy.phases.items()
    }


# --- sound documents


@pytest.mark.parametrize("nothing", ["", " null", " ~", " []"])
def test_a_phase_may_have_no_rules(nothing: str) -> None:
    """TP-1."""
    policy, problems = load(f"{RULE}on_http_response:{nothing}\n")
    assert shape(policy)["on_http_response"] == []
    assert report(problems) == []


def test_json_and_yaml_are_the_same_model() -> None:
    """TP-2."""
    yaml = """\
        on_http_request:
          - name: auth
            expressions: ["req.method == 'PUT'", req.url.path == '/x']
            actions:
              - type: deny
                config: {status_code: 404}
          - type: custom-response
            config: {body: "a\\u00e9"}
    """
    document = {
        "on_http_request": [
            {
                "name": "auth",
                "expressions": ["req.method == 'PUT'", "req.url.path == '/x'"],
                "actions": [{"type": "deny", "config": {"status_code": 404}}],
            },
            {"type": "custom-response", "config": {"body": "aé"}},
        ]
    }
    from_yaml, yaml_problems = load(yaml)
    from_json, json_problems = load(json.dumps(document))
    assert shape(from_yaml) == shape(from_json)
    assert report(yaml_problems) == report(json_problems) == []


def test_a_policy_in_a_string_is_parsed_once_more_and_only_once() -> None:
    """TP-4."""
    once, _ = load(json.dumps(RULE), file="<inline>")
    assert shape(once) == {"on_http_request": [("", (), ["deny"])]}
    twice, problems = load(json.dumps(json.dumps(RULE)), file="<inline>")
    assert twice is None
    assert report(problems) == ["1:1 error 2236"]


def test_a_policy_as_a_string_inside_a_configuration_file() -> None:
    """TP-5, TP-21: positions are those inside the string."""
    node = Node(Kind.STRING, 7, 9, "on_http_request:\n- type: dney\n")
    problems = Problems("config.yaml")
    assert load_policy_node(node, context(), problems) is None
    assert [str(problem).split(" ")[0] for problem in problems] == ["<inline>:2:9:"]


def test_a_policy_as_a_mapping_inside_a_configuration_file() -> None:
    """TP-5: positions and paths are those of the configuration file."""
    problems = Problems("config.yaml")
    root = parse_document("endpoints:\n- traffic_policy:\n    on_http_request:\n    - type: dney\n", problems)
    assert root is not None
    endpoints = root.get("endpoints")
    assert endpoints is not None
    node = endpoints.items[0].get("traffic_policy")
    assert node is not None
    assert load_policy_node(node, context(), problems) is None
    found = next(iter(problems))
    assert (found.file, found.line, found.column) == ("config.yaml", 4, 13)
    assert found.path == "endpoints[0].traffic_policy.on_http_request[0].type"


def test_forms_of_rules() -> None:
    """TP-12 to TP-14: full rule, shorthand, shorthand with name and expressions; both mixed."""
    policy, problems = load(
        """\
        on_http_request:
          - actions: [{type: set-vars, config: {vars: [{a: 1}]}}, {type: log, config: {metadata: {a: 1}}}]
          - type: deny
            name: shorthand
            expressions: [req.method == 'PUT']
          - expressions: null
            actions:
              - type: deny
                config: null
        """
    )
    assert shape(policy) == {
        "on_http_request": [
            ("", (), ["set-vars", "log"]),
            ("shorthand", ("req.method == 'PUT'",), ["deny"]),
            ("", (), ["deny"]),
        ]
    }
    assert report(problems) == []


def test_aliases_of_yaml() -> None:
    """TP-3: aliases are allowed; a problem in one is reported where it is written, with the path of its use."""
    text = """\
        on_http_request:
          - &rule
            type: deny
            config: {status_code: 40}
          - *rule
    """
    _, problems = load(text)
    assert [problem.path for problem in problems.errors] == [
        "on_http_request[0].config.status_code",
        "on_http_request[1].config.status_code",
    ]
    assert report(problems) == ["4:27 error 2215", "4:27 error 2215"]


# --- wrong documents: CL-90


def wrong_policies() -> list[Any]:
    """(document, what is reported) of each block of the table."""
    text = (Path(__file__).parent / "wrong_policies.txt").read_text()
    cases = []
    for block in text.split("=== ")[1:]:
        name, *lines = block.splitlines()
        expected = [line.removeprefix("> ") for line in lines if line.startswith("> ")]
        document = "".join(f"{line}\n" for line in lines if not line.startswith("> "))
        cases.append(pytest.param(document, expected, id=name))
    return cases


@pytest.mark.parametrize(("document", "expected"), wrong_policies())
def test_wrong_documents(document: str, expected: list[str]) -> None:
    """CL-90: code, line and column."""
    policy, problems = load(document)
    assert report(problems) == expected
    assert policy is None


def test_all_problems_at_once_in_order() -> None:
    """TP-21."""
    _, problems = load(
        """\
        on_http_request:
          - name: one
            expressions: [foo, "req.method == 'x' &&"]
            actions:
              - type: dney
              - type: deny
                config: {status_code: 1}
          - expressions: [bar]
            type: custom-response
            config:
              body: "${baz}"
              headers: {content-length: 1, x: "${qux}"}
        on_http_respons: []
        """
    )
    assert report(problems) == [
        "3:19 error 2200", "3:45 error 2200", "5:15 error 2201", "7:31 error 2215", "8:19 error 2200",
        "11:16 error 2200", "12:17 error 2219", "12:42 error 2200", "13:1 error 2230",
    ]  # fmt: skip


def test_form_of_a_report_line() -> None:
    """TP-21, TP-22: file, position, severity, code; phase, rule, action and field are named."""
    _, problems = load(
        "on_http_request:\n- name: auth\n  actions:\n  - type: deny\n    config: {status_code: 1}\n", file="dir/p.yaml"
    )
    assert str(problems) == (
        "dir/p.yaml:5:27: error ERR_NGROK_2215: on_http_request[0] 'auth', deny, config.status_code:"
        " must be between 200 and 599"
    )
    assert problems.details() == [
        {
            "file": "dir/p.yaml", "line": 5, "column": 27, "path": "on_http_request[0].actions[0].config.status_code",
            "code": "ERR_NGROK_2215", "severity": "error",
            "message": "on_http_request[0] 'auth', deny, config.status_code: must be between 200 and 599",
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    "scalar",
    [
        "req.method == foo",
        "'req.method == ''a'' && foo'",
        r'"req.method == \"a\" && foo"',
        r'"req.method == \"\u0061\x41\" && foo"',
        "&anchor req.method == foo",
    ],
)
def test_the_offending_character_on_one_line(scalar: str) -> None:
    """TP-21: exact, whatever is quoted and escaped before it. An anchor makes it the start of the scalar."""
    line = f"  - {scalar}"
    _, problems = load(f"on_http_request:\n- expressions:\n{line}\n  type: deny\n")
    found = next(iter(problems))
    anchored = "&" in scalar.partition("req")[0]
    assert (found.line, found.column) == (3, 5 if anchored else line.index("foo") + 1)
    assert found.message.endswith("(expression offset 14)" if anchored else "'foo'")


@pytest.mark.parametrize(
    ("scalar", "offset"), [(">-\n    req.method ==\n    foo", 14), ("|\n    foo", 0), ("req.method ==\n    foo", 14)]
)
def test_the_offending_character_on_several_lines(scalar: str, offset: int) -> None:
    """TP-21: the start of the scalar, and the offset in the expression."""
    _, problems = load(f"on_http_request:\n- expressions:\n  - {scalar}\n  type: deny\n")
    found = next(iter(problems))
    assert (found.line, found.column) == (3, 5)
    assert found.message.endswith(f"(expression offset {offset})")


def test_nearest_names_are_proposed() -> None:
    """TP-1, TP-15, TP-200."""
    _, problems = load("on_http_reqest: []\non_http_request:\n- type: denny\n- type: deny\n  config: {status_cod: 1}\n")
    assert [problem.message.rpartition("; ")[2] for problem in problems] == [
        "did you mean 'on_http_request'?", "did you mean 'deny'?", "did you mean 'status_code'?",
    ]  # fmt: skip


def test_the_quoting_hint() -> None:
    """TP-3, CL-80."""
    for expression in ("!('x' in req.headers)", "!hasReqHeader('x')", "!req.url.path.startsWith('/a')", '!"a"'):
        _, problems = load(f"on_http_request:\n- expressions:\n  - {expression}\n  type: deny\n")
        assert "must be put in quotes" in str(problems), expression


@pytest.mark.parametrize(
    "kind", ["oauth", "openid-connect", "oidc", "saml", "owasp-crs-request", "owasp-crs-response", "terminate-tls"]
)
def test_known_but_not_supported(kind: str) -> None:
    """TP-200, TP-561, CL-74: never ignored."""
    policy, problems = load(f"on_http_request:\n- type: {kind}\n- type: deny\n")
    assert policy is None
    assert "known but not supported here" in str(problems)
    assert report(problems)[0] == "2:9 error 2201"


def test_aliases_of_action_types() -> None:
    """TP-201."""
    spec = probe("verify-webhook", aliases=("webhook-validation",))
    policy, problems = load("on_http_request:\n- type: webhook-validation\n", context(spec=spec))
    assert shape(policy) == {"on_http_request": [("", (), ["verify-webhook"])]}
    assert report(problems) == ["2:9 warning 2201"]


def probe(kind: str, **more: Any) -> ActionSpec[Any]:
    """An action that does nothing."""
    return ActionSpec(
        type=kind, phases=frozenset(Phase), shape=record(dict),
        compile=lambda config, deps: CompiledAction(kind, lambda exchange: None), **more,
    )  # fmt: skip


def test_at_most_one_gateway_action() -> None:
    """TP-8, CL-31: counted over all rules and both forms, whatever the expressions say."""
    spec = probe("ai-gateway", single_code="ERR_NGROK_2266", terminates=lambda config: Terminates.ALWAYS, handles=True)
    _, problems = load(
        """\
        on_http_request:
          - expressions: [req.method == 'A']
            type: ai-gateway
          - expressions: [req.method == 'B']
            actions:
              - type: ai-gateway
                config: {unknown: 1}
              - type: ai-gateway
        """,
        context(spec=spec),
    )
    assert [line for line in report(problems) if "2266" in line] == ["6:15 error 2266", "8:15 error 2266"]


# --- legacy forms: TP-6, TP-9, TP-10


def test_legacy_phases() -> None:
    """TP-9, CL-73."""
    policy, problems = load("inbound:\n- type: deny\noutbound:\n- type: add-headers\n  config: {headers: {a: b}}\n")
    assert list(shape(policy)) == ["on_http_request", "on_http_response"]
    assert report(problems) == ["1:1 warning 2230", "3:1 warning 2230"]


def test_legacy_phase_on_a_tcp_endpoint() -> None:
    """TP-9."""
    tcp = context(PolicyOptions(protocol=Protocol.TCP))
    policy, _ = load("inbound:\n- type: deny\n", tcp)
    assert list(shape(policy)) == ["on_tcp_connect"]
    policy, problems = load(RULE, tcp)
    assert policy is None
    assert report(problems) == ["1:1 error 2230"]


def test_a_bare_list_is_the_request_phase() -> None:
    """TP-6, CL-8."""
    policy, problems = load("- type: deny\n")
    assert shape(policy) == {"on_http_request": [("", (), ["deny"])]}
    assert report(problems) == ["1:1 warning 2236"]


# --- limits: TP-25


def test_number_of_rules() -> None:
    assert load("on_http_request:\n" + DENY * MAX_RULES)[0] is not None
    policy, problems = load("on_http_request:\n" + DENY * (MAX_RULES + 1))
    assert policy is None
    assert [str(problem.line) for problem in problems.errors] == ["202"]
    assert problems.errors[0].code == "ERR_NGROK_2264"


def test_number_of_actions() -> None:
    head = "on_http_request:\n- actions:\n"
    action = "  - type: set-vars\n    config: {vars: [{a: 1}]}\n"
    assert load(head + action * MAX_ACTIONS)[0] is not None
    policy, problems = load(head + action * (MAX_ACTIONS + 1))
    assert policy is None
    assert report(problems) == ["103:5 error 2265"]


def test_length_of_names() -> None:
    assert load(f"on_http_request:\n- name: {'n' * MAX_NAME}\n  type: deny\n")[0] is not None
    policy, problems = load(f"on_http_request:\n- name: {'n' * (MAX_NAME + 1)}\n  type: deny\n")
    assert policy is None
    assert report(problems) == ["2:9 error 2255"]


def test_length_of_expressions() -> None:
    text = "'" + "x" * 16_376 + "' != ''"
    assert len(text) == 16_384
    assert load(f'on_http_request:\n- expressions: ["{text}"]\n  type: deny\n')[0] is not None
    policy, problems = load(f'on_http_request:\n- expressions: ["a{text}"]\n  type: deny\n')
    assert policy is None
    assert report(problems) == ["2:17 error 2255"]


# --- warnings


def test_tolerances_are_warned_about() -> None:
    """TP-79: with the position of what was tolerated."""
    policy, problems = load(
        """\
        on_http_request:
          - expressions:
              - req.method == 'PUT'
              - request.method == '/a'
              - ${req.method == 'PUT'}
            type: deny
        """
    )
    assert policy is not None
    assert report(problems) == ["4:9 warning 2200", "5:9 warning 2200"]


@pytest.mark.parametrize(
    ("expressions", "words"),
    [
        ("'true'", ""),
        ("1 + 1 == 2", ""),
        ("'false'", "the rule never matches"),
        ("req.method == 'PUT', 1 > 2", ""),
        ("1 > 2, 'true'", "the rule never matches"),
        ("1 / 0 == 1", "the rule fails for every request"),
        ("rand.double() < 0.0", ""),
    ],
)
def test_conditions_that_are_always_the_same(expressions: str, words: str) -> None:
    """P34: a rule that matches nothing is a warning; so is one that refuses everybody by failing."""
    policy, problems = load(f"on_http_request:\n- expressions: [{expressions}]\n  type: deny\n")
    assert policy is not None
    assert [problem.code for problem in problems] == (["ERR_NGROK_2207"] if words else [])
    assert words in str(problems)


def test_paths_in_the_short_form() -> None:
    """TP-79."""
    policy, problems = load("on_http_request:\n- expressions: [req.path == '/a', request.path == '/a']\n  type: deny\n")
    assert policy is not None
    assert report(problems) == ["2:21 warning 2200", "2:35 warning 2200", "2:43 warning 2200"]


def test_unavailable_variables_may_be_absent() -> None:
    """TP-130: with the option they load with a warning."""
    lenient = context(PolicyOptions(unavailable_absent=True))
    policy, problems = load(
        "on_http_request:\n- expressions:\n  - conn.geo.country_code in ['X']\n  type: deny\n", lenient
    )
    assert policy is not None
    assert report(problems) == ["3:5 warning 2200"]


def test_unknown_secrets_are_warned_about() -> None:
    """TP-606."""
    known = context(PolicyOptions(secret_exists=lambda vault, name: (vault, name) in {("v", "s"), (None, "one")}))
    policy, problems = load(
        """\
        on_http_request:
          - expressions:
              - secrets.get('v', 's') == 'a'
              - secrets.get('v', 'other') == 'a'
              - secrets.get('one') == secrets.get("two")
            type: deny
        """,
        known,
    )
    assert policy is not None
    assert [problem.message.partition(": ")[2] for problem in problems] == [
        "there is no secret 'other' in vault 'v' yet", "there is no secret 'two' yet",
    ]  # fmt: skip


def test_values_are_never_reported() -> None:
    """TP-24: a wrong value is not repeated in the message."""
    secret = "sk-live-0123456789"
    _, problems = load(
        f"""\
        on_http_request:
          - type: {secret}
          - type: deny
            config: {{status_code: {secret}}}
          - type: add-headers
            config: {{headers: {{a: "{secret}\\n"}}}}
        """
    )
    assert len(problems.errors) == 3
    assert secret not in str(problems)


def test_a_policy_with_errors_is_not_returned() -> None:
    """TP-23."""
    policy, problems = load_policy(b"on_http_request:\n- type: deny\n- type: dney\n", context())
    assert policy is None
    assert problems.failed


def never_matches(rule: str) -> bool:
    _, problems = load("on_http_request:\n" + rule)
    return any("the rule never matches" in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("condition", "reported"),
    [
        ("false", True),
        ("req.method == 'GET' && req.method == 'POST'", True),
        ("req.method in ['GET', 'PUT'] && req.method == 'POST'", True),
        ("req.method in []", True),
        ("req.url.path == '/a' && req.url.path.startsWith('/b')", True),
        ("req.url.path.startsWith('/a') && req.url.path.startsWith('/b')", True),
        ("inCidrRange(conn.client_ip, '10.0.0.1')", True),
        ("inCidrRanges(conn.client_ip, ['nonsense', '10.0.0.0/33'])", True),
        ("inCidrRange(conn.client_ip, '10.0.0.0/8') && inCidrRange(conn.client_ip, '192.168.0.0/16')", True),
        ("(req.method == 'A' && req.method == 'B') || vars.x == 1 && false", True),
        ("req.method in ['GET', 'PUT'] && req.method == 'PUT'", False),
        ("req.url.path == '/ab' && req.url.path.startsWith('/a')", False),
        ("req.url.path.startsWith('/a') && req.url.path.startsWith('/ab')", False),
        ("inCidrRange(conn.client_ip, '10.0.0.0/8') && inCidrRange(conn.client_ip, '10.1.0.0/16')", False),
        ("req.headers['a'][0] == 'x' && req.headers['b'][0] == 'x'", False),
        ("req.headers['a'][0] == 'x' && req.headers['a'][1] == 'y'", False),
        ("endpoint.port in [8443.0] && endpoint.port == 8443", False),
        ("false || req.method == 'A'", False),
    ],
)
def test_rules_that_can_never_match(condition: str, reported: bool) -> None:
    rule = f"- expressions: [{quoted(condition)}]\n  type: deny\n"
    assert never_matches(rule) is reported
    entries = condition.split(" && ")
    if len(entries) == 2 and "(" not in condition:
        rule = f"- expressions: [{quoted(entries[0])}, {quoted(entries[1])}]\n  type: deny\n"
        assert never_matches(rule) is reported
