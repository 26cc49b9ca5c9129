"""``log``: appends metadata to the record of the request (TP 8.12)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.cel.env import DYN, CelType, map_of
from gateway.document import Kind, Node
from gateway.errors import EVALUATION_LIMIT, GatewayError
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.fields import Structure, structure
from gateway.policy.model import Phase
from gateway.policy.plain import json_value, masked
from gateway.schema.shapes import Invalid, Reader, field, record, then, wrong_type

if TYPE_CHECKING:
    from gateway.exchange import Exchange

MAX_METADATA_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Config:
    metadata: Structure


class Result:
    """``actions.ngrok.log``."""

    __slots__ = ("metadata",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"metadata": map_of(DYN)}

    def __init__(self, metadata: Any) -> None:
        self.metadata = metadata


def _checked(metadata: Structure, node: Node, reader: Reader) -> Structure | Invalid:
    if node.kind is not Kind.MAPPING:
        return wrong_type(node, reader, "a mapping")
    if not node.entries:
        return reader.error(node, reader.codes.empty, "must not be empty")
    if len(json.dumps(node.plain(), ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        return reader.error(node, reader.codes.too_long, f"must have at most {MAX_METADATA_BYTES} bytes as JSON")
    return metadata


def compile_log(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-425 to TP-427: types are kept, secrets become ``***``."""
    build = config.metadata.value
    constant = config.metadata.constant

    def run(exchange: Exchange) -> None:
        metadata = build(exchange)
        recorded = metadata if constant else masked(json_value(metadata), exchange.secrets_seen)
        if not constant and len(json.dumps(recorded, ensure_ascii=False)) > MAX_METADATA_BYTES:
            raise GatewayError(EVALUATION_LIMIT, cause="log metadata is larger than 64 KiB")
        exchange.log_metadata.append({"metadata": recorded})
        exchange.results["log"] = Result(metadata)

    return CompiledAction("log", run)


SPEC = ActionSpec(
    type="log",
    phases=frozenset(Phase),
    shape=record(Config, metadata=field(then(structure(), _checked), doc="any values; at most 64 KiB as JSON")),
    compile=compile_log,
    result=Result,
    doc="Adds metadata to the record of the request.",
)
