"""From configuration to an ``AiGateway``: for a policy's ``ai-gateway`` action, and for the built-in handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from gateway.ai.account import NO_ACCOUNT, Account
from gateway.ai.candidates import Limits, Universe
from gateway.ai.collections import key_environment, model_environment
from gateway.ai.estimates import Estimator
from gateway.ai.gateway import AiGateway, AiOptions, refuse_gateway_keys
from gateway.ai.keys import KeyOptions, Keyring, Row
from gateway.ai.strategies import KeyStrategies, ModelStrategies
from gateway.ai.universe import ProviderSettings, Sources
from gateway.cel.template import compile_template
from gateway.secrets.secret import Secret
from gateway.upstream.relay import RelayLimits

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.ai.catalog import Catalog
    from gateway.ai.key_metrics import MetricsRegistry
    from gateway.cel.env import Environment
    from gateway.clock import Clock
    from gateway.exchange import Exchange
    from gateway.secrets.stored_keys import StoredKey
    from gateway.settings.model import AiSettings
    from gateway.upstream.transport import Transport


#: how strategies name estimates: ``m.metrics.account.token.estimated_input``
_ESTIMATE = "estimated_"


class Interpolated(Protocol):
    """A string field with ``${…}`` (``policy.fields.Interpolated``)."""

    def text(self, exchange: Exchange) -> str: ...


class Structured(Protocol):
    """A value with ``${…}`` at any depth (``policy.fields.Structure``)."""

    def value(self, exchange: Exchange) -> Any: ...


class ActionSettings(Protocol):
    """The validated configuration of the ``ai-gateway`` action (AG 1.1)."""

    @property
    def max_input_tokens(self) -> int | None: ...
    @property
    def max_output_tokens(self) -> int | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, Interpolated]]: ...
    @property
    def query_params(self) -> Sequence[tuple[str, Interpolated]]: ...
    @property
    def body(self) -> Sequence[tuple[str, Structured]]: ...
    @property
    def on_error(self) -> str: ...
    @property
    def total_timeout(self) -> float: ...
    @property
    def per_request_timeout(self) -> float: ...
    @property
    def first_token_timeout(self) -> float: ...
    @property
    def providers(self) -> Sequence[ProviderSettings]: ...
    @property
    def only_allow_configured_providers(self) -> bool: ...
    @property
    def only_allow_configured_models(self) -> bool: ...
    @property
    def model_strategies(self) -> Sequence[str]: ...
    @property
    def key_strategies(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AiParts:
    """What outlives a snapshot and gateways are built on."""

    catalog: Catalog
    metrics: MetricsRegistry
    transport: Transport
    clock: Clock
    #: names this process in ``x-ai-gateway-hop`` (AG-56)
    instance_id: str
    #: makes key ids that mean nothing elsewhere (AG-120)
    installation_key: bytes
    scope_of: Callable[[Exchange], Any]
    #: what key templates and strategies may name besides ``ai`` (AG-9)
    environment: Environment
    #: checks gateway keys (AG-185 to AG-188)
    authenticate: Callable[[AiCall], None] = refuse_gateway_keys
    #: budgets and usage (``accounting.Accounting.open``)
    charge: Callable[[AiCall], Awaitable[None] | None] | None = None
    #: an attempt with a stored provider key begins (CP-67)
    touch: Callable[[str], None] | None = None
    estimator: Estimator = field(default_factory=Estimator)
    #: rows of AG-190 that come from the store, before and after the action's own keys
    rows_before: Sequence[Row] = ()
    rows_after: Sequence[Row] = ()
    #: a stored provider key as it is now
    look_up: Callable[[str], StoredKey | None] | None = None


class Engine(NamedTuple):
    """What of a gateway depends on the account."""

    options: AiOptions
    universe: Universe
    keyring: Keyring


class GatewayBuilder:
    """Builds the gateways of one snapshot, and renews them when the account changes."""

    def __init__(self, parts: AiParts, settings: AiSettings, account: Account = NO_ACCOUNT) -> None:
        self._parts = parts
        self._settings = settings
        self._account = account
        self._managed = {name.lower(): tuple(map(Secret, texts)) for name, texts in settings.managed_keys}
        #: the policy that is being compiled may show estimates: inputs are counted before they are sent
        self.shows_estimates = False
        #: what was built, and how to build it for another version of the account
        self._made: list[tuple[AiGateway, Callable[[Account], Engine]]] = []
        self._random = Random(settings.random_seed)  # noqa: S311 - spreads load, guards nothing
        self._limits = RelayLimits(
            idle_s=settings.stream_idle_timeout_s,
            progress_s=settings.stream_progress_timeout_s,
            client_write_s=settings.client_write_timeout_s,
            keepalive_s=settings.stream_keepalive_s,
        )

    def shared(self, endpoint_id: str) -> AiGateway:
        """The built-in handler of an endpoint whose policy does not answer (TP-50 (2), AG-6)."""

        def engine(account: Account) -> Engine:
            options = self._options(
                account.per_request_timeout_s,
                account.total_timeout_s,
                max_input_tokens=account.max_input_tokens,
                max_output_tokens=account.max_output_tokens,
                shared=True,
            )
            universe = Universe(self._sources((), endpoint_id, account))
            return Engine(options, universe, self._keyring(universe, None))

        return self._assemble(endpoint_id, engine)

    def action(self, config: ActionSettings, endpoint_id: str) -> AiGateway:
        """The gateway of an ``ai-gateway`` action."""
        options = self._options(
            config.per_request_timeout,
            config.total_timeout,
            on_error_continue=config.on_error == "continue",
            max_input_tokens=config.max_input_tokens,
            max_output_tokens=config.max_output_tokens,
            first_token_timeout_s=config.first_token_timeout,
        )
        limits = Limits(config.only_allow_configured_providers, config.only_allow_configured_models)
        if any(_ESTIMATE in source for source in (*config.model_strategies, *config.key_strategies)):
            self._parts.estimator.always = True
        environment = model_environment(self._parts.environment, self._random)
        strategies = ModelStrategies.compile(config.model_strategies, environment, self._parts.catalog)
        key_strategies = KeyStrategies.compile(
            config.key_strategies, key_environment(self._parts.environment, self._random)
        )

        def engine(account: Account) -> Engine:
            universe = Universe(self._sources(config.providers, endpoint_id, account), limits, strategies)
            return Engine(options, universe, self._keyring(universe, key_strategies))

        gateway = self._assemble(endpoint_id, engine)
        gateway.headers = {name: value.text for name, value in config.headers}
        gateway.query = {name: value.text for name, value in config.query_params}
        gateway.body = {name: value.value for name, value in config.body}
        return gateway

    def provider_names(self) -> set[str]:
        """Ids and aliases that any gateway built so far knows, in lower case."""
        return {name for gateway, _ in self._made for provider in gateway.universe.providers for name in provider.names}

    def renew(self, account: Account) -> Callable[[], None]:
        """Builds everything anew for another version of the account, and gives what puts it into the gateways.

        Building takes some milliseconds per gateway and may run in a thread; putting in belongs to the event loop.
        Requests under way go on with the candidates they have.
        """
        self._account = account
        engines = [(gateway, engine(account)) for gateway, engine in self._made]

        def install() -> None:
            for gateway, engine in engines:
                gateway.options, gateway.universe, gateway.keyring = engine

        return install

    def _options(self, per_request_s: float, total_s: float, **changes: Any) -> AiOptions:
        settings = self._settings
        return AiOptions(
            per_request_timeout_s=per_request_s,
            total_timeout_s=total_s,
            max_attempts=settings.max_attempts,
            max_body_bytes=settings.max_body_bytes,
            uniform_upstream_status=settings.uniform_upstream_status,
            passthrough=settings.passthrough == "allow",
            response_headers=settings.response_headers,
            inject_stream_usage=settings.inject_stream_usage,
            counts_input=self.shows_estimates or changes.get("max_input_tokens") is not None,
            **changes,
        )

    def _sources(self, configured: Sequence[ProviderSettings], endpoint_id: str, account: Account) -> Sources:
        return Sources(
            catalog=self._parts.catalog,
            registry=self._parts.metrics,
            configured=configured,
            stored=account.providers,
            managed=self._managed,
            endpoint_id=endpoint_id,
        )

    def _keyring(self, universe: Universe, strategies: KeyStrategies | None) -> Keyring:
        parts = self._parts
        environment = parts.environment
        return Keyring(
            universe.providers,
            parts.metrics,
            KeyOptions(
                parts.installation_key,
                cooling=self._settings.key_cooldown,
                rows_before=parts.rows_before,
                rows_after=parts.rows_after,
                look_up=parts.look_up,
            ),
            compile_text=lambda text: compile_template(text, environment),
            scope_of=parts.scope_of,
            strategies=strategies,
        )

    def _assemble(self, endpoint_id: str, engine: Callable[[Account], Engine]) -> AiGateway:
        parts = self._parts
        options, universe, keyring = engine(self._account)
        gateway = AiGateway(
            options=options,
            limits=self._limits,
            universe=universe,
            keyring=keyring,
            transport=parts.transport,
            metrics=parts.metrics,
            clock=parts.clock,
            instance_id=parts.instance_id,
            endpoint_id=endpoint_id,
            scope_of=parts.scope_of,
            authenticate=parts.authenticate,
            charge=parts.charge,
            touch=parts.touch,
            estimator=parts.estimator,
        )
        self._made.append((gateway, engine))
        return gateway
