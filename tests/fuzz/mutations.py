"""A mutation fuzzer: takes sound inputs apart and puts them together wrongly, and keeps what behaves in a new way.

``Fuzzer.run`` feeds a target with mutants of its corpus. A target's ``check`` raises when an invariant is broken and
otherwise returns what the input made it do, in any hashable form; an input that does something new joins the corpus,
so that the fuzzer works its way from what the corpus shows to what lies behind it. Everything follows from the seed.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

#: inputs that the fuzzer added to a corpus; the oldest of them leave
MAX_FOUND = 3_000
#: CPU seconds that one input may take
PATIENCE_S = 10
MAX_LENGTH = 60_000

_NUMBERS = ("0", "-1", "1e999", "9223372036854775807", "9223372036854775808", "18446744073709551616", "0x", "1.", ".5")


class Target(Protocol):
    """What is fuzzed."""

    name: str
    #: pieces that mean something to it
    tokens: Sequence[str]

    def corpus(self) -> list[str]:
        """Sound inputs, or at least interesting ones."""
        ...

    def check(self, text: str) -> Hashable:
        """What the input made the target do; raises when that is wrong."""
        ...


class HangError(AssertionError):
    """An input that takes too long."""


@dataclass
class Report:
    """What a run did."""

    inputs: int = 0
    behaviours: set[Hashable] = field(default_factory=set)
    slowest_s: float = 0.0
    slowest: str = ""
    #: (input, what was raised)
    failures: list[tuple[str, BaseException]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.inputs:,} inputs, {len(self.behaviours):,} behaviours, slowest {self.slowest_s * 1e3:.0f} ms, "
            f"{len(self.failures)} failures"
        )


class Mutator:
    """Makes new texts out of known ones."""

    def __init__(self, draw: random.Random, tokens: Sequence[str]) -> None:
        self._draw = draw
        self._tokens = tokens
        self._ways = (
            self._cut, self._doubled, self._replaced, self._inserted, self._spliced, self._repeated, self._lines_moved,
            self._flipped, self._number, self._nested,
        )  # fmt: skip

    def mutant(self, text: str, other: str) -> str:
        """One to five changes, each of a random kind; ``other`` lends pieces."""
        for _ in range(self._draw.choice((1, 1, 1, 2, 3, 5))):
            text = self._draw.choice(self._ways)(text, other)
        return text[:MAX_LENGTH]

    def _span(self, text: str, longest: int = 40) -> tuple[int, int]:
        start = self._draw.randint(0, len(text))
        return start, min(len(text), start + self._draw.randint(0, longest))

    def _piece(self) -> str:
        return self._draw.choice(self._tokens)

    def _cut(self, text: str, other: str) -> str:
        start, end = self._span(text)
        return text[:start] + text[end:]

    def _doubled(self, text: str, other: str) -> str:
        start, end = self._span(text, 200)
        return text[:end] + text[start:end] + text[end:]

    def _replaced(self, text: str, other: str) -> str:
        start, end = self._span(text, 12)
        return text[:start] + self._piece() + text[end:]

    def _inserted(self, text: str, other: str) -> str:
        start = self._draw.randint(0, len(text))
        return text[:start] + self._piece() + text[start:]

    def _spliced(self, text: str, other: str) -> str:
        start, end = self._span(text)
        begin, stop = self._span(other, 200)
        return text[:start] + other[begin:stop] + text[end:]

    def _repeated(self, text: str, other: str) -> str:
        """One piece many times: nesting and long lists."""
        start, end = self._span(text, 12)
        count = self._draw.choice((2, 30, 70, 1_000))
        return text[:start] + text[start:end] * count + text[end:]

    def _nested(self, text: str, other: str) -> str:
        """Brackets around a piece, many times."""
        start, end = self._span(text)
        opening, closing = self._draw.choice(
            (("(", ")"), ("[", "]"), ("{", "}"), ("!", ""), ("-", ""), ("[1].map(x, ", ")"))
        )
        depth = self._draw.choice((1, 3, 20, 70, 400))
        return text[:start] + opening * depth + text[start:end] + closing * depth + text[end:]

    def _lines_moved(self, text: str, other: str) -> str:
        lines = text.split("\n")
        line = self._draw.randrange(len(lines))
        moved = lines.pop(line)
        indent = self._draw.choice(("", " ", "  ", "\t"))
        lines.insert(self._draw.randint(0, len(lines)), indent + moved.removeprefix(" " * self._draw.randint(0, 3)))
        return "\n".join(lines)

    def _flipped(self, text: str, other: str) -> str:
        if not text:
            return chr(self._draw.randint(0, 255))
        at = self._draw.randrange(len(text))
        return text[:at] + chr(ord(text[at]) ^ 1 << self._draw.randint(0, 7)) + text[at + 1 :]

    def _number(self, text: str, other: str) -> str:
        places = [index for index, character in enumerate(text) if character.isdigit()]
        if not places:
            return self._inserted(text, other)
        at = self._draw.choice(places)
        return text[:at] + self._draw.choice(_NUMBERS) + text[at + 1 :]


class Fuzzer:
    """Runs one target."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._draw = random.Random(seed)
        self._mutator = Mutator(self._draw, target.tokens)
        self._given = target.corpus()
        self._found: list[str] = []

    def inputs(self) -> Iterator[str]:
        """The corpus as it is, then mutants for ever."""
        yield from self._given
        while True:
            pool = self._found if self._found and self._draw.random() < 0.5 else self._given
            yield self._mutator.mutant(self._draw.choice(pool), self._draw.choice(self._given))

    def run(self, enough: Callable[[Report], bool], *, most_failures: int = 1) -> Report:
        """Feeds inputs until ``enough`` says so, or that many have failed."""
        report = Report()
        for text in self.inputs():
            if enough(report) or len(report.failures) >= most_failures:
                return report
            self._feed(text, report)
        raise AssertionError  # the inputs never end

    def _feed(self, text: str, report: Report) -> None:
        report.inputs += 1
        start = time.process_time()
        try:
            with patience():
                behaviour = self._target.check(text)
        except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
            report.failures.append((shortest(self._target, text, type(error)), error))
            return
        spent = time.process_time() - start
        if spent > report.slowest_s:
            report.slowest_s, report.slowest = spent, text
        if behaviour not in report.behaviours:
            report.behaviours.add(behaviour)
            self._found.append(text)
            if len(self._found) > MAX_FOUND:
                del self._found[0]


@contextmanager
def patience() -> Iterator[None]:
    """Raises HangError in the main thread once the block has used that much CPU time."""

    def over(*_: object) -> NoReturn:
        raise HangError(f"more than {PATIENCE_S} s")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def shortest(target: Target, text: str, kind: type[BaseException]) -> str:
    """The input with everything cut out that the failure does not need; a hang is left as it is."""
    if issubclass(kind, HangError):
        return text
    size = max(len(text) // 2, 1)
    tries = 0
    while tries < 2_000:
        for start in range(0, len(text), size):
            smaller = text[:start] + text[start + size :]
            tries += 1
            if _fails(target, smaller, kind):
                text = smaller
                break
        else:
            if size == 1:
                return text
            size //= 2
    return text


def _fails(target: Target, text: str, kind: type[BaseException]) -> bool:
    try:
        with patience():
            target.check(text)
    except Exception as error:  # noqa: BLE001 - the same kind of failure is what is looked for
        return isinstance(error, kind)
    return False
