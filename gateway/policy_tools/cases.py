"""``gateway policy test``: runs the examples kept beside a policy and compares (SV 1).

Each case meets a gateway that has just started: empty limits, fresh numbers, the clock and the seed of the file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from gateway.policy.load import load_policy
from gateway.policy.model import Policy
from gateway.policy_tools.compare import mismatches
from gateway.policy_tools.documents import Case, CaseFile, RequestPart, Secrets, Step, merged_secrets, read_cases
from gateway.policy_tools.offline import OfflineGateway, OfflineParts, Served, offline_context
from gateway.policy_tools.services import options_for
from gateway.policy_tools.trace import Recorder
from gateway.problems import Problems

if TYPE_CHECKING:
    from gateway.policy.options import PolicyOptions
    from gateway.settings import Settings

SUFFIX = ".test"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """``failures``: what differed, in words; none: it passed."""

    name: str
    line: int
    failures: tuple[str, ...]


@dataclass(slots=True)
class FileResult:
    """All cases of one policy. ``problems``: of the policy or of the file of cases."""

    policy: str
    file: str
    problems: Problems
    cases: list[CaseResult] = field(default_factory=list)
    #: seconds that running took, loading included
    took_s: float = 0.0

    @property
    def failed(self) -> bool:
        return self.problems.failed or any(case.failures for case in self.cases)


def pair_of(name: str) -> tuple[Path, Path]:
    """A policy and its cases, whichever of the two is named: ``a.yaml`` and ``a.test.yaml``."""
    path = Path(name)
    if path.stem.endswith(SUFFIX):
        return path.with_name(path.stem.removesuffix(SUFFIX) + path.suffix), path
    return path, path.with_name(f"{path.stem}{SUFFIX}{path.suffix}")


def run_file(name: str, options: PolicyOptions, settings: Settings, *, only: str = "") -> FileResult:
    """Runs the cases of one policy; ``only``: those whose name contains this text."""
    began = time.perf_counter()
    policy_path, cases_path = pair_of(name)
    result = FileResult(str(policy_path), str(cases_path), Problems(str(cases_path)))
    random = Random()  # noqa: S311 - chance that is repeatable is what cases want
    source = _read(cases_path, result.problems)
    file = read_cases(source, result.problems) if source is not None else None
    policy = _load(policy_path, options_for(file, options) if file is not None else options, random, result.problems)
    if policy is not None and file is not None:
        parts = OfflineParts(policy=policy, settings=settings, random=random, surroundings=file)
        chosen = [case for case in file.cases if only in case.name]
        result.cases = asyncio.run(_run(parts, chosen))
    result.took_s = time.perf_counter() - began
    return result


def _load(path: Path, options: PolicyOptions, random: Random, problems: Problems) -> Policy | None:
    source = _read(path, problems)
    if source is None:
        return None
    policy, found = load_policy(source, offline_context(options, random), file=str(path))
    problems.extend(found.errors)
    return policy


def _read(path: Path, problems: Problems) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        words = f"{path}: {error.strerror or 'cannot be read'}"
        problems.add_error(problems.codes.syntax, words, line=1, column=1)
        return None


async def _run(parts: OfflineParts, cases: Sequence[Case]) -> list[CaseResult]:
    return [await run_case(parts, case) for case in cases]


async def run_case(parts: OfflineParts, case: Case) -> CaseResult:
    """One case, on a gateway of its own."""
    recorder = Recorder(parts.policy)
    story = Story(parts.surroundings, case)
    failures: list[str] = []
    async with asyncio.TaskGroup() as group:
        gateway = OfflineGateway(parts, group, clock_s=case.clock, wrap=recorder.wrap)
        async for place, served in play(gateway, recorder, story):
            found = list(mismatches(place.step.expect, served, gateway.transport.sent, recorder))
            if found:
                label = place.label
                failures = [f"{label}{words}" for words in found] + [f"(decided by {recorder.summary()})"]
                break
    return CaseResult(case.name, case.line, tuple(failures))


@dataclass(frozen=True, slots=True)
class Story:
    """A case with what its file says for all of them."""

    file: CaseFile
    case: Case

    @classmethod
    def of(cls, file: CaseFile, name: str) -> Story | None:
        """The case of that name; without a name, the request that the file itself describes."""
        if not name:
            step = Step(after=0.0, repeat=1, secrets={}, request=RequestPart(), upstream=None, expect=None)
            whole = Case(
                name="", line=1, clock=None, secrets={}, request=RequestPart(), upstream=None, steps=(step,)
            )  # fmt: skip
            return cls(file, whole)
        found = [case for case in file.cases if case.name == name]
        return cls(file, found[0]) if found else None

    @property
    def clock(self) -> float | None:
        return self.case.clock


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a case: numbers count from 1."""

    step: Step
    number: int
    of: int
    repetition: int

    @property
    def label(self) -> str:
        """``step 2, request 7: ``, or less where that is clear."""
        words = [f"step {self.number}"] if self.of > 1 else []
        words += [f"request {self.repetition}"] if self.step.repeat > 1 else []
        return f"{', '.join(words)}: " if words else ""


async def play(gateway: OfflineGateway, recorder: Recorder, story: Story) -> AsyncIterator[tuple[Place, Served]]:
    """Every request of a case in turn, with what came of it."""
    file, case = story.file, story.case
    layers: list[Secrets] = [file.secrets, case.secrets]
    for number, step in enumerate(case.steps, 1):
        layers.append(step.secrets)
        gateway.know(merged_secrets(*layers))
        gateway.clock.advance(step.after)
        upstream = case.upstream if step.upstream is None else step.upstream
        gateway.transport.play((*(upstream or ()), *file.upstream))
        request = step.request.over(case.request).over(file.request)
        for repetition in range(1, step.repeat + 1):
            recorder.begin()
            yield Place(step, number, len(case.steps), repetition), await gateway.send(request)
