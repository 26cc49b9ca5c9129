"""Fuzzing the loader: whatever the document, loading raises nothing, reports positions inside it, and never returns a
policy together with an error (TP-20 to TP-24)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.actions import ACTIONS
from gateway.policy.load import load_policy, policy_context
from gateway.policy.options import PolicyOptions

CONTEXT = policy_context(ACTIONS, PolicyOptions(catalog_providers=frozenset(("openai",))))
SEEDS = [path.read_text() for path in sorted((Path(__file__).parents[1] / "unit/policy/seeds").glob("*.yaml"))]

NAMES = st.sampled_from(
    [
        "on_http_request", "on_http_response", "on_tcp_connect", "inbound", "type", "config", "actions", "expressions",
        "name", "enabled", "value", "traffic_policy", "vars", "headers", "body", "status_code", "metadata", "providers",
        "id", "api_keys", "models", "strategy", "model_selection", "rate", "capacity", "bucket_key", "allow", "from",
        "to",
    ]
)  # fmt: skip
TEXTS = st.sampled_from(
    [
        "", "deny", "custom-response", "set-vars", "log", "ai-gateway", "rate-limit", "restrict-ips", "redirect",
        "jwt-validation", "basic-auth", "url-rewrite", "sse-find-replace", "${req.id}", "${", "${vars.x + 1}", "true",
        "req.headers['a'][0] == 'b'", "1 +", "x" * 300, "10m", "100/min", "10.0.0.0/8", "😀", "a\r\nb", "\0", "!x",
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.text(max_size=8)
)
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)
ACTION_CONFIGS = st.dictionaries(NAMES, DOCUMENTS, max_size=5)


def check(text: str | bytes) -> None:
    policy, problems = load_policy(text, CONTEXT, file="p.yaml")
    assert (policy is None) == problems.failed
    lines = text.count("\n") + 2 if isinstance(text, str) else text.count(b"\n") + 2
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.file != "p.yaml" or problem.line <= lines
        assert problem.code.startswith(("ERR_NGROK_", "ERR_TP_"))
        assert problem.message


@given(DOCUMENTS)
@settings(max_examples=100)
def test_any_tree(document: Any) -> None:
    check(json.dumps(document))


@given(st.sampled_from(sorted(ACTIONS)), ACTION_CONFIGS)
@settings(max_examples=120)
def test_any_configuration(kind: str, config: Any) -> None:
    """The type's own shape raises nothing, either."""
    phases = [str(phase) for phase in ACTIONS[kind].phases]
    check(json.dumps({phases[0]: [{"type": kind, "config": config}]}))


@given(st.text(max_size=200) | st.binary(max_size=200))
@settings(max_examples=100)
@example("%YAML 9.9.9\n---\na: 1")
@example("- !<")
@example('"\\x"')
@example('"\\U00110000"')
@example("? ? ?\n: :")
@example("&a *a")
@example("[" * 2_000)
@example("- " * 2_000)
@example("{" * 500)
@example("!!int _")
@example("a: |9\n x")
@example("\x85\u2028")
def test_any_text(text: str | bytes) -> None:
    check(text)


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=100)
def test_broken_seeds(seed: str, data: st.DataObject) -> None:
    """Pieces of sound policies cut out, doubled, or replaced."""
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, min(len(seed), start + 40)))
    piece = data.draw(TEXTS | st.text("[]{}:!&*|>'\"%@`#,- \n\t", max_size=6) | st.just(seed[start:end] * 2))
    check(seed[:start] + piece + seed[end:])
