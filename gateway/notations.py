"""The two notations of documents: a strict JSON reader and a YAML 1.2 core reader, which build equal trees.

The YAML scanner is ruamel.yaml's, of which only the events are used: its own resolver would bring YAML 1.1 words.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from json.decoder import JSONDecodeError
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from gateway.node import Kind, Node
from gateway.problems import Problems

MAX_NODES = 100_000
MAX_DEPTH = 100


class Unreadable(Exception):  # noqa: N818 - ends reading, is always turned into a Problem
    """A problem after which nothing more can be read. Line and column are 1-based."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


def position(text: str, at: int) -> tuple[int, int]:
    """1-based line and column of one character; for many of them see ``_Reader.position``."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


class _Reader:
    """What both notations share: limits, scalars, keys."""

    def __init__(self, text: str, problems: Problems) -> None:
        self.text = text
        self.problems = problems
        self.count = 0
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def position(self, at: int) -> tuple[int, int]:
        """1-based line and column of a character."""
        line = bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def admit(self, line: int, column: int, *, depth: int = 0, nodes: int = 1) -> None:
        """Counts nodes against the limits."""
        self.count += nodes
        if self.count > MAX_NODES:
            raise Unreadable(f"the document has more than {MAX_NODES} nodes", line, column)
        if depth > MAX_DEPTH:
            raise Unreadable(f"the document is nested more than {MAX_DEPTH} deep", line, column)

    def syntax(self, node: Node, message: str) -> None:
        """Reports a problem that reading can go on after."""
        self.problems.error(node, self.problems.codes.syntax, message)

    def scalar(self, value: Any, line: int, column: int, raw: str | None) -> Node:
        """A scalar node; values that JSON cannot carry are reported."""
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            value = float(value) if abs(value) < 2**1023 else math.inf
        node = Node(_kind_of(value), line, column, value, raw)
        if isinstance(value, float) and not math.isfinite(value):
            self.syntax(node, "a number must be finite and fit 64 bits")
            node.value = 0.0
        elif isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            self.syntax(node, "half a surrogate pair is no character")
            node.value = ""
        return node

    def insert(self, mapping: Node, names: set[str], key: Node, value: Node) -> None:
        """Adds an entry; the first of equal keys stands."""
        if key.value in names:
            key.parent, key.step = mapping, key.value
            self.syntax(key, f"duplicate key '{key.value}'")
            return
        if value.kind is Kind.NULL and value.raw == "":  # nothing is written: the key is the place
            value.line, value.column = key.line, key.column
        names.add(key.value)
        mapping.insert(key, value)


def _kind_of(value: object) -> Kind:
    if value is None:
        return Kind.NULL
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int):
        return Kind.INTEGER
    return Kind.NUMBER if isinstance(value, float) else Kind.STRING


_JSON = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"null": None, "true": True, "false": False}
_WORD = re.compile(r"[A-Za-z]+")


class JsonReader(_Reader):
    """Strict RFC 8259. Recursive; ``MAX_DEPTH`` bounds it."""

    def read(self) -> Node:
        """The one value of the text."""
        root, at = self.value(self.skip(0), 0)
        at = self.skip(at)
        if at < len(self.text):
            raise self.bad("text after the end of the document", at)
        return root

    def bad(self, message: str, at: int) -> Unreadable:
        """An error at a character."""
        return Unreadable(f"not valid JSON: {message}", *self.position(at))

    def skip(self, at: int) -> int:
        """Past white space."""
        match = _BLANK.match(self.text, at)
        return match.end() if match else at

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        """The value at ``at`` and where it ends."""
        line, column = self.position(at)
        self.admit(line, column, depth=depth)
        first = self.text[at : at + 1]
        if first == "{":
            return self.mapping(at, Node(Kind.MAPPING, line, column), depth)
        if first == "[":
            return self.sequence(at, Node(Kind.SEQUENCE, line, column), depth)
        if first == '"':
            return self.string(at)
        if (match := _NUMBER.match(self.text, at)) is not None:
            return self.scalar(_number(match[0], whole=not (match[1] or match[2])), line, column, None), match.end()
        word = _WORD.match(self.text, at)
        if word is None or word[0] not in _WORDS:
            raise self.bad("a value is missing" if not first else f"unexpected {first!r}", at)
        return self.scalar(_WORDS[word[0]], line, column, None), word.end()

    def string(self, at: int) -> tuple[Node, int]:
        """The string that starts with the quote at ``at``."""
        try:
            value, end = _JSON.raw_decode(self.text, at)
        except JSONDecodeError as error:
            raise self.bad(error.msg.lower(), error.pos) from None
        line, column = self.position(at)
        return self.scalar(value, line, column, self.text[at:end]), end

    def sequence(self, at: int, node: Node, depth: int) -> tuple[Node, int]:
        """``[…]``"""
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "]":
            return node, at + 1
        while True:
            item, at = self.value(self.skip(at), depth + 1)
            node.append(item)
            at = self.skip(at)
            if self.text[at : at + 1] == "]":
                return node, at + 1
            if self.text[at : at + 1] != ",":
                raise self.bad("expected ',' or ']'", at)
            at += 1

    def mapping(self, at: int, node: Node, depth: int) -> tuple[Node, int]:
        """``{…}``"""
        names: set[str] = set()
        at = self.skip(at + 1)
        if self.text[at : at + 1] == "}":
            return node, at + 1
        while True:
            at = self.skip(at)
            if self.text[at : at + 1] != '"':
                raise self.bad("expected a key in double quotes", at)
            key, at = self.string(at)
            at = self.skip(at)
            if self.text[at : at + 1] != ":":
                raise self.bad("expected ':'", at)
            value, at = self.value(self.skip(at + 1), depth + 1)
            self.insert(node, names, key, value)
            at = self.skip(at)
            if self.text[at : at + 1] == "}":
                return node, at + 1
            if self.text[at : at + 1] != ",":
                raise self.bad("expected ',' or '}'", at)
            at += 1


def _number(text: str, *, whole: bool) -> int | float:
    """Digits → value; an integer of absurd length overflows to infinity, which ``scalar`` reports."""
    return int(text) if whole and len(text) <= 400 else float(text)


_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")
_CORE = "tag:yaml.org,2002:"
_QUOTE_HINT = "an expression that starts with '!' must be put in quotes: YAML reads it as a tag"


def _resolve(text: str) -> Any:
    """A plain scalar's value by the core schema (YAML 1.2.2, 10.3.2)."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return _number(text, whole=True)
    if _RADIX.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return math.inf if _INFINITE.fullmatch(text) else text


class _Scanner(YAML):
    """ruamel.yaml without its search for plug-ins on the disk, which would block an event loop."""

    def official_plug_ins(self) -> list[str]:
        return []


class YamlReader(_Reader):
    """Builds the tree from events, with a stack of its own: block nesting costs no recursion."""

    def __init__(self, text: str, problems: Problems) -> None:
        super().__init__(text, problems)
        self.root: Node | None = None
        #: open containers: the node, its keys so far, and the key that waits for its value
        self.stack: list[tuple[Node, set[str]]] = []
        self.keys: list[Node | None] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.open_anchors: dict[int, tuple[str, int]] = {}
        self.documents = 0

    def read(self) -> Node | None:
        """The root, or None for a stream without content."""
        try:
            for event in _Scanner(typ="safe", pure=True).parse(self.text):
                self.event(event)
        except MarkedYAMLError as error:
            raise self.scanner_error(error) from None
        except YAMLError as error:
            at: int = getattr(error, "position", 0)
            raise Unreadable("not valid YAML: a control character is not allowed", *position(self.text, at)) from None
        except (ValueError, IndexError, AttributeError, AssertionError, KeyError, TypeError) as error:
            # the scanner's own slips on malformed input, found by fuzzing: e.g. int() of a broken escape or version
            raise Unreadable(f"not valid YAML ({type(error).__name__} in the scanner)", 1, 1) from None
        return self.root

    def scanner_error(self, error: MarkedYAMLError) -> Unreadable:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        message = ", ".join(part for part in (error.context, error.problem) if part) or "malformed"
        start = error.context_mark or mark
        if start is not None and ("tag" in message or self.text[start.index : start.index + 1] == "!"):
            message = f"{message}; {_QUOTE_HINT}"
        return Unreadable(f"not valid YAML: {message}", line, column)

    def event(self, event: Any) -> None:
        """One step."""
        if isinstance(event, ScalarEvent):
            self.add(self.scalar_event(event), event)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self.start(event)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            self.end()
        elif isinstance(event, AliasEvent):
            self.alias(event)
        elif isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise Unreadable("more than one document in the source", *_mark(event))

    def scalar_event(self, event: ScalarEvent) -> Node:
        line, column = _mark(event)
        start, end = event.start_mark, event.end_mark
        one_line = start.line == end.line and event.style in (None, "'", '"') and not event.anchor
        raw = self.text[start.index : end.index] if one_line and event.ctag is None else None
        value: Any = event.value
        tag = str(event.ctag) if event.ctag is not None else None
        self.admit(line, column)
        if tag is None or tag == _CORE + "str" or (tag == "!" and event.style is not None):
            value = _resolve(value) if tag is None and event.style is None else value
        elif tag.removeprefix(_CORE) in ("int", "float", "bool", "null") and tag.startswith(_CORE):
            value = _resolve(value)
            if _TAG_KINDS[tag.removeprefix(_CORE)] is not _kind_of(value):
                self.syntax(Node(Kind.STRING, line, column), f"the value does not fit its tag '!!{tag[len(_CORE) :]}'")
        else:
            self.custom_tag(tag, line, column)
        return self.scalar(value, line, column, raw)

    def custom_tag(self, tag: str, line: int, column: int) -> None:
        """Reports a tag outside the core schema; reading goes on."""
        hint = _QUOTE_HINT if not tag.startswith(_CORE) else "policies are plain data"
        shown = tag.replace(_CORE, "!!")
        self.syntax(Node(Kind.STRING, line, column), f"custom tag '{shown[:60]}': {hint}")

    def start(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        line, column = _mark(event)
        self.admit(line, column, depth=len(self.stack))
        is_mapping = isinstance(event, MappingStartEvent)
        tag = str(event.ctag) if event.ctag is not None else None
        if tag not in (None, _CORE + ("map" if is_mapping else "seq")):
            self.custom_tag(str(tag), line, column)
        node = Node(Kind.MAPPING if is_mapping else Kind.SEQUENCE, line, column)
        if event.anchor:
            self.anchors.pop(event.anchor, None)
            self.open_anchors[id(node)] = (event.anchor, self.count)
        self.stack.append((node, set()))
        self.keys.append(None)

    def end(self) -> None:
        node, _ = self.stack.pop()
        self.keys.pop()
        if id(node) in self.open_anchors:
            name, before = self.open_anchors.pop(id(node))
            self.anchors[name] = (node, self.count - before + 1)
        self.place(node)

    def alias(self, event: AliasEvent) -> None:
        line, column = _mark(event)
        if event.anchor not in self.anchors:
            raise Unreadable(f"alias '*{event.anchor}' refers to nothing, or to the value it stands in", line, column)
        node, size = self.anchors[event.anchor]
        self.admit(line, column, depth=len(self.stack) + _height(node), nodes=size)
        self.place(node.copy())

    def add(self, node: Node, event: ScalarEvent) -> None:
        if event.anchor:
            self.anchors[event.anchor] = (node, 1)
        self.place(node)

    def place(self, node: Node) -> None:
        """Puts a finished node into the container that is open."""
        if not self.stack:
            self.root = node
            return
        container, names = self.stack[-1]
        if container.kind is Kind.SEQUENCE:
            container.append(node)
        elif self.keys[-1] is None:
            self.keys[-1] = self.as_key(node)
        else:
            self.insert(container, names, self.keys[-1], node)
            self.keys[-1] = None

    def as_key(self, node: Node) -> Node:
        """A key is a string; a plain scalar such as ``200`` is taken as written."""
        if node.kind in (Kind.MAPPING, Kind.SEQUENCE):
            self.syntax(node, "a key must be a string")
            return Node(Kind.STRING, node.line, node.column, "")
        if node.kind is Kind.STRING:
            return node
        return Node(Kind.STRING, node.line, node.column, node.raw or "", node.raw)


_TAG_KINDS = {"int": Kind.INTEGER, "float": Kind.NUMBER, "bool": Kind.BOOLEAN, "null": Kind.NULL}


def _mark(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _height(node: Node) -> int:
    """Levels of containers below and including a node."""
    if node.kind is Kind.MAPPING:
        return 1 + max((_height(entry.value) for entry in node.entries), default=0)
    if node.kind is Kind.SEQUENCE:
        return 1 + max((_height(item) for item in node.items), default=0)
    return 0
