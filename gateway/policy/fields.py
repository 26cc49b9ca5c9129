"""Shapes of action fields that hold expressions (CEL columns *I* and *E* of the specification), and their values.

    interpolated()          I, string     → Interpolated     ``.text(exchange)``
    expression(BOOL)        E             → Expression       ``.value(exchange)``
    structure()             I, any depth  → Structure        ``.value(exchange)``

Everything is compiled and checked while the policy is read; a field without ``${`` is a constant at run time.
A value that fails at run time raises ``GatewayError`` (TP-111), whose cause names the place and never a value (TP-57).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.cel.compile import Program, compile_expression, locate
from gateway.cel.env import CelType, Environment
from gateway.cel.errors import CelError, CelTypeError
from gateway.cel.keyed import KnownTexts
from gateway.cel.template import Template, compile_template
from gateway.document import Kind, Node, Problems
from gateway.errors import EVALUATION_LIMIT, FIELD_FAILED, INTERPOLATION_FAILED, ErrorSpec, GatewayError
from gateway.policy.model import Phase
from gateway.problems import Codes
from gateway.schema.reader import INVALID, Invalid, JsonSchema, Reader, wrong_type
from gateway.schema.scalars import scalar_text

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policy.options import PolicyOptions

EXPRESSION_CODE = "ERR_NGROK_2200"
INTERPOLATION_CODE = "ERR_NGROK_2224"
REGEX_CODE = "ERR_NGROK_2261"
MAX_EXPRESSION = 16_384


class PolicyReader(Reader):
    """Reads one action: what its expressions may mention, and which installation it is for."""

    def __init__(
        self, problems: Problems, *, environment: Environment, phase: Phase, options: PolicyOptions,
        label: str = "", root: str = "", codes: Codes | None = None,
    ) -> None:  # fmt: skip
        super().__init__(problems, label=label, root=root, codes=codes)
        self.environment = environment
        self.phase = phase
        self.options = options

    def resolve(self, node: Node) -> Node | None:
        """A field that is not interpolated must not look as if it were (TP-119)."""
        if node.kind is Kind.STRING and "${" in node.value:
            self.error(node, INTERPOLATION_CODE, "'${…}' is not evaluated in this field")
            return None
        return node

    def place(self, node: Node) -> str:
        """For the log: ``policy.yaml:3:5: on_http_request[0], deny, config.body``."""
        return f"{self.problems.file}:{node.line}:{node.column}: {self.describe(node, '').removesuffix(': ')}"

    def cel_error(self, node: Node, error: CelError, code: str) -> Invalid:
        """Reports an error inside an expression, at its character if the scalar stands on one line (TP-21)."""
        if error.message.startswith("invalid regular expression"):
            code = REGEX_CODE
        self._at_offset(node, error.offset, error.message, code, self.problems.add_error)
        return INVALID

    def cel_warnings(self, node: Node, compiled: Program | Template, *, index: int = 0) -> None:
        """Reports the tolerances that were used (TP-79), unavailable variables and unknown secrets (TP-606).

        ``index``: which expression of a conjunction the node is.
        """
        for warning in compiled.warnings:
            if warning.index == index:
                self._at_offset(node, warning.offset, warning.message, EXPRESSION_CODE, self.problems.add_warning)
        for message in self.options.doubts(compiled.reads, str(node.value)):
            self.warning(node, EXPRESSION_CODE, message)

    def _at_offset(self, node: Node, offset: int, message: str, code: str, add: Callable[..., None]) -> None:
        position = node.locate(offset)
        if position is None:
            position = node.line, node.column
            message = f"{message} (expression offset {offset})"
        add(code, self.describe(node, message), line=position[0], column=position[1], path=node.path)


def policy_reader(reader: Reader) -> PolicyReader:
    """Shapes of this module are only used in policies."""
    if not isinstance(reader, PolicyReader):
        raise TypeError("expressions need a PolicyReader")
    return reader


def evaluation_failure(spec: ErrorSpec, place: str, compiled: Program | Template, error: Exception) -> GatewayError:
    """What the client and the log get when an expression failed (TP-55, TP-57)."""
    if isinstance(error, GatewayError):
        return error
    located = locate(compiled, error) if isinstance(compiled, Program) else compiled.locate(error)
    return GatewayError(EVALUATION_LIMIT if located.limit else spec, cause=f"{place}: {located.message}")


class Interpolated:
    """A string field marked I. ``literal`` is its text when it has no ``${}``."""

    __slots__ = ("_template", "literal", "place")

    def __init__(self, literal: str | None, template: Template | None, place: str) -> None:
        self.literal = literal
        self.place = place
        self._template = template

    @classmethod
    def constant(cls, text: str) -> Interpolated:
        """For defaults."""
        return cls(text, None, "")

    @property
    def reads(self) -> frozenset[str]:
        """Variables it mentions."""
        return self._template.reads if self._template is not None else frozenset()

    @property
    def source(self) -> str:
        """The text in the document."""
        return self._template.text if self._template is not None else self.literal or ""

    def text(self, exchange: Exchange) -> str:
        """The field as a string (TP-115)."""
        template = self._template
        if template is None:
            return self.literal or ""
        render = template.render
        try:
            return render(exchange.scope)
        except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
            raise evaluation_failure(INTERPOLATION_FAILED, self.place, template, error) from None

    def value(self, exchange: Exchange) -> Any:
        """The field with its type, where any type is allowed (TP-113)."""
        if self._template is None:
            return self.literal
        try:
            return self._template.evaluate(exchange.scope)
        except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
            raise evaluation_failure(INTERPOLATION_FAILED, self.place, self._template, error) from None

    def __repr__(self) -> str:
        return f"<Interpolated {self.place or 'constant'}>"


@dataclass(frozen=True, slots=True)
class InterpolatedShape:
    """A string with ``${…}``. Limits of length hold for the text in the document."""

    minimum: int = 0
    maximum: int | None = None
    coerce: bool = False

    def read(self, node: Node, reader: Reader) -> Interpolated | Invalid:
        text = scalar_text(node) if self.coerce else node.value if node.kind is Kind.STRING else None
        if text is None:
            return wrong_type(node, reader, "a string")
        if len(text) < self.minimum:
            return reader.error(node, reader.codes.empty, "must not be empty")
        if self.maximum is not None and len(text) > self.maximum:
            return reader.error(node, reader.codes.too_long, f"must have at most {self.maximum} characters")
        return compile_interpolated(text, node, policy_reader(reader))

    def json_schema(self) -> JsonSchema:
        return {"type": ["string", "number", "boolean"] if self.coerce else "string"}


def compile_interpolated(text: str, node: Node, reader: PolicyReader) -> Interpolated | Invalid:
    """Compiles a text that stands at ``node``."""
    if "${" not in text:
        return Interpolated(text, None, reader.place(node))
    try:
        template = compile_template(text, reader.environment)
    except CelTypeError as error:
        return reader.cel_error(node, error, EXPRESSION_CODE)
    except CelError as error:
        return reader.cel_error(node, error, INTERPOLATION_CODE)
    reader.cel_warnings(node, template)
    if template.literal is not None:
        return Interpolated(template.literal, None, reader.place(node))
    return Interpolated(None, template, reader.place(node))


class Expression:
    """A field marked E."""

    __slots__ = ("place", "program")

    def __init__(self, program: Program, place: str) -> None:
        self.program = program
        self.place = place

    def value(self, exchange: Exchange) -> Any:
        """Its value; raises 2253 when it fails."""
        try:
            return self.program.evaluate(exchange.scope)
        except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
            raise self.failure(error) from None

    def failure(self, error: Exception) -> GatewayError:
        """What ``value`` raises, for whoever calls the program itself."""
        return evaluation_failure(FIELD_FAILED, self.place, self.program, error)

    def __repr__(self) -> str:
        return f"<Expression {self.place}>"


@dataclass(frozen=True, slots=True)
class ExpressionShape:
    """A CEL expression, also as exactly one ``${E}`` (TP-119). ``extend``: names that only this field knows."""

    expect: CelType | None = None
    extend: Mapping[str, CelType] = field(default_factory=dict)

    def read(self, node: Node, reader: Reader) -> Expression | Invalid:
        policy = policy_reader(reader)
        program = compile_field(node, policy, self)
        return INVALID if program is None else Expression(program, policy.place(node))

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "description": "CEL expression"}


def check_expression(node: Node, reader: PolicyReader) -> bool:
    """Kind and length of an expression (TP-25)."""
    if node.kind is not Kind.STRING:
        reader.error(node, EXPRESSION_CODE, f"an expression must be a string, is {node.kind.value}")
        return False
    if len(node.value) > MAX_EXPRESSION:
        reader.error(node, reader.codes.too_long, f"an expression must have at most {MAX_EXPRESSION} characters")
        return False
    return True


def compile_field(node: Node, reader: PolicyReader, shape: ExpressionShape) -> Program | None:
    """The program of an E field; None after reporting."""
    if not check_expression(node, reader):
        return None
    environment = reader.environment.extend(variables=shape.extend) if shape.extend else reader.environment
    try:
        program = compile_expression(node.value, environment, expect=shape.expect)
    except CelError as error:
        reader.cel_error(node, error, EXPRESSION_CODE)
        return None
    reader.cel_warnings(node, program)
    return program


class Structure:
    """A value of any type with interpolated strings at any depth (TP-110). ``constant`` if there are none."""

    __slots__ = ("_build", "constant", "literal", "reads")

    def __init__(self, literal: Any, build: Callable[[Exchange], Any] | None, reads: frozenset[str]) -> None:
        self.literal = literal
        self.constant = build is None
        self.reads = reads
        self._build = build

    def value(self, exchange: Exchange) -> Any:
        """The value. A constant is shared: expressions never change what they get."""
        return self.literal if self._build is None else self._build(exchange)


@dataclass(frozen=True, slots=True)
class StructureShape:
    """Any value; strings in it are interpolated, keys are literal. ``depth_code``: the code for too deep nesting."""

    max_depth: int = 64
    depth_code: str = "ERR_NGROK_2250"

    def read(self, node: Node, reader: Reader) -> Structure | Invalid:
        return self.read_level(node, policy_reader(reader), 1)

    def read_level(self, node: Node, reader: PolicyReader, depth: int) -> Structure | Invalid:
        """A value at a depth, counted from 1."""
        if node.kind is Kind.STRING:
            text = compile_interpolated(node.value, node, reader)
            if isinstance(text, Invalid):
                return INVALID
            return Structure(text.literal, None if text.literal is not None else text.value, text.reads)
        if node.kind not in (Kind.MAPPING, Kind.SEQUENCE):
            return Structure(node.value, None, frozenset())
        if depth > self.max_depth:
            return reader.error(node, self.depth_code, f"must not be nested more than {self.max_depth} deep")
        if node.kind is Kind.SEQUENCE:
            items = [self.read_level(item, reader, depth + 1) for item in node.items]
            parts = [item for item in items if isinstance(item, Structure)]
            return _list_structure(parts) if len(parts) == len(items) else INVALID
        pairs = [(entry.name, self.read_level(entry.value, reader, depth + 1)) for entry in node.entries]
        named = [(name, value) for name, value in pairs if isinstance(value, Structure)]
        return _map_structure(named) if len(named) == len(pairs) else INVALID

    def json_schema(self) -> JsonSchema:
        return {}


def _reads(parts: list[Structure]) -> frozenset[str]:
    return frozenset().union(*(part.reads for part in parts))


def _list_structure(parts: list[Structure]) -> Structure:
    literal = [part.literal for part in parts]
    if all(part.constant for part in parts):
        texts = all(isinstance(item, str) for item in literal)
        return Structure(KnownTexts(literal) if texts else literal, None, frozenset())
    values = tuple(part.value for part in parts)
    return Structure(None, lambda exchange: [value(exchange) for value in values], _reads(parts))


def _map_structure(pairs: list[tuple[str, Structure]]) -> Structure:
    if all(part.constant for _, part in pairs):
        return Structure({name: part.literal for name, part in pairs}, None, frozenset())
    values = tuple((name, part.value) for name, part in pairs)
    reads = _reads([part for _, part in pairs])
    return Structure(None, lambda exchange: {name: value(exchange) for name, value in values}, reads)


def interpolated(*, minimum: int = 0, maximum: int | None = None, coerce: bool = False) -> InterpolatedShape:
    """A string marked I."""
    return InterpolatedShape(minimum, maximum, coerce)


def expression(expect: CelType | None = None, **extend: CelType) -> ExpressionShape:
    """A string marked E; ``extend`` declares names that only this field knows."""
    return ExpressionShape(expect, extend)


def structure(*, max_depth: int = 64) -> StructureShape:
    """A value of any type, interpolated at any depth."""
    return StructureShape(max_depth)
