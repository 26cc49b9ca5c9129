"""Declarations of actions and the state they keep: TP-202, TP-269, TP-491, design rule 5."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import RATE_LIMITED, failure
from gateway.policy.action import ActionError, ActionSpec, CompileDeps, RuntimeRegistry, always, maybe
from gateway.policy.model import Phase, Terminates
from gateway.schema.shapes import record


def spec(kind: str, **more: Any) -> ActionSpec[Any]:
    return ActionSpec(type=kind, phases=frozenset(Phase), shape=record(dict), compile=lambda config, deps: None, **more)  # type: ignore[arg-type,return-value]


def test_names_of_results() -> None:
    """TP-202."""
    assert spec("rate-limit").name == "rate_limit"
    assert spec("compress-response", result_name="compress").name == "compress"


def test_terminating() -> None:
    """TP-42."""
    assert [terminates(None) for terminates in (spec("a").terminates, maybe, always)] == list(Terminates)


def test_state_survives_a_reload() -> None:
    """TP-269: kept by endpoint, key, and ordinal among equal keys."""
    runtime = RuntimeRegistry()

    def build(endpoint: str, *keys: tuple[str, ...]) -> tuple[list[Any], CompileDeps]:
        deps = CompileDeps(endpoint, runtime=runtime)
        return [deps.state(key, list) for key in keys], deps

    (one, two, three), _ = build("ep_1", ("limit", "a"), ("limit", "b"), ("limit", "a"))
    one.append(1)
    three.append(3)
    assert two == []
    (again, third), deps = build("ep_1", ("limit", "a"), ("limit", "a"))
    assert again is one
    assert third is three
    (other,), _ = build("ep_2", ("limit", "a"))
    assert other == []
    assert len(runtime) == 4
    runtime.retain(deps.claimed)
    assert len(runtime) == 2
    assert build("ep_1", ("limit", "a"))[0] == [[1]]
    assert build("ep_2", ("limit", "a"))[0] == [[]]


def test_services() -> None:
    deps = CompileDeps("ep_1", services={str: "a service"})
    assert deps.service(str) == "a service"
    with pytest.raises(KeyError):
        deps.service(int)


def test_errors_in_results() -> None:
    """TP-202."""
    error = ActionError.of(failure(RATE_LIMITED, name="n", capacity=1, window="1s", retry_after=2))
    assert (error.code, error.message.split(".")[0]) == (
        "ERR_TP_RATE_LIMITED",
        "Rate limit 'n' exceeded: 1 requests per 1s",
    )
