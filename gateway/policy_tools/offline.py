"""A gateway with one endpoint and without sockets: the real request path from the parsed head to the last byte.

``OfflineGateway`` is built for one loaded policy; ``send`` serves one request and gives everything that came of it.
State lives as long as the gateway: limits count, keys cool, metrics grow.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from gateway.actions import ACTIONS
from gateway.ai.build import AiParts, GatewayBuilder
from gateway.ai.catalog import load_shipped
from gateway.ai.key_metrics import MetricsRegistry
from gateway.auth.jwks import JwksCache
from gateway.cel.randoms import random_functions
from gateway.clock import ManualClock
from gateway.exchange import Connection, Exchange
from gateway.headers import HeaderMap
from gateway.limiter.buckets import LimiterTable
from gateway.policy.action import CloseConnection, CompileDeps
from gateway.policy.atlas import open_atlas
from gateway.policy.compile import CompiledPolicy, compile_policy, empty_phase
from gateway.policy.engine import run_phase
from gateway.policy.load import PolicyContext, policy_context
from gateway.policy.model import Phase, Policy
from gateway.policy.variables import scope_of
from gateway.policy_tools.client import MemoryTransport, client_ip, parse_answer, request_bytes
from gateway.policy_tools.deciding import Decisions
from gateway.policy_tools.documents import HOST, CaseFile, RequestPart, body_bytes
from gateway.policy_tools.played import PlayedTransport
from gateway.policy_tools.services import KnownKeys, services_of
from gateway.proxy.handler import Handler, HandlerParts
from gateway.proxy.request_server import DownstreamServer
from gateway.secrets.sources import MemorySource, SecretTable
from gateway.snapshot import Endpoint, Listener, Snapshot, SnapshotRef

if TYPE_CHECKING:
    from gateway.ai.build import ActionSettings
    from gateway.ai.call import AiCall
    from gateway.ai.gateway import AiGateway
    from gateway.policy.options import PolicyOptions
    from gateway.settings import Settings

_LISTENER = "offline"
_INSTANCE = "0" * 16
#: puts something around a compiled policy; see ``trace.instrument``
Wrap = Callable[[CompiledPolicy], CompiledPolicy]


def offline_context(options: PolicyOptions, random: Random) -> PolicyContext:
    """For loading policies whose chance is this generator's."""
    context = policy_context(ACTIONS, options)
    chance = random_functions(random)
    return replace(
        context,
        environments={
            phase: environment.extend(functions=chance) for phase, environment in context.environments.items()
        },
    )


@dataclass(slots=True)
class Served:
    """What came of one request."""

    exchange: Exchange | None = None
    #: as the client sent them
    request_headers: HeaderMap = field(default_factory=HeaderMap)
    status: int = 0
    headers: HeaderMap = field(default_factory=HeaderMap)
    body: bytes = b""
    #: the connection was closed without an answer
    closed: bool = False
    #: exceptions that nobody expected: bugs
    faults: list[BaseException] = field(default_factory=list)

    def json(self) -> Any:
        """The body's value; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class _NotingBuilder(GatewayBuilder):
    """Tells the transport which call it is about to serve: attempts are known by provider, model and key."""

    transport: PlayedTransport
    decisions: Decisions

    def action(self, config: ActionSettings, endpoint_id: str) -> AiGateway:
        return self._noted(super().action(config, endpoint_id))

    def shared(self, endpoint_id: str) -> AiGateway:
        return self._noted(super().shared(endpoint_id))

    def _noted(self, gateway: AiGateway) -> AiGateway:
        authenticate, transport = gateway.authenticate, self.transport

        def noted(call: AiCall) -> None:
            transport.call = call
            authenticate(call)

        gateway.authenticate = noted
        self.decisions.watch(gateway)
        return gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineParts:
    """What a gateway is built from. ``random``: the generator that the policy was loaded with."""

    policy: Policy
    settings: Settings
    random: Random
    surroundings: CaseFile
    #: makes the table of secrets from those of the document
    secret_table: Callable[[MemorySource], SecretTable] = lambda source: SecretTable([source])


class OfflineGateway:
    """One endpoint, in memory. Tasks that actions start (key documents) run in ``group``."""

    def __init__(
        self, parts: OfflineParts, group: asyncio.TaskGroup, *, clock_s: float | None = None,
        wrap: Wrap = lambda compiled: compiled, limiters: Any = None,
    ) -> None:  # fmt: skip
        file = parts.surroundings
        self._group = group
        self.clock = ManualClock(now_s=file.clock if clock_s is None else clock_s)
        self.transport = PlayedTransport(self.clock)
        #: the numbers that strategies saw while they decided for the last request
        self.decisions = Decisions()
        self._memory = MemorySource({})
        self.secrets = parts.secret_table(self._memory)
        parts.random.seed(file.seed)
        settings = replace(parts.settings, ai=replace(parts.settings.ai, random_seed=file.seed))
        endpoint = self._endpoint(parts, settings, wrap, limiters or LimiterTable())
        routes = {_LISTENER: {"*": endpoint}}
        atlas, _ = open_atlas(settings.geoip, settings.ip_categories)
        snapshot = Snapshot(1, settings, self.secrets, {endpoint.id: endpoint}, routes, atlas=atlas)
        self._served = Served()
        numbers = itertools.count(1)
        self._snapshot = snapshot
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handler = Handler(
            HandlerParts(
                snapshot=SnapshotRef(snapshot),
                listener=Listener(_LISTENER),
                clock=self.clock,
                next_id=lambda: f"req_{next(numbers):024x}",
                record=self._record,
                fault=lambda error, exchange: self._served.faults.append(error),
            )
        )
        self._connections = DownstreamServer(handler)

    def know(self, secrets: Mapping[tuple[str, str], str]) -> None:
        """The secrets of the document, from now on."""
        self._memory.replace({f"{vault}\0{name}": value for (vault, name), value in secrets.items()})

    async def send(self, request: RequestPart) -> Served:
        """Serves one request, on a connection of its own."""
        served = self._served = Served()
        self.transport.sent.clear()
        self.transport.call = None
        self.decisions.clear()
        payload, served.request_headers = request_bytes(request)
        done = self._done = asyncio.get_running_loop().create_future()
        client = MemoryTransport(client_ip(request), self._end)
        endpoint = self._snapshot.endpoints[_LISTENER]
        if endpoint.connect_phase is not None and await self._refuses(endpoint, client_ip(request)):
            served.closed = True
            return served
        downstream = self._connections()
        downstream.connection_made(client)
        downstream.data_received(payload)
        await done
        downstream.connection_lost(None)
        served.closed = client.aborted
        if client.written:
            served.status, served.headers, served.body = parse_answer(bytes(client.written))
        return served

    def _end(self) -> None:
        """The request has its record, or its connection is closed."""
        if not self._done.done():
            self._done.set_result(None)

    async def _refuses(self, endpoint: Endpoint, address: str) -> bool:
        """``on_tcp_connect``: True if the connection ends there."""
        assert endpoint.connect_phase is not None
        conn = Connection(address, 0, "192.0.2.1", 443, self.clock.now())
        exchange = Exchange(
            request_id="", snapshot=self._snapshot, endpoint=endpoint, conn=conn, downstream=None, method="",
            raw_target="", path="", query="", host="", scheme=endpoint.scheme, headers=HeaderMap(),
            started=self.clock.monotonic(), started_s=self.clock.now(),
        )  # fmt: skip
        outcome = run_phase(endpoint.connect_phase, exchange)
        if asyncio.iscoroutine(outcome):
            outcome = await outcome
        self._served.exchange = exchange
        return isinstance(outcome, CloseConnection)

    def _record(self, exchange: Exchange) -> None:
        self._served.exchange = exchange
        self._end()

    def _endpoint(self, parts: OfflineParts, settings: Settings, wrap: Wrap, limiters: Any) -> Endpoint:
        jwks = parts.surroundings.jwks

        async def fetch(url: str) -> bytes:
            if url not in jwks:
                raise OSError("the file has no document for this URL")
            return body_bytes(jwks[url])

        gateways = _NotingBuilder(self._ai_parts(parts), settings.ai)
        gateways.transport = self.transport
        gateways.decisions = self.decisions
        deps = CompileDeps(
            endpoint=_LISTENER,
            clock=self.clock,
            services={
                **services_of(parts.surroundings, settings, self.transport.sent),
                GatewayBuilder: gateways,
                LimiterTable: limiters,
                JwksCache: JwksCache(fetch=fetch, spawn=self._group.create_task, clock=self.clock),
            },
        )
        compiled = wrap(compile_policy(parts.policy, ACTIONS, deps))
        phases = compiled.phases
        return Endpoint(
            id=_LISTENER,
            name=_LISTENER,
            url=f"https://{HOST}",
            scheme="https",
            host=HOST,
            port=443,
            request_phase=phases.get(Phase.REQUEST) or empty_phase(Phase.REQUEST, deps),
            response_phase=phases.get(Phase.RESPONSE),
            stream_phase=phases.get(Phase.STREAM),
            connect_phase=phases.get(Phase.TCP),
            gateway=None if compiled.has_ai_gateway else gateways.shared(_LISTENER),
        )

    def _ai_parts(self, parts: OfflineParts) -> AiParts:
        now = self.clock.now
        return AiParts(
            catalog=load_shipped(),
            metrics=MetricsRegistry(self.clock),
            transport=self.transport,
            clock=self.clock,
            instance_id=_INSTANCE,
            installation_key=b"offline",
            scope_of=lambda exchange: scope_of(exchange, now),
            environment=offline_context_environment(parts.random),
            authenticate=KnownKeys(parts.surroundings.gateway_keys).authenticate,
        )


def offline_context_environment(random: Random) -> Any:
    """What keys and strategies may name."""
    return policy_context(ACTIONS).environment(Phase.REQUEST).extend(functions=random_functions(random))
