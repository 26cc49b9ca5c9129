"""``"${…}"`` strings (TP-110 … TP-119), compiled to one function.

    "a"                    → a literal
    "${vars.x}"            → whole: evaluate() keeps the value's type
    "Bearer ${vars.x}"     → embedded: every result becomes text by TP-115
    "$${x} costs $1"       → the literal "${x} costs $1"

Results are never scanned again (TP-116). Positions count in the whole string.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.cel import ast
from gateway.cel.compile import Finding, Part, Program, build, locate
from gateway.cel.conversions import to_string
from gateway.cel.env import Environment
from gateway.cel.errors import CelSyntaxError, EvaluationError
from gateway.cel.generator import Fragment, Generator
from gateway.cel.jsons import encode_json
from gateway.cel.limits import bounded
from gateway.cel.source import Source
from gateway.cel.tolerance import find_end
from gateway.cel.types import STRING, CelType, Kind
from gateway.headers import ValueList


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled string. ``evaluate`` and ``render`` raise anything; see ``locate``."""

    text: str
    #: the value of a whole template, else its text
    evaluate: Callable[[Any], Any]
    #: always text
    render: Callable[[Any], str]
    #: the text, if there is no ``${…}`` in it
    literal: str | None
    #: exactly one ``${…}`` and nothing around it
    whole: bool
    type: CelType
    reads: frozenset[str]
    pure: bool
    warnings: tuple[Finding, ...]
    program: Program | None

    def locate(self, error: BaseException) -> EvaluationError:
        """What happened and where in the string."""
        if self.program is None:
            return EvaluationError(str(error))
        return locate(self.program, error)


def to_text(value: Any) -> str:
    """Any value as text: TP-115."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, ValueList):
        return ", ".join(value)
    if isinstance(value, list | tuple | dict) or hasattr(value.__class__, "__cel__"):
        return encode_json(value)
    return to_string(value)


def compile_template(text: str, environment: Environment) -> Template:
    """Raises CelError for an unterminated or empty ``${}`` and for anything wrong inside (ERR_NGROK_2224)."""
    layout = Source((text,))
    pieces = _split(layout, text)
    parts = [piece for piece in pieces if isinstance(piece, Part)]
    if not parts:
        literal = "".join(piece for piece in pieces if isinstance(piece, str))
        return Template(
            text, lambda scope: literal, lambda scope: literal, literal, False, STRING, frozenset(), True, (), None
        )
    whole = len(pieces) == 1
    program = build(layout, parts, environment, _generate_whole if whole else _embedding(pieces))
    evaluate = program.evaluate

    def render(scope: Any) -> str:
        return to_text(evaluate(scope))

    return Template(
        text, evaluate, render if whole else evaluate, None, whole, program.type, program.reads, program.pure,
        program.warnings, program,
    )  # fmt: skip


def _split(layout: Source, text: str) -> list[str | Part]:
    """Literal pieces and expressions, in order."""
    pieces: list[str | Part] = []
    literal: list[str] = []
    position = 0
    while (dollar := text.find("${", position)) >= 0:
        if dollar > position and text[dollar - 1] == "$":
            literal += [text[position : dollar - 1], "${"]
            position = dollar + 2
            continue
        literal.append(text[position:dollar])
        if any(literal):
            pieces.append("".join(literal))
        literal = []
        end = find_end(text, dollar + 2)
        if end < 0:
            raise layout.error(CelSyntaxError, dollar, "'${' is not closed by '}'")
        if not text[dollar + 2 : end].strip():
            raise layout.error(CelSyntaxError, dollar, "'${}' holds no expression")
        pieces.append(Part(dollar + 2, text[dollar + 2 : end]))
        position = end + 1
    literal.append(text[position:])
    if any(literal):
        pieces.append("".join(literal))
    return pieces


def _generate_whole(generator: Generator, roots: Sequence[ast.Node]) -> Fragment:
    return generator.generate(roots[0])


def _embedding(pieces: Sequence[str | Part]) -> Callable[[Generator, Sequence[ast.Node]], Fragment]:
    """Joins the literal pieces and the texts of the expressions."""

    def generate(generator: Generator, roots: Sequence[ast.Node]) -> Fragment:
        emit = generator.emit
        at = roots[0]
        remaining = iter(roots)
        codes = []
        for piece in pieces:
            if isinstance(piece, str):
                codes.append(emit.constant(at, piece))
                continue
            node = next(remaining)
            fragment = generator.generate(node)
            if fragment.type.is_exactly(Kind.STRING):
                codes.append(fragment.code)
            else:
                codes.append(emit.call(node, to_text, fragment.code))
        text = emit.method(at, emit.constant(at, ""), "join", emit.tuple_of(at, codes))
        return Fragment(emit.call(at, bounded, text), STRING)

    return generate
