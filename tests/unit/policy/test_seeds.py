"""The policies of the documents: CL-1 to CL-12, as YAML and as JSON. Actions that need a network are only loaded."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from gateway.actions import ACTIONS
from gateway.document import Problems, parse_document
from gateway.exchange import Exchange
from gateway.limiter.buckets import LimiterTable
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps, Forward, Outcome
from gateway.policy.compile import CompiledPhase, compile_policy
from gateway.policy.engine import run_phase
from gateway.policy.load import load_policy, policy_context
from gateway.policy.model import Phase
from tests.unit.policy.test_load import shape
from tests.unit.policy.world import CLOCK, Secrets, refused, request, responded

FOLDER = Path(__file__).parent / "seeds"
FILES = sorted(FOLDER.glob("*.yaml"))
CONTEXT = policy_context(ACTIONS)
SECRETS = Secrets(
    **{
        "gateway-auth": {
            "access-token": "right", "client-a-token": "a", "client-b-token": "b", "client-c-token": "c",
            "old-token": "old", "new-token": "new",
        }
    }
)  # fmt: skip
INVALID = b'{"error": {"message": "Invalid or missing authorization token", "type": "authentication_error"}}'


def text_of(name: str) -> str:
    (found,) = [path for path in FILES if path.name.startswith(name)]
    return found.read_text()


def phase_of(name: str) -> CompiledPhase:
    """The request phase; ``ai-gateway`` is replaced by one that forwards at once."""
    policy, problems = load_policy(text_of(name), CONTEXT)
    assert policy is not None, str(problems)
    gateway = ACTIONS["ai-gateway"]
    served: ActionSpec[Any] = ActionSpec(
        type=gateway.type, phases=gateway.phases, shape=gateway.shape,
        compile=lambda config, deps: CompiledAction("ai-gateway", lambda exchange: Forward("served")),
    )  # fmt: skip
    deps = CompileDeps("ep_1", clock=CLOCK, services={LimiterTable: LimiterTable()})
    return compile_policy(policy, ACTIONS | {"ai-gateway": served}, deps).phases[Phase.REQUEST]


def outcome(phase: CompiledPhase, *headers: tuple[str, str], **more: Any) -> Outcome:
    found = run_phase(phase, request(headers=list(headers), secrets=SECRETS, **more))
    assert not isinstance(found, Awaitable)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_loading(path: Path) -> None:
    """CL-1 to CL-12: no error; YAML and JSON alike (TP-2)."""
    policy, problems = load_policy(path.read_bytes(), CONTEXT, file=str(path))
    assert not problems.errors, str(problems)
    root = parse_document(path.read_text(), Problems())
    assert root is not None
    document = root.plain()
    as_json = document if isinstance(document, dict) else {"on_http_request": document}
    from_json, _ = load_policy(json.dumps(as_json), CONTEXT)
    assert shape(from_json) == shape(policy)
    as_string, _ = load_policy(json.dumps(json.dumps(as_json)), CONTEXT)
    assert shape(as_string) == shape(policy)


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("cl01", ["ERR_TP_UNGUARDED"]),
        ("cl02", []),
        ("cl03", []),
        ("cl04", []),
        ("cl05", []),
        ("cl06", []),
        ("cl07", []),
        ("cl08", ["ERR_NGROK_2236"]),
        ("cl09", []),
        ("cl10", ["ERR_TP_UNGUARDED", "ERR_NGROK_2203"]),
        ("cl11", ["ERR_TP_UNGUARDED"]),
        ("cl12", []),
    ],
)
def test_warnings(name: str, warnings: list[str]) -> None:
    """CL-1, CL-8, AG-13."""
    _, problems = load_policy(text_of(name), CONTEXT)
    assert [problem.code for problem in problems] == warnings


@pytest.mark.parametrize(
    ("name", "header", "value", "served"),
    [
        ("cl02", "authorization", "Bearer right", True),
        ("cl02", "authorization", "Bearer wrong", False),
        ("cl02", "authorization", "right", False),
        ("cl02", "authorization", "Basic right", False),
        ("cl02", "x-api-key", "right", False),
        ("cl03", "authorization", "Bearer a", True),
        ("cl03", "authorization", "Bearer b", True),
        ("cl03", "authorization", "Bearer c", True),
        ("cl03", "authorization", "Bearer d", False),
        ("cl03", "x-other", "Bearer a", False),
        ("cl04", "x-api-key", "right", True),
        ("cl04", "X-Api-Key", "right", True),
        ("cl04", "authorization", "Bearer right", False),
        ("cl04", "x-api-key", "wrong", False),
        ("cl05", "authorization", "Bearer right", True),
        ("cl05", "authorization", "Bearer wrong", False),
        ("cl06", "authorization", "Bearer right", True),
        ("cl06", "authorization", "Bearer wrong", False),
    ],
)
def test_tokens(name: str, header: str, value: str, *, served: bool) -> None:
    """CL-2 to CL-6: the policy's own 401, or the gateway."""
    found = outcome(phase_of(name), (header, value))
    if served:
        assert isinstance(found, Forward)
        return
    response = responded(found)
    assert response.status == 401
    assert response.headers["content-type"] == ["application/json"]
    expected = INVALID.replace(b"authorization token", b"API key") if name == "cl04" else INVALID
    assert response.body == expected


@pytest.mark.parametrize(("token", "passes"), [("old", True), ("new", True), ("other", False)])
def test_rotation(token: str, *, passes: bool) -> None:
    """CL-8."""
    found = outcome(phase_of("cl08"), ("authorization", f"Bearer {token}"))
    assert found is None if passes else responded(found).status == 401


def test_addresses() -> None:
    """CL-6: an outside address is refused before any token check."""
    phase = phase_of("cl06")
    for address in ("203.0.113.200", "198.51.100.50"):
        assert isinstance(outcome(phase, ("authorization", "Bearer right"), client_ip=address), Forward)
    for address in ("198.51.100.51", "10.0.0.1", "::1"):
        assert refused(outcome(phase, ("authorization", "Bearer right"), client_ip=address)) == "ERR_NGROK_3203"


@pytest.mark.parametrize(("name", "last"), [("cl05", Forward), ("cl09", type(None))])
def test_limits(name: str, last: type) -> None:
    """CL-5, CL-9: request 101 of one client is refused; others, and refused callers, are not counted."""
    phase = phase_of(name)
    right = ("authorization", "Bearer right")
    if name == "cl05":
        for _ in range(200):
            assert responded(outcome(phase, ("authorization", "Bearer wrong"))).status == 401
    for _ in range(100):
        assert isinstance(outcome(phase, right), last)
    assert refused(outcome(phase, right)) == "ERR_TP_RATE_LIMITED"
    if name == "cl09":
        assert outcome(phase, ("authorization", "Bearer other")) is None


def exchange_with_a_deleted_secret() -> Exchange:
    return request(headers=[("authorization", "Bearer right")], secrets=Secrets())


@pytest.mark.parametrize(
    ("name", "code"), [("cl02", "ERR_NGROK_2254"), ("cl03", "ERR_NGROK_2238"), ("cl08", "ERR_NGROK_2238")]
)
def test_deleted_secrets(name: str, code: str) -> None:
    """CL-15: nobody passes."""
    found = run_phase(phase_of(name), exchange_with_a_deleted_secret())
    assert not isinstance(found, Awaitable)
    assert refused(found) == code
