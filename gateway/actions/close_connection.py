"""``close-connection``: closes the client's connection at once, without an answer (TP-361)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.policy.action import ActionSpec, CloseConnection, CompiledAction, CompileDeps, always
from gateway.policy.model import Phase
from gateway.schema.shapes import record


@dataclass(frozen=True, slots=True)
class Config:
    """There is nothing to configure."""


def compile_close_connection(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-361, TP-362."""
    return CompiledAction("close-connection", lambda exchange: CloseConnection())


SPEC = ActionSpec(
    type="close-connection",
    phases=frozenset((Phase.TCP, Phase.REQUEST)),
    shape=record(Config),
    compile=compile_close_connection,
    terminates=always,
    doc="Closes the client's connection without an HTTP response.",
)
