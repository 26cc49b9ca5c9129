"""The configuration of the ``ai-gateway`` action: its shape and the frozen values it becomes (AG 1.1, AG-1 to AG-20).

Everything is checked when the policy loads, strategies and key templates included; what is kept of those is their
text, which the gateway of the action compiles with the collections of its own candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from gateway.ai.collections import key_environment, model_environment
from gateway.ai.entities import Model, ProviderKey
from gateway.ai.provider_config import PROVIDER, ProviderConfig
from gateway.ai.strategies import compile_strategy
from gateway.cel.env import Environment
from gateway.cel.errors import CelError
from gateway.document import Node
from gateway.policy.fields import (
    EXPRESSION_CODE,
    Interpolated,
    Structure,
    check_expression,
    interpolated,
    policy_reader,
    structure,
)
from gateway.policy.header_fields import HeaderFields, header_map
from gateway.problems import Codes
from gateway.schema.shapes import (
    INVALID,
    Field,
    Invalid,
    JsonSchema,
    Reader,
    Record,
    also,
    boolean,
    duration,
    enum,
    field,
    integer,
    list_of,
    map_of,
    record,
    then,
)

MAX_TOKENS: Final = 500_000
DAY_S: Final = 86_400.0
#: AG-3
AI_CODES: Final = Codes(
    too_long="ERR_NGROK_2221",
    duration_too_long="ERR_NGROK_2215",
    duration_too_short="ERR_NGROK_2215",
    unparsable="ERR_NGROK_2204",
)
#: AG-214
NOT_SETTABLE: Final = frozenset(
    (
        "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive", "te",
        "trailer", "transfer-encoding", "upgrade", "x-ai-gateway-hop",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AiGatewayConfig:
    """Timeouts in seconds. ``headers``, ``query_params`` and ``body`` are evaluated once per request (AG-10)."""

    max_input_tokens: int | None
    max_output_tokens: int | None
    headers: HeaderFields
    query_params: tuple[tuple[str, Interpolated], ...]
    body: tuple[tuple[str, Structure], ...]
    on_error: str
    total_timeout: float
    per_request_timeout: float
    first_token_timeout: float
    providers: tuple[ProviderConfig, ...]
    only_allow_configured_providers: bool
    only_allow_configured_models: bool
    model_selection: tuple[str, ...]
    api_key_selection: tuple[str, ...]

    @property
    def model_strategies(self) -> tuple[str, ...]:
        return self.model_selection

    @property
    def key_strategies(self) -> tuple[str, ...]:
        return self.api_key_selection

    @property
    def has_keys(self) -> bool:
        """Some provider has keys of the operator (CL-1)."""
        return any(provider.key_texts for provider in self.providers)


@dataclass(frozen=True, slots=True)
class _Strategy:
    """One entry of a ``strategy`` list: compiled to be checked, kept as text (AG-9)."""

    element: type[Model] | type[ProviderKey]
    environment_of: Callable[[Environment, Random], Environment]

    def read(self, node: Node, reader: Reader) -> str | Invalid:
        policy = policy_reader(reader)
        if not check_expression(node, policy):
            return INVALID
        try:
            environment = self.environment_of(policy.environment, Random(0))  # noqa: S311 - nothing is drawn from it
            strategy = compile_strategy(node.value, environment, self.element)
        except CelError as error:
            return policy.cel_error(node, error, EXPRESSION_CODE)
        policy.cel_warnings(node, strategy.program)
        return str(node.value)

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "description": "CEL expression"}


def _strategies(strategy: _Strategy) -> Record[tuple[str, ...]]:
    return record(lambda strategy: strategy, strategy=field(list_of(strategy), ()))


def _settable(node: Node, reader: Reader) -> bool:
    """AG-211: ``model`` and ``models`` belong to the gateway."""
    reserved = [entry for entry in node.entries if entry.name in ("model", "models")]
    for entry in reserved:
        reader.error(entry.key, "ERR_NGROK_2219", f"'{entry.name}' cannot be set")
    return not reserved


def _unique_providers(node: Node, reader: Reader) -> bool:
    seen: set[str] = set()
    sound = True
    for item in node.items:
        place = item.get("id")
        name = str(place.value).lower() if place is not None else ""
        if place is not None and name in seen:
            sound = False
            reader.error(place, reader.codes.duplicate, "this provider is listed twice")
        seen.add(name)
    return sound


def _whole(config: AiGatewayConfig, node: Node, reader: Reader) -> AiGatewayConfig:
    """Warnings about fields that do not go together (AG-7, AG-93)."""
    if config.per_request_timeout > config.total_timeout:
        place = node.key("per_request_timeout") or node.key("total_timeout") or node
        words = "'per_request_timeout' is larger than 'total_timeout'; the smaller remaining time rules"
        reader.warning(place, reader.codes.out_of_range, words)
    if config.only_allow_configured_providers and config.only_allow_configured_models and not config.providers:
        place = node.key("only_allow_configured_providers") or node
        reader.warning(place, reader.codes.bad_value, "no provider is configured, so nothing is allowed")
    return config


def _flag(doc: str) -> Field:
    return field(boolean(), False, doc=doc)


AI_GATEWAY: Final = then(
    record(
        AiGatewayConfig,
        max_input_tokens=field(integer(1, MAX_TOKENS), None, doc="refuses longer prompts"),
        max_output_tokens=field(integer(1, MAX_TOKENS), None, doc="caps the answer"),
        headers=field(
            header_map(maximum=64, refused=NOT_SETTABLE, refused_prefixes=("proxy-",)), (),
            doc="set on every upstream request",
        ),
        query_params=field(map_of(interpolated(coerce=True), maximum=64), (), doc="set on the upstream URL"),
        body=field(also(map_of(structure()), _settable), (), doc="merged into the JSON body"),
        on_error=field(enum("halt", "continue"), "halt", doc="what a failure does to the rest of the policy"),
        total_timeout=field(duration(above_s=0.0, maximum_s=DAY_S), 360.0, doc="all attempts together; 6m"),
        per_request_timeout=field(duration(above_s=0.0, maximum_s=DAY_S), 180.0, doc="one attempt; 3m"),
        first_token_timeout=field(
            duration(maximum_s=DAY_S), 0.0, doc="a model's time to the first event of a stream; 0s: no such limit"
        ),
        providers=field(also(list_of(PROVIDER, maximum=200), _unique_providers), ()),
        only_allow_configured_providers=_flag("only providers listed here"),
        only_allow_configured_models=_flag("only models listed here"),
        model_selection=field(
            _strategies(_Strategy(Model, model_environment)), (), doc="expressions that narrow and order models"
        ),
        api_key_selection=field(
            _strategies(_Strategy(ProviderKey, key_environment)), (), doc="expressions that narrow and order keys"
        ),
    ),
    _whole,
)  # fmt: skip
