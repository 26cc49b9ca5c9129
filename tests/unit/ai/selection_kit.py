"""What the tests of selection share: configured providers, universes, key rings, all real, on a clock that stands."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from gateway.ai.candidates import Limits, Universe
from gateway.ai.catalog import Catalog, load_shipped
from gateway.ai.collections import key_environment, model_environment
from gateway.ai.credentials import ClientCredential, PassthroughRules
from gateway.ai.entities import Candidate, ProviderKey
from gateway.ai.key_metrics import MetricsRegistry
from gateway.ai.key_order import KeyOrder
from gateway.ai.keys import KeyOptions, KeyRequest, Keyring
from gateway.ai.provider_config import ModelConfig, ProviderConfig
from gateway.ai.strategies import KeyStrategies, ModelStrategies
from gateway.ai.universe import ProviderSettings, Sources
from gateway.cel.env import DYN, STRING, Environment, Function, map_of
from gateway.cel.template import compile_template
from gateway.clock import ManualClock
from gateway.exchange import Connection, Exchange
from gateway.headers import HeaderMap
from gateway.policy.variables import Scope
from gateway.secrets.secret import Secret

CATALOG = load_shipped()
#: what a policy's request phase offers, as far as these tests look
ENVIRONMENT = Environment(
    {"vars": map_of(DYN)},
    [
        Function("secrets.get", (STRING, STRING), STRING, Scope.secret, scope=True, pure=False, reads=("secrets",)),
    ],
)


def model(model_id: str, **fields: Any) -> ModelConfig:
    """``providers[].models[]`` with only these fields given."""
    names = ModelConfig.__dataclass_fields__
    return ModelConfig(**{**dict.fromkeys(names), "id": model_id, **fields})


def provider(provider_id: str, *models: str | ModelConfig, keys: Sequence[str] = (), **fields: Any) -> ProviderConfig:
    """``providers[]`` with only these fields given; unknown ids get an address."""
    names = ProviderConfig.__dataclass_fields__
    if CATALOG.provider(provider_id) is None:
        fields.setdefault("base_url", "https://models.example/v1")
    built = tuple(model(each) if isinstance(each, str) else each for each in models)
    given = {"id": provider_id, "models": built, "api_keys": tuple(Secret(key) for key in keys), **fields}
    return ProviderConfig(**{**dict.fromkeys(names), **given})


class World:
    """One action of one snapshot with its metrics."""

    def __init__(
        self,
        *configured: ProviderSettings,
        limits: Limits | None = None,
        model_strategies: Sequence[str] = (),
        key_strategies: Sequence[str] = (),
        catalog: Catalog = CATALOG,
        cooling: bool = True,
        clock: ManualClock | None = None,
        registry: MetricsRegistry | None = None,
        endpoint_id: str = "ep_1",
        stored: Sequence[ProviderSettings] = (),
        seed: int = 1,
    ) -> None:
        self.clock = clock or ManualClock()
        self.registry = registry or MetricsRegistry(self.clock)
        chance = random.Random(seed)
        sources = Sources(catalog, self.registry, configured=configured, stored=stored, endpoint_id=endpoint_id)
        strategies = ModelStrategies.compile(model_strategies, model_environment(ENVIRONMENT, chance), catalog)
        self.universe = Universe(sources, limits or Limits(), strategies)
        self.ring = Keyring(
            self.universe.providers,
            self.registry,
            KeyOptions(b"installation", cooling=cooling),
            compile_text=lambda text: compile_template(text, ENVIRONMENT),
            scope_of=lambda exchange: exchange.scope,
            strategies=KeyStrategies.compile(key_strategies, key_environment(ENVIRONMENT, chance)),
        )

    def order(self, candidate: Candidate, request: KeyRequest | None = None) -> KeyOrder:
        """The keys for a request that brings nothing."""
        return self.ring.order(candidate, request or Asks(exchange()))


@dataclass
class Asks:
    """What a request brings (``keys.KeyRequest``)."""

    exchange: Exchange
    credential: ClientCredential | None = None
    rules: PassthroughRules | None = None
    gateway_key: object | None = None
    values: dict[str, Any] = field(default_factory=dict)


def exchange(secrets: Callable[[str, str], str] | None = None, **variables: Any) -> Exchange:
    """An exchange as far as expressions look at it."""

    def missing(vault: str, name: str) -> str:
        raise LookupError(name)

    made = Exchange(
        request_id="req_1",
        snapshot=SimpleNamespace(secrets=SimpleNamespace(get=secrets or missing)),
        endpoint=None,
        downstream=None,
        conn=Connection("127.0.0.1", 1, "127.0.0.1", 2, 0.0),
        method="POST",
        raw_target="/v1/chat/completions",
        path="/v1/chat/completions",
        query="",
        host="gateway.example",
        scheme="http",
        headers=HeaderMap(),
        started=0.0,
        started_s=0.0,
    )
    made.vars = variables
    made.scope = Scope(made, lambda: 0.0)
    return made


def names(candidates: Sequence[Candidate]) -> list[str]:
    """``provider:name`` of each."""
    return [f"{candidate.provider.id}:{candidate.name}" for candidate in candidates]


def values(keys: Sequence[ProviderKey]) -> list[str]:
    """The plain values."""
    return [key.value.reveal() for key in keys]


def quota_headers(remaining: int | str, limit: int | str = 5_000, reset: str = "1m0s") -> HeaderMap:
    """The ``openai`` family for requests."""
    return HeaderMap.of(
        [
            ("x-ratelimit-limit-requests", str(limit)),
            ("x-ratelimit-remaining-requests", str(remaining)),
            ("x-ratelimit-reset-requests", reset),
        ]
    )
