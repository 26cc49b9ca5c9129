"""A policy after loading: phases of rules of actions, frozen, with every expression already compiled and checked.

Pure: no I/O, no event loop. Places are kept for the log, which names a rule by position and name (TP-57).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.cel.compile import Program


class Phase(enum.StrEnum):
    """When rules run (TP 3.1). The value is the key in a document."""

    TCP = "on_tcp_connect"
    REQUEST = "on_http_request"
    RESPONSE = "on_http_response"
    STREAM = "on_event_stream_message"


class Protocol(enum.Enum):
    """What an endpoint speaks; decides what ``inbound`` means and which phases may be used (TP-9, TP 3.1)."""

    HTTP = "http"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class RulePlace:
    """Where a rule stands: ``label`` is like ``on_http_request[1] 'auth'``."""

    file: str
    line: int
    column: int
    label: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.label}"


@dataclass(frozen=True, slots=True)
class ActionConfig:
    """One action: its type and its validated configuration, opaque here."""

    type: str
    config: Any
    path: str
    terminates: Terminates


class Terminates(enum.Enum):
    """Whether an action ends the phase (TP-42)."""

    NEVER = "never"
    MAYBE = "maybe"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Rule:
    """``condition`` is the conjunction of all expressions, None for always (TP-75)."""

    name: str
    place: RulePlace
    expressions: tuple[str, ...]
    condition: Program | None
    actions: tuple[ActionConfig, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """``enabled`` is false only for the old envelope (TP-10): such a policy is not applied."""

    phases: Mapping[Phase, tuple[Rule, ...]]
    enabled: bool = True
    source: str = field(default="", repr=False)

    def actions(self) -> list[ActionConfig]:
        """Every action, in document order of each phase."""
        return [action for rules in self.phases.values() for rule in rules for action in rule.actions]
