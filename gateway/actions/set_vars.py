"""``set-vars``: sets ``vars.*`` for the rest of the phase (TP 8.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.document import Kind, Node
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.fields import Structure, StructureShape
from gateway.policy.model import Phase
from gateway.schema.shapes import INVALID, Invalid, JsonSchema, Reader, field, record, wrong_type

if TYPE_CHECKING:
    from gateway.exchange import Exchange

MAX_VARIABLES = 100
MAX_NESTING = 16
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_FORM = "ERR_NGROK_2252"


@dataclass(frozen=True, slots=True)
class Config:
    """Variables in the order in which they are set."""

    vars: tuple[tuple[str, Structure], ...]


@dataclass(frozen=True, slots=True)
class _Variables:
    """A list of one-entry maps, or one map (TP-240, TP-241)."""

    def read(self, node: Node, reader: Reader) -> tuple[tuple[str, Structure], ...] | Invalid:
        if node.kind is Kind.MAPPING:
            reader.warning(node, _FORM, "a list of one-entry mappings is expected; read in document order")
            found = [self.variable(entry.key, entry.value, reader) for entry in node.entries]
        elif node.kind is Kind.SEQUENCE:
            found = [self.item(item, reader) for item in node.items]
        else:
            return wrong_type(node, reader, "a list of one-entry mappings")
        if not found:
            return reader.error(node, reader.codes.empty, "must not be empty")
        if len(found) > MAX_VARIABLES:
            return reader.error(node, reader.codes.too_many, f"must have at most {MAX_VARIABLES} entries")
        sound = [variable for variable in found if not isinstance(variable, Invalid)]
        return tuple(sound) if len(sound) == len(found) else INVALID

    def item(self, node: Node, reader: Reader) -> tuple[str, Structure] | Invalid:
        """``{name: value}``"""
        if node.kind is not Kind.MAPPING or len(node.entries) != 1:
            return reader.error(node, _FORM, "each entry must be a mapping with exactly one key, the variable's name")
        return self.variable(node.entries[0].key, node.entries[0].value, reader)

    def variable(self, key: Node, value: Node, reader: Reader) -> tuple[str, Structure] | Invalid:
        """A name and its value."""
        if not _NAME.fullmatch(str(key.value)):
            return reader.error(key, _FORM, "a variable's name must match [A-Za-z_][A-Za-z0-9_]*")
        structure = StructureShape(MAX_NESTING).read(value, reader)
        return INVALID if isinstance(structure, Invalid) else (str(key.value), structure)

    def json_schema(self) -> JsonSchema:
        single = {"type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": {"pattern": _NAME.pattern}}
        return {"type": "array", "minItems": 1, "maxItems": MAX_VARIABLES, "items": single}


def compile_set_vars(config: Config, deps: CompileDeps) -> CompiledAction:
    """Literal values are computed here; otherwise all or none are set (TP-243, TP-245)."""
    if all(value.constant for _, value in config.vars):
        return _constant({name: value.literal for name, value in config.vars})
    steps = tuple((name, value.value) for name, value in config.vars)

    def run(exchange: Exchange) -> None:
        scope = exchange.scope
        before = scope.vars
        scope.vars = variables = dict(before)  # later entries may use earlier ones (TP-243)
        try:
            for name, value in steps:
                variables[name] = value(exchange)
        except BaseException:
            scope.vars = before
            raise
        exchange.vars = variables

    return CompiledAction("set-vars", run)


def _constant(variables: Mapping[str, object]) -> CompiledAction:
    def run(exchange: Exchange) -> None:
        exchange.vars.update(variables)

    return CompiledAction("set-vars", run)


SPEC = ActionSpec(
    type="set-vars",
    phases=frozenset(Phase),
    shape=record(Config, vars=field(_Variables(), doc="one-entry mappings, set in order")),
    compile=compile_set_vars,
    doc="Sets variables for the rest of the phase.",
)
