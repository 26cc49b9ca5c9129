"""Settings → Snapshot: every policy loaded, every action compiled, every problem reported; nothing is swapped here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.actions import ACTIONS
from gateway.ai.build import AiParts, GatewayBuilder
from gateway.app.catalogs import load_catalog
from gateway.app.exposure import warn_exposed
from gateway.app.managed import check_managed_keys, check_managed_providers
from gateway.app.masking import inline_secrets, managed_secrets
from gateway.policy.action import CompileDeps
from gateway.policy.atlas import NO_ATLAS, Atlas, open_atlas
from gateway.policy.compile import CompiledPolicy, compile_policy, empty_phase
from gateway.policy.internal import is_internal
from gateway.policy.load import PolicyContext, load_policy, load_policy_node, policy_context
from gateway.policy.model import Phase, Policy
from gateway.policy.options import PolicyOptions
from gateway.policy.variables import scope_of
from gateway.problems import Problems
from gateway.proxy.forward import Forwarder, ForwardParts
from gateway.snapshot import Endpoint, Snapshot
from gateway.upstream.relay import RelayLimits

if TYPE_CHECKING:
    from gateway.ai.account import Account
    from gateway.ai.catalog import Catalog
    from gateway.app.parts import Parts
    from gateway.settings import Settings
    from gateway.settings.address import Listen
    from gateway.settings.model import EndpointSettings, PolicySource

#: ``actions.ngrok.ai_gateway``; the action's type has a hyphen
_RESULT = "ai_gateway"


@dataclass(slots=True)
class Draft:
    """A snapshot in the making. ``claims``: keys of the runtime state it uses."""

    catalog: Catalog
    problems: list[Problems] = field(default_factory=list)
    atlas: Atlas = NO_ATLAS
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    routes: dict[str, dict[str, Endpoint]] = field(default_factory=dict)
    claims: set[tuple[Any, ...]] = field(default_factory=set)
    inline_secrets: set[str] = field(default_factory=set, repr=False)

    @property
    def failed(self) -> bool:
        return any(problems.failed for problems in self.problems)


class SnapshotBuilder:
    """Builds snapshots from settings; the parts it hands out survive from one to the next."""

    def __init__(self, parts: Parts, services: Mapping[type, Any]) -> None:
        self._parts = parts
        self._services = services
        self._generation = 0
        #: keys of the runtime state that the snapshot built last uses
        self.claims: set[tuple[Any, ...]] = set()
        #: secrets that it holds as plain text, for the log filter
        self.inline_secrets: set[str] = set()
        #: models and prices of the snapshot built last; None before the first one
        self.catalog: Catalog | None = None
        self._forwarding: ForwardParts | None = None
        self._gateways: GatewayBuilder | None = None

    def build(self, settings: Settings, addresses: Mapping[str, Listen]) -> tuple[Snapshot | None, list[Problems]]:
        """The snapshot, or None, and what there is to say. Reads files and compiles: runs in a thread.

        ``addresses``: listener as configured → real address.
        """
        catalog, problems = load_catalog(settings.ai, self._parts.clock)
        if catalog is None:
            return None, problems
        managed = check_managed_keys(settings.ai, policy_context(ACTIONS).environment(Phase.REQUEST))
        if managed.failed:
            return None, [*problems, managed]
        atlas, unusable = open_atlas(settings.geoip, settings.ip_categories)
        draft = Draft(catalog, [*problems, unusable], atlas)
        self._forwarding = forward_parts(self._parts, settings)
        gateways = GatewayBuilder(self._gateway_parts(catalog), settings.ai, self._parts.account)
        for entry in settings.endpoints:
            self._endpoint(entry, settings, gateways, draft, addresses)
        draft.problems.append(_unreachable_phases(draft))
        draft.problems.append(check_managed_providers(settings.ai, gateways.provider_names()))
        if draft.failed:
            return None, draft.problems
        self.catalog = catalog
        self._gateways = gateways
        self.claims = draft.claims
        self.inline_secrets = draft.inline_secrets | managed_secrets(settings)
        self._generation += 1
        warnings = tuple(str(problem) for problems in draft.problems for problem in problems)
        snapshot = Snapshot(
            generation=self._generation,
            settings=settings,
            secrets=self._parts.secrets,
            endpoints=draft.endpoints,
            routes=draft.routes,
            warnings=warnings,
            atlas=atlas,
        )
        return snapshot, draft.problems

    def renew(self, account: Account) -> Callable[[], None]:
        """The snapshot built last for another version of the account; see ``GatewayBuilder.renew``."""
        return self._gateways.renew(account) if self._gateways is not None else lambda: None

    def _gateway_parts(self, catalog: Catalog) -> AiParts:
        parts = self._parts
        return AiParts(
            catalog=catalog,
            metrics=parts.metrics,
            transport=parts.transport,
            clock=parts.clock,
            instance_id=parts.instance_id,
            installation_key=parts.installation_key,
            scope_of=lambda exchange: scope_of(exchange, parts.clock.now),
            environment=policy_context(ACTIONS).environment(Phase.REQUEST),
            authenticate=parts.keys.authenticate,
            charge=parts.accounting.open if parts.accounting.connected else None,
            touch=parts.keys.touch,
            estimator=parts.estimator,
            rows_before=(parts.keys.routed, parts.keys.attached),
            rows_after=(parts.keys.account,),
            look_up=parts.keys.provider_key,
        )

    def _endpoint(
        self, entry: EndpointSettings, settings: Settings, gateways: GatewayBuilder, draft: Draft,
        addresses: Mapping[str, Listen],
    ) -> None:  # fmt: skip
        context = policy_context(ACTIONS, self._options(entry, settings, draft))
        policy, problems = _load(entry, context)
        warn_exposed(entry, settings, problems)
        draft.problems.append(problems)
        if problems.failed:
            return
        deps = CompileDeps(
            endpoint=entry.id,
            clock=self._parts.clock,
            runtime=self._parts.runtime,
            services={**self._services, GatewayBuilder: gateways},
        )
        gateways.shows_estimates = _shows_estimates(entry.policy)
        compiled = compile_policy(policy, ACTIONS, deps) if policy is not None else None
        if compiled is not None:
            draft.claims |= compiled.claims
        if policy is not None:
            draft.inline_secrets |= inline_secrets(policy)
        endpoint = self._built(entry, compiled, deps, gateways, addresses)
        draft.endpoints[endpoint.id] = endpoint
        if entry.listen is not None:
            draft.routes.setdefault(entry.listener, {})[entry.url.host if entry.has_url else "*"] = endpoint

    def _built(
        self, entry: EndpointSettings, compiled: CompiledPolicy | None, deps: CompileDeps, gateways: GatewayBuilder,
        addresses: Mapping[str, Listen],
    ) -> Endpoint:  # fmt: skip
        phases = compiled.phases if compiled is not None else {}
        builtin = entry.ai_gateway and not (compiled is not None and compiled.has_ai_gateway)
        scheme = "https" if entry.tls is not None else entry.url.scheme
        real = addresses.get(entry.listener) if entry.listen is not None else None
        url, host, port = str(entry.url), entry.url.host, entry.url.port
        if not entry.has_url and real is not None:
            url, host, port = real.url(scheme), real.host, real.port
        return Endpoint(
            id=entry.id,
            name=entry.name,
            url=url,
            scheme=scheme,
            host=host,
            port=port,
            request_phase=phases.get(Phase.REQUEST) or empty_phase(Phase.REQUEST, deps),
            response_phase=phases.get(Phase.RESPONSE),
            stream_phase=phases.get(Phase.STREAM),
            connect_phase=phases.get(Phase.TCP),
            upstream=self._upstream(entry),
            gateway=gateways.shared(entry.id) if builtin else None,
            gateway_keys=entry.gateway_keys,
            metadata={"metadata": entry.metadata, "description": entry.description},
            tally=self._parts.tallies.of(entry.id),
        )

    def _upstream(self, entry: EndpointSettings) -> Forwarder | None:
        """TP-50 (1)."""
        if entry.upstream_url is None or self._forwarding is None:
            return None
        return Forwarder(entry.upstream_url, self._forwarding)

    def _options(self, entry: EndpointSettings, settings: Settings, draft: Draft) -> PolicyOptions:
        policy = settings.policy
        secrets = self._parts.secrets

        def secret_exists(vault: str | None, name: str) -> bool:
            return secrets.has(vault, name) if vault is not None else secrets.has_single(name)

        return PolicyOptions(
            require_termination=policy.require_termination,
            unavailable_absent=policy.unavailable_variables == "absent",
            available=draft.atlas.available | (frozenset(("tls",)) if entry.tls is not None else frozenset()),
            has_upstream=entry.upstream_url is not None,
            has_builtin_gateway=entry.ai_gateway,
            authenticated=entry.gateway_keys == "required",
            secret_exists=secret_exists,
            ip_policies=frozenset(policy.id for policy in settings.ip_policies),
            rate_limit_min_window_s=policy.rate_limit_min_window_s,
            jwt_require_exp=policy.jwt_require_exp,
            max_buffered_body_bytes=policy.max_buffered_body_bytes,
            max_sse_message_bytes=policy.max_sse_message_bytes,
            http_request_allow_external=policy.http_request_allow_external,
            catalog_providers=frozenset(draft.catalog.providers_by_name),
            allow_http_hosts=settings.ai.allow_http_hosts,
            admin_listeners=((settings.admin.listen.host, settings.admin.listen.port),),
        )


def forward_parts(parts: Parts, settings: Settings) -> ForwardParts:
    """How requests go on to endpoints' own upstreams: with the limits of AG appendix A, as far as they apply."""
    limits = RelayLimits(
        idle_s=settings.ai.stream_idle_timeout_s,
        progress_s=0.0,
        client_write_s=settings.ai.client_write_timeout_s,
        keepalive_s=0.0,
    )
    return ForwardParts(
        transport=parts.plain_transport,
        head_transport=parts.head_transport,
        clock=parts.clock,
        limits=limits,
        timeout_s=settings.ai.stream_idle_timeout_s,
        max_body_bytes=settings.policy.max_buffered_body_bytes,
    )


def _unreachable_phases(draft: Draft) -> Problems:
    """``on_tcp_connect`` runs before a client names a host: on a shared listener only that of ``*`` ever would."""
    problems = Problems("<endpoints>")
    for listener, table in draft.routes.items():
        for host, endpoint in table.items():
            if len(table) > 1 and host != "*" and endpoint.connect_phase is not None:
                words = f"endpoint '{endpoint.name}' shares {listener}: {Phase.TCP} needs a listener of its own"
                problems.add_error("ERR_NGROK_2230", words, line=1, column=1)
    for endpoint in draft.endpoints.values():
        if is_internal(endpoint.host) and endpoint.connect_phase is not None:
            words = (
                f"endpoint '{endpoint.name}' is reached without a connection, so it can have no {Phase.TCP} (TP-540)"
            )
            problems.add_error("ERR_NGROK_2230", words, line=1, column=1)
    return problems


def _shows_estimates(source: PolicySource | None) -> bool:
    """Whether a policy names the action's result, whose members ``…_ngrok_tokens`` are estimates (AG-280)."""
    if source is None:
        return False
    if source.node is None:
        return _RESULT in source.text
    waiting = [source.node]
    while waiting:
        node = waiting.pop()
        if _RESULT in str(node.value):
            return True
        waiting += node.items
        waiting += [entry.value for entry in node.entries]
    return False


def _load(entry: EndpointSettings, context: PolicyContext) -> tuple[Policy | None, Problems]:
    source = entry.policy
    if source is None:
        return None, Problems(f"<endpoint {entry.name}>")
    if source.node is not None:
        problems = Problems(source.file)
        return load_policy_node(source.node, context, problems), problems
    return load_policy(source.text, context, file=source.file)
