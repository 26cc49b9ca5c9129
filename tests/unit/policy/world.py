"""A small world for policies: load, compile and run them on made-up requests, with the real engine and real actions."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.actions import add_headers, custom_response, deny, log, remove_headers, set_vars
from gateway.clock import ManualClock
from gateway.exchange import Connection, Exchange, ResponseHead
from gateway.headers import HeaderMap
from gateway.policy.action import ActionSpec, CompileDeps, Outcome, Refuse, Respond
from gateway.policy.atlas import NO_ATLAS, Atlas
from gateway.policy.compile import CompiledPhase, compile_policy
from gateway.policy.engine import run_phase
from gateway.policy.load import PolicyContext, load_policy, policy_context
from gateway.policy.model import Phase, Policy
from gateway.policy.options import PolicyOptions
from gateway.policy.paths import normalise
from gateway.problems import Problems

SPECS: tuple[ActionSpec[Any], ...] = (
    add_headers.SPEC, custom_response.SPEC, deny.SPEC, log.SPEC, remove_headers.SPEC, set_vars.SPEC,
)  # fmt: skip
TABLE: dict[str, ActionSpec[Any]] = {spec.type: spec for spec in SPECS}
CLOCK = ManualClock()
_CONTEXT = policy_context(TABLE)


class Secrets:
    """vault → name → value."""

    def __init__(self, **vaults: Mapping[str, str]) -> None:
        self.vaults = {vault: dict(names) for vault, names in vaults.items()}

    def get(self, vault: str, name: str) -> str:
        return self.vaults[vault][name]

    def get_single(self, name: str) -> str:
        found = [names[name] for names in self.vaults.values() if name in names]
        if len(found) != 1:
            raise LookupError(name)
        return found[0]


@dataclass
class Server:
    region: str = "eu"


@dataclass
class Settings:
    server: Server


@dataclass
class Snapshot:
    secrets: Secrets
    settings: Settings
    atlas: Atlas = NO_ATLAS


@dataclass
class Endpoint:
    id: str = "ep_1"
    url: str = "https://gateway.example:8443"
    host: str = "gateway.example"
    port: int = 8443
    scheme: str = "https"


def context(options: PolicyOptions | None = None, **more: ActionSpec[Any]) -> PolicyContext:
    """What loading needs; ``more`` adds action types (underscores in a name are hyphens)."""
    if options is None and not more:
        return _CONTEXT
    return policy_context({**TABLE, **{spec.type: spec for spec in more.values()}}, options)


def load(text: str, with_context: PolicyContext | None = None, file: str = "p.yaml") -> tuple[Policy | None, Problems]:
    """Loads a policy; the text is dedented."""
    return load_policy(textwrap.dedent(text), with_context or _CONTEXT, file=file)


def report(problems: Problems) -> list[str]:
    """``line:column severity code`` of each problem; the common prefix of codes is left out."""
    return [
        f"{problem.line}:{problem.column} {problem.severity} {problem.code.removeprefix('ERR_NGROK_')}"
        for problem in problems
    ]


def compiled(
    text: str, phase: Phase = Phase.REQUEST, with_context: PolicyContext | None = None, deps: CompileDeps | None = None
) -> CompiledPhase:
    """A phase of a sound policy."""
    chosen = with_context or _CONTEXT
    policy, problems = load(text, chosen)
    assert policy is not None, str(problems)
    return compile_policy(policy, chosen.actions, deps or CompileDeps("ep_1", clock=CLOCK)).phases[phase]


def request(
    target: str = "/v1/models", *, method: str = "GET", headers: list[tuple[str, str]] | None = None,
    secrets: Secrets | None = None, host: str = "gateway.example", response: ResponseHead | None = None,
    client_ip: str = "203.0.113.7", **more: Any,
) -> Exchange:  # fmt: skip
    """A request as the proxy hands it to the engine."""
    path, query = normalise(target)
    raw = HeaderMap.from_raw(
        [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers or []]
    )
    exchange = Exchange(
        request_id="req_1", snapshot=Snapshot(secrets or Secrets(), Settings(Server())), endpoint=Endpoint(),
        conn=Connection(client_ip, 5000, "192.0.2.1", 8443, 1_700_000_000.25), downstream=None, method=method,
        raw_target=target, path=path, query=query, host=host, scheme="https", headers=raw,
        started=CLOCK.monotonic(), started_s=CLOCK.now(), **more,
    )  # fmt: skip
    exchange.response = response
    return exchange


def answer(status: int = 200, headers: list[tuple[str, str]] | None = None) -> ResponseHead:
    """A response head."""
    return ResponseHead(status, HeaderMap.of(headers or []))


def run(phase: CompiledPhase, exchange: Exchange) -> Outcome:
    """The outcome of a phase that does not wait."""
    outcome = run_phase(phase, exchange)
    assert not inspect.isawaitable(outcome)
    return outcome


async def run_waiting(phase: CompiledPhase, exchange: Exchange) -> Outcome:
    """The outcome of a phase that has to wait."""
    outcome = run_phase(phase, exchange)
    assert isinstance(outcome, Awaitable)
    return await outcome


def responded(outcome: Outcome) -> Respond:
    """An answer made by the policy."""
    assert isinstance(outcome, Respond), outcome
    return outcome


def refused(outcome: Outcome) -> str:
    """The code of an error."""
    assert isinstance(outcome, Refuse), outcome
    return outcome.error.code


def value_of(
    expression: str, exchange: Exchange, phase: Phase = Phase.REQUEST, with_context: PolicyContext | None = None
) -> Any:
    """The value of an expression, by way of ``set-vars``."""
    text = f"{phase}:\n- type: set-vars\n  config:\n    vars:\n    - v: {quoted('${' + expression + '}')}\n"
    outcome = run(compiled(text, phase, with_context), exchange)
    assert outcome is None, outcome
    return exchange.vars["v"]


def quoted(text: str) -> str:
    """A YAML single-quoted scalar."""
    return "'" + text.replace("'", "''") + "'"
