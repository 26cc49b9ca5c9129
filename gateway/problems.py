"""What is wrong with a document: one problem, the collection of them, and the codes they carry.

Nothing here knows what a document is about. Everything is reported; nothing stops at the first problem (TP-21).

Invariants
    1. A problem never holds a value of the document, apart from names (TP-24): messages are written by the reporter.
    2. Lines and columns are 1-based and count characters.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Protocol


class Severity(enum.StrEnum):
    """Whether the document may be used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Codes:
    """The code of each kind of problem. Defaults: TP 10.3; an action with a table of its own replaces some (AG-3)."""

    syntax: str = "ERR_NGROK_2236"
    unknown_field: str = "ERR_NGROK_2203"
    wrong_type: str = "ERR_NGROK_2203"
    bad_value: str = "ERR_NGROK_2204"
    out_of_range: str = "ERR_NGROK_2215"
    not_allowed: str = "ERR_NGROK_2222"
    empty: str = "ERR_NGROK_2223"
    missing: str = "ERR_NGROK_2234"
    too_many: str = "ERR_NGROK_2218"
    too_long: str = "ERR_NGROK_2255"
    duration_too_long: str = "ERR_NGROK_2221"
    duration_too_short: str = "ERR_NGROK_2225"
    duplicate: str = "ERR_NGROK_2231"
    unparsable: str = "ERR_NGROK_2228"
    bad_url: str = "ERR_NGROK_2226"
    tolerated: str = "ERR_NGROK_2203"


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of the report. ``path`` is like ``on_http_request[1].actions[0].config.capacity`` (TP-22)."""

    file: str
    line: int
    column: int
    path: str
    code: str
    severity: Severity
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code}: {self.message}"

    def details(self) -> dict[str, str | int]:
        """The JSON form of TP-22."""
        return {**asdict(self), "severity": str(self.severity)}


class Place(Protocol):
    """Where a problem is; ``gateway.document.Node`` is one."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def path(self) -> str: ...


class Problems:
    """Collects problems of one source; iterates over them by position."""

    def __init__(self, file: str = "<inline>", *, codes: Codes | None = None) -> None:
        self.file = file
        self.codes = codes or Codes()
        self._found: dict[Problem, None] = {}
        self._unreadable: set[tuple[int, int]] = set()

    def add(self, severity: Severity, code: str, message: str, *, line: int, column: int, path: str = "") -> None:
        """Reports at a position; the same problem at the same place is kept once (an alias is read several times).

        What could not be read as YAML or JSON is reported once: whatever is made of its value would only confuse.
        """
        place = (line, column)
        if code == self.codes.syntax and severity is Severity.ERROR:
            self._unreadable.add(place)
        elif place in self._unreadable:
            return
        self._found[Problem(self.file, line, column, path, code, severity, message)] = None

    def add_error(self, code: str, message: str, *, line: int, column: int, path: str = "") -> None:
        """Reports an error at a position."""
        self.add(Severity.ERROR, code, message, line=line, column=column, path=path)

    def add_warning(self, code: str, message: str, *, line: int, column: int, path: str = "") -> None:
        """Reports a warning at a position."""
        self.add(Severity.WARNING, code, message, line=line, column=column, path=path)

    def error(self, place: Place, code: str, message: str) -> None:
        """Reports an error at a node."""
        self.add(Severity.ERROR, code, message, line=place.line, column=place.column, path=place.path)

    def warning(self, place: Place, code: str, message: str) -> None:
        """Reports a warning at a node."""
        self.add(Severity.WARNING, code, message, line=place.line, column=place.column, path=place.path)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Takes over problems of another source; they keep their file."""
        self._found.update(dict.fromkeys(problems))

    @property
    def failed(self) -> bool:
        """True if there is any error: the document must not be used."""
        return any(problem.severity is Severity.ERROR for problem in self._found)

    @property
    def errors(self) -> list[Problem]:
        """The errors, by position."""
        return [problem for problem in self if problem.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[Problem]:
        """The warnings, by position."""
        return [problem for problem in self if problem.severity is Severity.WARNING]

    def details(self) -> list[dict[str, str | int]]:
        """``details.errors`` of an API answer (TP-22)."""
        return [problem.details() for problem in self]

    def __iter__(self) -> Iterator[Problem]:
        return iter(sorted(self._found, key=lambda problem: (problem.file, problem.line, problem.column)))

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        return "\n".join(map(str, self))
