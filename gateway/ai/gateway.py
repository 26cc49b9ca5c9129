"""The AI gateway of one endpoint, ready to serve: what ``failover.run`` works with. Immutable but for its caches.

``Route`` is what every request for one candidate on one surface has in common; it hangs on the candidate, so that
it lives exactly as long as the plan that the candidate belongs to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway import errors
from gateway.ai.dialects import codec_for
from gateway.ai.estimates import Estimator
from gateway.ai.inbound import served_lines
from gateway.ai.outbound import RequestHead
from gateway.ai.splice import BodyPlan, compile_plan
from gateway.errors import failure
from gateway.upstream.attempt import Expectations

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.ai.candidates import Universe
    from gateway.ai.credentials import ClientCredential
    from gateway.ai.dialects.dialect import SurfaceCodec
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.ai.key_metrics import MetricsRegistry
    from gateway.ai.keys import Keyring
    from gateway.ai.measure import Measure
    from gateway.ai.reach import AccessScope, Reach
    from gateway.ai.surfaces import Surface
    from gateway.clock import Clock
    from gateway.exchange import Attempt, Exchange
    from gateway.upstream.origin import Origin
    from gateway.upstream.relay import RelayLimits
    from gateway.upstream.transport import Transport

#: evaluate an interpolated field of the action for one request
Render = Callable[["Exchange"], str]
Evaluate = Callable[["Exchange"], Any]


def refuse_gateway_keys(call: AiCall) -> None:
    """Without a key table every token in gateway format is unknown (AG-186)."""
    if call.credential is not None and call.credential.is_gateway_key:
        raise failure(errors.INVALID_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class AiOptions:
    """Limits and switches of one gateway; times in seconds, sizes in bytes (AG 1.1, AG appendix A)."""

    per_request_timeout_s: float = 180.0
    total_timeout_s: float = 360.0
    on_error_continue: bool = False
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    #: count every input before it is sent: there is a limit, or the policy or a strategy may look at estimates
    counts_input: bool = False
    #: for a candidate of a streamed request; 0: no such limit
    first_token_timeout_s: float = 0.0
    max_attempts: int = 20
    max_body_bytes: int = 32 * 1_048_576
    uniform_upstream_status: bool = True
    passthrough: bool = True
    response_headers: bool = True
    inject_stream_usage: bool = True
    #: shared mode: another set of codes for unknown paths (AG-69)
    shared: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class AiGateway:
    """One compiled ``ai-gateway`` action, or the built-in handler of an endpoint. Equal to itself only."""

    options: AiOptions
    limits: RelayLimits
    universe: Universe
    keyring: Keyring
    transport: Transport
    metrics: MetricsRegistry
    clock: Clock
    #: names this process in ``x-ai-gateway-hop`` (AG-56)
    instance_id: str
    #: id of the endpoint it serves
    endpoint_id: str
    scope_of: Callable[[Exchange], Any]
    headers: Mapping[str, Render] = field(default_factory=dict)
    query: Mapping[str, Render] = field(default_factory=dict)
    body: Mapping[str, Evaluate] = field(default_factory=dict)
    #: checks gateway keys (AG-185 to AG-188); raises 401 and 403
    authenticate: Callable[[AiCall], None] = refuse_gateway_keys
    #: counts tokens; shared by all gateways of the process
    estimator: Estimator = field(default_factory=Estimator)
    #: budgets and usage, once the candidates are known (``accounting.Accounting.open``); None: neither is kept
    charge: Callable[[AiCall], Awaitable[None] | None] | None = None
    #: an attempt with a stored provider key begins (CP-67)
    touch: Callable[[str], None] | None = None

    def route(self, candidate: Candidate, surface: Surface) -> Route:
        """What requests for this candidate on this surface share; built at the first one."""
        route: Route | None = candidate.routes.get(surface.path)
        if route is None:
            codec = codec_for(surface)
            route = candidate.routes[surface.path] = Route(
                origin=candidate.provider.target.origin,
                head=RequestHead.compile(candidate.provider.target, surface),
                plan=compile_plan(
                    candidate,
                    surface,
                    max_output_tokens=self.options.max_output_tokens,
                    inject_stream_usage=self.options.inject_stream_usage,
                ),
                served=served_lines(candidate.provider.id, candidate.name),
                codec=codec,
                expects=(Expectations(codec, streaming=False), Expectations(codec, streaming=surface.streams)),
            )
        return route

    def reach(self, call: AiCall) -> Reach:
        """What this caller can be served with (AG-98)."""
        return self.reach_of(call.credential, call.access)

    def reach_of(self, credential: ClientCredential | None, access: AccessScope | None = None) -> Reach:
        """The same by what it is decided by."""
        token = credential.token.reveal() if credential is not None and self.may_pass(credential) else None
        return self.universe.reach(access, token)

    def may_pass(self, credential: ClientCredential) -> bool:
        """Whether such a token may go upstream at all."""
        return self.options.passthrough and not credential.is_gateway_key

    def record_attempt(self, attempt: Attempt, measure: Measure) -> None:
        """Books a finished attempt (AG-124); cancelled ones are not booked."""
        key: ProviderKey = attempt.key
        metrics = attempt.candidate.metrics
        counters = key.counters
        if counters is None or counters[0] is not metrics:
            counters = key.counters = (metrics, self.metrics.fan_out(metrics, key.id, key.quota))
        key.window.record(measure)
        counters[1].record(measure)


@dataclass(frozen=True, slots=True)
class Route:
    """Constant parts of the upstream requests of one candidate on one surface."""

    origin: Origin
    head: RequestHead
    plan: BodyPlan
    #: constant start of the ``x-gateway-…`` lines (AG-221)
    served: bytes
    codec: SurfaceCodec
    #: what answers have to be like: of plain requests, of streamed ones
    expects: tuple[Expectations, Expectations]
