"""Rows that a running gateway cannot show: policies that it must not load. Each is refused in both notations.

A row names the place, the code and words of the message; in JSON codes and paths must be the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.actions import ACTIONS
from gateway.app.process import ConfigurationError
from gateway.cli.policy import check_files
from gateway.policy.load import load_policy, policy_context
from gateway.problems import Problem, Severity
from tests.wire.checklist.stage import as_json
from tests.wire.running import RunningGateway, settings_for


@dataclass(frozen=True, slots=True)
class Refusal:
    """One wrong policy. ``code`` is without its prefix."""

    number: int
    name: str
    policy: str
    line: int
    column: int
    code: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"CL-{self.number} {self.name}"


def refused(number: int, name: str, policy: str, at: str, code: str, *words: str) -> Refusal:
    """``refused(80, "unquoted", "on_http_request: …", "1:23", "2236", "quote")``."""
    line, _, column = at.partition(":")
    return Refusal(number, name, textwrap.dedent(policy).lstrip("\n"), int(line), int(column), code, words)


def refusals(namespace: Mapping[str, object]) -> list[Refusal]:
    """All of a module's table."""
    table = namespace["REFUSALS"]
    assert isinstance(table, tuple)
    return list(table)


def errors(text: str, file: str) -> list[Problem]:
    """What loading reports."""
    problems = load_policy(text, policy_context(ACTIONS), file=file)[1]
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def is_named(problem: Problem, each: Refusal) -> bool:
    """Whether this is the problem that the row names."""
    return problem.code.removeprefix("ERR_NGROK_") == each.code and all(word in problem.message for word in each.words)


def check_loading(each: Refusal) -> None:
    """Refused at this place, for this reason; as JSON for the same reason at the same path."""
    found = errors(each.policy, "policy.yaml")
    assert found, "it loads"
    assert any(
        (problem.line, problem.column) == (each.line, each.column) and is_named(problem, each) for problem in found
    ), [str(problem) for problem in found]
    if each.code == "2236":
        return  # no YAML, so there is no JSON that means the same
    others = errors(as_json(each.policy), "policy.json")
    assert {(problem.path, problem.code) for problem in others} == {(problem.path, problem.code) for problem in found}


def check_command(each: Refusal, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``gateway policy check`` names file, line, column and code, and fails."""
    file = folder / "wrong.yaml"
    file.write_text(each.policy)
    assert check_files([str(file)]) == 1
    printed = capsys.readouterr().out
    prefix = "" if each.code.startswith("ERR_") else "ERR_NGROK_"
    assert f"{file}:{each.line}:{each.column}: error {prefix}{each.code}: " in printed
    assert all(word in printed for word in each.words)


async def check_start(each: Refusal) -> None:
    """A gateway with it does not start (TP-23)."""
    with pytest.raises(ExceptionGroup) as failed:
        async with RunningGateway(settings_for(each.policy)):
            raise AssertionError("it started")
    (error,) = failed.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert any(is_named(problem, each) for found in error.problems for problem in found)
