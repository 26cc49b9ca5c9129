"""Policies and case files for these tests, run by the real tools."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from random import Random
from typing import Any

from gateway.cli.policy import options_of
from gateway.policy.load import load_policy
from gateway.policy.model import Policy
from gateway.policy_tools.cases import FileResult, run_file
from gateway.policy_tools.documents import RequestPart, read_request
from gateway.policy_tools.explain import Explanation, Question, explain
from gateway.policy_tools.offline import OfflineGateway, OfflineParts, Served, offline_context
from gateway.problems import Problems
from gateway.settings.environment import Environment
from gateway.settings.load import load_settings
from gateway.settings.model import Settings

GATEWAY = """\
on_http_request:
  - type: ai-gateway
    config:
      providers:
        - id: openai
          api_keys: [{value: sk-first}, {value: sk-second}]
"""


def settings() -> Settings:
    found, problems = load_settings({}, Environment({}))
    assert found is not None, str(problems)
    return found


def loaded(text: str, random: Random) -> Policy:
    policy, problems = load_policy(textwrap.dedent(text), offline_context(options_of(settings()), random))
    assert policy is not None, str(problems)
    return policy


def run_cases(folder: Path, policy: str, cases: str, *, only: str = "") -> FileResult:
    """The result of a policy and its cases."""
    (folder / "p.yaml").write_text(textwrap.dedent(policy))
    (folder / "p.test.yaml").write_text(textwrap.dedent(cases))
    return run_file(str(folder / "p.yaml"), options_of(settings()), settings(), only=only)


def failures(folder: Path, policy: str, cases: str) -> list[str]:
    """The failures of the only case; without the hint at the end."""
    result = run_cases(folder, policy, cases)
    assert not result.problems.failed, str(result.problems)
    (case,) = result.cases
    return [words for words in case.failures if not words.startswith("(decided by")]


def explained(policy: str, request: str, case: str = "") -> Explanation:
    """The explanation of a request."""
    problems = Problems("request.yaml")
    file = read_request(textwrap.dedent(request).encode(), problems)
    assert file is not None, str(problems)
    question = Question(policy=textwrap.dedent(policy).encode(), policy_file="p.yaml", request=file, case=case)
    explanation, problems = explain(question, options_of(settings()), settings())
    assert explanation is not None, str(problems)
    return explanation


def served(policy: str, *requests: RequestPart, **parts: Any) -> list[Served]:
    """What comes of requests to one offline gateway."""
    random = Random(0)
    problems = Problems("request.yaml")
    file = read_request(b"{}", problems)
    assert file is not None
    built = OfflineParts(policy=loaded(policy, random), settings=settings(), random=random, surroundings=file, **parts)

    async def run() -> list[Served]:
        async with asyncio.TaskGroup() as group:
            gateway = OfflineGateway(built, group)
            return [await gateway.send(request) for request in requests]

    return asyncio.run(run())
