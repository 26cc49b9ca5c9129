"""Policies for tests: load, compile and run them on an exchange, with the real engine and a clock that stands still."""

from __future__ import annotations

import asyncio
import inspect
import textwrap
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from gateway.actions import ACTIONS
from gateway.clock import ManualClock
from gateway.errors import GatewayError
from gateway.exchange import Connection, Exchange, ResponseHead
from gateway.headers import HeaderMap
from gateway.limiter.buckets import LimiterTable
from gateway.policy.action import CompileDeps, Outcome, Refuse
from gateway.policy.compile import CompiledPolicy, compile_policy
from gateway.policy.engine import run_phase
from gateway.policy.load import load_policy, policy_context
from gateway.policy.model import Phase
from gateway.policy.options import PolicyOptions
from gateway.problems import Problem, Problems, Severity


class Secrets:
    """The secrets of one test: (vault, name) → value."""

    def __init__(self, values: Mapping[tuple[str, str], str] | None = None) -> None:
        self.values = dict(values or {})

    def get(self, vault: str, name: str) -> str:
        return self.values[vault, name]

    def get_single(self, name: str) -> str:
        return next(value for (_, known), value in self.values.items() if known == name)


class Snapshot:
    """What an exchange needs of a snapshot here."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets


class Endpoint:
    """What expressions see of an endpoint."""

    id = "ep_test"
    url = "http://gateway.example"
    host = "gateway.example"
    port = 80
    scheme = "http"
    name = "test"


class Client:
    """The client's connection: a body in one piece."""

    body_is_here = True
    body_at_hand = None

    def __init__(self, body: bytes = b"") -> None:
        self.body = body

    async def read_body(self, limit_bytes: int) -> bytes:
        return self.body

    def write(self, data: bytes) -> None:
        raise AssertionError("nothing is written in these tests")


@dataclass
class Policies:
    """Loads policies and runs them; state survives from one to the next, as over a reload."""

    options: PolicyOptions = field(default_factory=PolicyOptions)
    services: dict[type, Any] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=Secrets)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.services.setdefault(LimiterTable, LimiterTable())
        self.deps = CompileDeps(endpoint="ep_test", clock=self.clock, services=self.services)

    def problems(self, text: str) -> Problems:
        """What loading says."""
        return load_policy(textwrap.dedent(text), policy_context(ACTIONS, self.options), file="policy.yaml")[1]

    def compile(self, text: str) -> CompiledPolicy:
        """A policy that must be sound."""
        policy, problems = load_policy(textwrap.dedent(text), policy_context(ACTIONS, self.options), file="policy.yaml")
        assert policy is not None, str(problems)
        self.deps.claimed = set()
        return compile_policy(policy, ACTIONS, self.deps)

    def run(self, policy: CompiledPolicy, exchange: Exchange, phase: Phase = Phase.REQUEST) -> Outcome:
        """The outcome of a phase that may wait; waits for it."""
        outcome = run_phase(policy.phases[phase], exchange)
        if inspect.isawaitable(outcome):
            return asyncio.run(_finished(outcome))
        return outcome

    async def run_async(self, policy: CompiledPolicy, exchange: Exchange, phase: Phase = Phase.REQUEST) -> Outcome:
        """The same inside an event loop."""
        outcome = run_phase(policy.phases[phase], exchange)
        return await outcome if inspect.isawaitable(outcome) else outcome

    def exchange(
        self, method: str = "GET", path: str = "/", *, headers: Mapping[str, str] | None = None, query: str = "",
        body: bytes = b"", client_ip: str = "203.0.113.7", host: str = "gateway.example", scheme: str = "http",
        lines: list[tuple[str, str]] | None = None, response: ResponseHead | None = None,
    ) -> Exchange:  # fmt: skip
        """A request."""
        pairs = lines if lines is not None else list((headers or {}).items())
        target = f"{path}?{query}" if query else path
        exchange = Exchange(
            request_id="req_1", snapshot=Snapshot(self.secrets), endpoint=Endpoint(),
            conn=Connection(client_ip, 5_000, "192.0.2.1", 80, self.clock.now()), downstream=Client(body),
            method=method, raw_target=target, path=path, query=query, host=host, scheme=scheme,
            headers=HeaderMap.of(pairs), started=self.clock.monotonic(), started_s=self.clock.now(),
            content_length=len(body),
        )  # fmt: skip
        exchange.response = response
        return exchange


async def _finished(outcome: Awaitable[Outcome]) -> Outcome:
    return await outcome


def refused(outcome: Outcome) -> GatewayError:
    """The error of an outcome that must be a refusal."""
    assert isinstance(outcome, Refuse), outcome
    return outcome.error


def report(problems: Problems) -> list[tuple[str, int, int]]:
    """(code, line, column) of every error."""
    return [(problem.code, problem.line, problem.column) for problem in problems.errors]


def first_error(problems: Problems) -> Problem:
    """The first error."""
    return next(problem for problem in problems if problem.severity is Severity.ERROR)


def action(type: str, config: str = "", phase: str = "on_http_request") -> str:
    """A policy with one action; ``config`` is indented YAML. Its first line stands on line 4."""
    head = f"{phase}:\n  - type: {type}\n    config:\n"
    return head + textwrap.indent(textwrap.dedent(config).strip("\n"), " " * 6) + "\n"


def result(exchange: Exchange, name: str) -> Any:
    """``actions.ngrok.<name>``."""
    return cast("Any", exchange.results[name])
