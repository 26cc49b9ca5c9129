"""``ai-gateway``: serves the request from model providers (TP 8.7; ai-gateway.md).

Configuration and shape are ``gateway.ai.action_config``'s, what the action does ``gateway.ai.failover``'s; here they
become an action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.ai import failover
from gateway.ai.action_config import AI_CODES, AI_GATEWAY, AiGatewayConfig
from gateway.ai.build import GatewayBuilder
from gateway.ai.result import AiGatewayResult
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.model import Phase, Terminates

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.exchange import Exchange
    from gateway.policy.action import Outcome


def compile_ai_gateway(config: AiGatewayConfig, deps: CompileDeps) -> CompiledAction:
    """AG-1: the gateway is built once per snapshot; a run is one client call."""
    gateway = deps.service(GatewayBuilder).action(config, deps.endpoint)

    def run(exchange: Exchange) -> Awaitable[Outcome]:
        return failover.run(gateway, exchange)

    halts = config.on_error == "halt"
    return CompiledAction("ai-gateway", run, is_async=True, is_eager=True, is_final=halts)


def _terminates(config: AiGatewayConfig) -> Terminates:
    return Terminates.ALWAYS if config.on_error == "halt" else Terminates.MAYBE


SPEC = ActionSpec(
    type="ai-gateway",
    phases=frozenset((Phase.REQUEST,)),
    shape=AI_GATEWAY,
    compile=compile_ai_gateway,
    terminates=_terminates,
    result=AiGatewayResult,
    codes=AI_CODES,
    handles=True,
    single_code="ERR_NGROK_2266",
    doc="Chooses provider, model and key, forwards, fails over, and streams the answer back.",
)
