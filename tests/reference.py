"""The generated parts of README.md: ``python -m tests.reference`` writes them, ``tests/test_docs.py`` fails on drift.

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; everything in it comes from the program itself.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.actions import ACTIONS
from gateway.cli.main import build_parser
from gateway.errors import TABLE
from gateway.policy.model import Phase
from gateway.schema.containers import REQUIRED, Field, ListOf, MapOf, Record, Then
from gateway.schema.scalars import Boolean, Duration, Number, Size, Text, Words, duration_text
from gateway.settings.endpoint import ENDPOINT_FIELDS, PHASES, PolicyShape
from gateway.settings.load import FILE_FIELDS
from gateway.settings.shapes import FILE, HOSTS, LISTEN, NETWORKS, PATH, URL

README = Path(__file__).parents[1] / "README.md"
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_NAMED = (
    (FILE, "file"),
    (PATH, "path"),
    (LISTEN, "address"),
    (URL, "URL"),
    (NETWORKS, "list of networks"),
    (HOSTS, "list of text"),
)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), *([*row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def commands() -> str:
    """Every command with its purpose."""
    return table(
        ("Command", "Does"), ((f"`{name}`", parser.description or "") for name, parser in leaves(build_parser()))
    )


def flags() -> str:
    """Every flag of ``serve``, with the variable that means the same."""
    serve = dict(leaves(build_parser()))["gateway serve"]
    return table(
        ("Flag", "Variable", "Meaning"),
        (
            (f"`{' '.join(filter(None, (action.option_strings[-1], str(action.metavar or ''))))}`",
             f"`GATEWAY_{action.dest.upper()}`", action.help or "")
            for action in serve._actions
            if action.dest != "help"
        ),
    )  # fmt: skip


def leaves(parser: argparse.ArgumentParser, prefix: str = "gateway") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(``gateway policy check``, its parser) of every command that runs something."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help for choice in action._choices_actions}
            for name, child in action.choices.items():
                child.description = child.description or summaries.get(name)
                inner = list(leaves(child, f"{prefix} {name}"))
                yield from inner or [(f"{prefix} {name}", child)]


def settings() -> str:
    """Every setting of the configuration file."""
    return table(("Setting", "Type", "Default", "Meaning"), rows_of("", FILE_FIELDS))


def rows_of(prefix: str, fields: dict[str, Field] | Any) -> Iterator[tuple[str, str, str, str]]:
    """The rows of a record, records inside it opened."""
    for name, field in fields.items():
        path = f"{prefix}{name}"
        inner = opened(field.shape)
        if name in PHASES or field.tolerated:
            continue
        if inner is not None:
            yield from rows_of(f"{path}[]." if inner[1] else f"{path}.", inner[0])
        else:
            yield f"`{path}`", type_words(field.shape), default_words(field), field.doc


def opened(shape: object) -> tuple[Any, bool] | None:
    """The fields of a record, and whether a list of them is wanted; None for a single value."""
    if isinstance(shape, Record):
        return shape.fields, False
    if isinstance(shape, Then) and shape.shape is ENDPOINT_FIELDS:
        return ENDPOINT_FIELDS.fields, False
    if isinstance(shape, ListOf):
        inner = opened(shape.shape)
        return (inner[0], True) if inner is not None else None
    return None


def type_words(shape: object) -> str:
    """The kind of value in a word or two."""
    for known, words in _NAMED:
        if shape is known:
            return words
    kinds: list[tuple[type, Callable[[Any], str]]] = [
        (Words, lambda words: ", ".join(f"`{word}`" for word in words.words)),
        (Number, lambda number: "integer" if number.kind is int else "number"),
        (Boolean, lambda _: "boolean"),
        (Duration, lambda _: "duration"),
        (Size, lambda _: "size"),
        (Text, lambda _: "text"),
        (ListOf, lambda many: f"list of {type_words(many.shape)}"),
        (MapOf, lambda many: f"map to {type_words(many.shape)}"),
        (PolicyShape, lambda _: "policy"),
        (Then, lambda step: type_words(step.shape)),
    ]
    return next((words(shape) for kind, words in kinds if isinstance(shape, kind)), "anything")


def default_words(field: Field) -> str:
    """The default as one would write it in the file."""
    default = field.default
    if default is REQUIRED:
        return "required"
    if default is None or default in ("", Path()):
        return ""
    if isinstance(field.shape, Duration):
        return f"`{duration_text(default)}`"
    if isinstance(field.shape, Size):
        return f"`{default >> 20} MiB`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple | frozenset):
        return "`{}`" if isinstance(field.shape, MapOf) else "`[]`"
    return f"`{default}`"


def errors() -> str:
    """Every error a client can get."""
    return table(
        ("Code", "Status", "Message", "Try again", "Remedy"),
        (
            (f"`{row.code}`", str(row.status), row.message, "yes" if row.retryable else "", row.remedy)
            for row in TABLE.values()
        ),
    )


def actions() -> str:
    """Every action type with the phases it may stand in."""
    return table(
        ("Action", "Phases"),
        (
            (f"`{name}`", ", ".join(f"`{phase}`" for phase in Phase if phase in spec.phases))
            for name, spec in sorted(ACTIONS.items())
        ),
    )


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "flags": flags,
    "settings": settings,
    "actions": actions,
    "errors": errors,
}


def regenerate(text: str) -> str:
    """The README with every generated part made anew."""
    return _PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[3]}", text)


if __name__ == "__main__":
    README.write_text(regenerate(README.read_text()))
