"""The frozen view of the configuration that a request is served under, and the one pointer that is ever swapped.

A reload builds a whole new snapshot first and then assigns ``SnapshotRef.current``; requests under way keep the
one they were accepted under (SV-20, TP-23). Runtime state (limiter counts, key metrics, pools) is not in here: it
belongs to ``app`` and survives (design rule 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gateway.observability.tally import EndpointTally
from gateway.policy.atlas import NO_ATLAS, Atlas

if TYPE_CHECKING:
    from gateway.ai.gateway import AiGateway
    from gateway.exchange import Exchange
    from gateway.policy.action import Outcome
    from gateway.policy.compile import CompiledPhase
    from gateway.secrets.sources import SecretTable
    from gateway.settings import Settings


class Upstream(Protocol):
    """Where an endpoint's unhandled requests go (``proxy.forward.Forwarder``)."""

    async def send(self, exchange: Exchange) -> Outcome:
        """The answer, held before commit; raises GatewayError if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One configured listener URL with at most one policy (TP 1)."""

    id: str
    name: str
    #: public URL; ``scheme``, ``host`` and ``port`` are its parts
    url: str
    scheme: str
    host: str
    port: int
    request_phase: CompiledPhase
    response_phase: CompiledPhase | None = None
    stream_phase: CompiledPhase | None = None
    connect_phase: CompiledPhase | None = None
    #: TP-50 (1): comes before the next
    upstream: Upstream | None = None
    #: handler of requests that the policy leaves (TP-50 (2)); None: 404
    gateway: AiGateway | None = None
    #: auto, required or optional (AG-187)
    gateway_keys: str = "auto"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: counts its requests; the same one after a reload
    tally: EndpointTally = field(default_factory=EndpointTally, compare=False)
    #: its requests wait for nothing but a model's answer
    is_eager: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        eager = self.request_phase.is_eager and self.response_phase is None and self.upstream is None
        object.__setattr__(self, "is_eager", eager)


@dataclass(frozen=True, slots=True)
class Listener:
    """One socket and the endpoints that share it, by host name; ``*`` is the fallback."""

    #: what makes it the same listener across reloads: ``host:port`` or ``unix:PATH`` as configured
    key: str

    def endpoint_for(self, host: str, snapshot: Snapshot) -> Endpoint | None:
        """The endpoint whose public host the request names (SV-11)."""
        table = snapshot.routes.get(self.key)
        if table is None:
            return None
        if len(table) == 1:
            for endpoint in table.values():
                return endpoint
        return table.get(host.partition(":")[0].lower()) or table.get("*")

    def connect_endpoint(self, snapshot: Snapshot) -> Endpoint | None:
        """The endpoint whose ``on_tcp_connect`` connections meet, before they name a host: ``*``, or the only one."""
        return self.endpoint_for("", snapshot)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that requests read of the configuration."""

    generation: int
    settings: Settings
    secrets: SecretTable
    endpoints: Mapping[str, Endpoint]
    #: listener key → host → endpoint
    routes: Mapping[str, Mapping[str, Endpoint]]
    #: problems of severity warning, as text, for /readyz and logs
    warnings: tuple[str, ...] = ()
    #: what is known about IP addresses
    atlas: Atlas = NO_ATLAS


class SnapshotRef:
    """The swappable pointer. Readers read ``current`` once per request."""

    __slots__ = ("current", "stale")

    def __init__(self, snapshot: Snapshot) -> None:
        self.current = snapshot
        #: the last reload failed and this snapshot is older than the files (SV-20)
        self.stale = False
