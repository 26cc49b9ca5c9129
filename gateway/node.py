"""The tree that a document becomes: nodes that know where they stand.

A node has one parent: an alias is a copy, so that ``path`` says where the value is used while line and column say
where it is written.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class Kind(enum.Enum):
    """What a node is; the value is the word for it in messages."""

    MAPPING = "a mapping"
    SEQUENCE = "a list"
    STRING = "a string"
    INTEGER = "an integer"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    NULL = "null"


@dataclass(slots=True)
class Entry:
    """One key of a mapping with its value."""

    key: Node
    value: Node

    @property
    def name(self) -> str:
        return str(self.key.value)


class Node:
    """A value in a document. ``value`` is the scalar, None for null and containers.

    ``raw`` is the scalar's source text where that stands on one line, quotes included; positions inside a scalar are
    computed from it.
    """

    __slots__ = ("column", "entries", "items", "kind", "line", "parent", "raw", "step", "value")

    def __init__(self, kind: Kind, line: int, column: int, value: Any = None, raw: str | None = None) -> None:
        self.kind = kind
        self.line = line
        self.column = column
        self.value = value
        self.raw = raw
        self.items: list[Node] = []
        self.entries: list[Entry] = []
        self.parent: Node | None = None
        self.step: str | int = ""

    def append(self, item: Node) -> None:
        """Adds an element to a list."""
        item.parent, item.step = self, len(self.items)
        self.items.append(item)

    def insert(self, key: Node, value: Node) -> None:
        """Adds an entry to a mapping."""
        key.parent = value.parent = self
        key.step = value.step = key.value
        self.entries.append(Entry(key, value))

    def get(self, name: str) -> Node | None:
        """The value of a key, or None."""
        for entry in self.entries:
            if entry.name == name:
                return entry.value
        return None

    def key(self, name: str) -> Node | None:
        """The node of the key itself."""
        for entry in self.entries:
            if entry.name == name:
                return entry.key
        return None

    @property
    def names(self) -> list[str]:
        """The keys of a mapping in document order."""
        return [entry.name for entry in self.entries]

    @property
    def path(self) -> str:
        """Like ``on_http_request[1].actions[0].config.capacity``."""
        steps: list[str] = []
        node = self
        while node.parent is not None:
            steps.append(f"[{node.step}]" if isinstance(node.step, int) else f".{node.step}")
            node = node.parent
        return "".join(reversed(steps)).removeprefix(".")

    def plain(self) -> Any:
        """The value as Python data: dict, list, str, int, float, bool, None."""
        if self.kind is Kind.MAPPING:
            return {entry.name: entry.value.plain() for entry in self.entries}
        if self.kind is Kind.SEQUENCE:
            return [item.plain() for item in self.items]
        return self.value

    def locate(self, offset: int) -> tuple[int, int] | None:
        """Line and column of the character ``offset`` of a string, or None when it is not on one line (TP-21)."""
        if self.raw is None or self.kind is not Kind.STRING:
            return None
        at = 0
        for width, characters in _units(self.raw):
            if offset < characters:
                break
            offset -= characters
            at += width
        quoted = self.raw[:1] in ("'", '"')
        return self.line, self.column + quoted + at

    def walk(self) -> Iterator[Node]:
        """This node and every value below it, in document order."""
        yield self
        for item in self.items:
            yield from item.walk()
        for entry in self.entries:
            yield from entry.value.walk()

    def copy(self) -> Node:
        """A deep copy without a parent."""
        twin = Node(self.kind, self.line, self.column, self.value, self.raw)
        for item in self.items:
            twin.append(item.copy())
        for entry in self.entries:
            twin.insert(entry.key.copy(), entry.value.copy())
        return twin

    def __repr__(self) -> str:
        return f"<{self.kind.value} at {self.line}:{self.column}>"


_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\x..|\\u....|\\U........|\\.|.", re.S
)


def _units(raw: str) -> Iterator[tuple[int, int]]:
    """(width in the source, characters it stands for) of each piece of a one-line scalar."""
    if raw[:1] == "'":
        for piece in re.findall("''|.", raw[1:-1]):
            yield len(piece), 1
    elif raw[:1] == '"':
        for piece in _ESCAPE.findall(raw[1:-1]):
            yield len(piece), 1
    else:
        for _ in raw:
            yield 1, 1
