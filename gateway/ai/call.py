"""One client call of the AI gateway: what was asked, what was tried, what is left of its time.

``AiCall`` is ``exchange.ai``: the failover loop fills it, the record and the action result read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.ai.credentials import PassthroughRules
from gateway.ai.final import Outcome
from gateway.ai.outbound import ClientLines

if TYPE_CHECKING:
    from gateway.ai.caller import Caller
    from gateway.ai.candidates import Plan
    from gateway.ai.credentials import ClientCredential
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.ai.gateway import AiGateway
    from gateway.ai.key_order import Dropped, KeyOrder
    from gateway.ai.outbound import UpstreamQuery
    from gateway.ai.reach import AccessScope
    from gateway.ai.request import AiRequest
    from gateway.ai.splice import Overrides
    from gateway.ai.surfaces import Surface
    from gateway.ai.usage import Usage
    from gateway.exchange import Attempt, Exchange
    from gateway.secrets.secret import Secret


NO_LINES = ClientLines("", "", sets_version=False, sets_credential=False)


class AiCall:
    """Mutable, one per request. Times are monotonic seconds."""

    __slots__ = (
        "access",
        "caller",
        "candidates",
        "cost_units",
        "credential",
        "deadline",
        "estimated_input",
        "estimated_output",
        "exchange",
        "fields",
        "first_token_by",
        "gateway",
        "gateway_key",
        "gateway_key_id",
        "input_counts",
        "key_orders",
        "limit_reached",
        "lines",
        "overrides",
        "passthrough",
        "plan",
        "query",
        "request",
        "requested_models",
        "retry_after_s",
        "status",
        "surface_of",
        "tried",
        "upstream_query",
        "usage",
        "values",
    )  # fmt: skip

    def __init__(self, gateway: AiGateway, exchange: Exchange) -> None:
        self.gateway = gateway
        self.exchange = exchange
        self.deadline = exchange.started + gateway.options.total_timeout_s
        #: what the request's head says
        self.caller: Caller | None = None
        self.surface_of: Surface | None = None
        self.request: AiRequest | None = None
        self.requested_models: Sequence[str] = ()
        self.credential: ClientCredential | None = None
        #: the caller's gateway key and what its configuration admits; opaque here
        self.gateway_key: object | None = None
        self.gateway_key_id: str | None = None
        self.access: AccessScope | None = None
        self.plan: Plan | None = None
        #: what is tried, in order
        self.candidates: Sequence[Candidate] = ()
        #: the action's ``headers`` as lines, its ``query_params`` and ``body``, evaluated once (AG-10)
        self.fields = ""
        self.query: Mapping[str, str] = {}
        self.overrides: Overrides = ()
        #: (provider, upstream model, credential) attempted already (AG-151)
        self.tried: set[tuple[str, str, str]] | None = None
        #: the client's header lines that go upstream, filtered once
        self.lines: ClientLines = NO_LINES
        self.upstream_query: UpstreamQuery | None = None
        #: whether the client's own credential may go upstream, and where it went (AG-195); made when first asked
        self.passthrough: PassthroughRules | None = None
        #: provider id → its interpolated keys, once computed (``keys.KeyRequest``)
        self.values: dict[str, tuple[Sequence[Secret], tuple[Dropped, ...]]] = {}
        self.retry_after_s: float | None = None
        self.limit_reached = False
        #: '' while it runs, then ``success`` or ``error``
        self.status = ""
        self.usage: Usage | None = None
        #: in units of 0.00001 USD (AG-248); None: price unknown
        self.cost_units: int | None = None
        #: tokens as the gateway counts them (AG-228, AG-230)
        self.estimated_input = 0
        self.estimated_output = 0
        #: encoding → estimate of the input, where that is counted before anything is sent
        self.input_counts: dict[str, int] | None = None
        #: when the candidate that is being tried must have begun to answer
        self.first_token_by = math.inf
        #: how the keys of each candidate reached were ordered (AG-280)
        self.key_orders: list[tuple[Candidate, KeyOrder]] = []

    # ---- what the record reads (observability.record.ModelRequest) ------------------------------------------------

    @property
    def surface(self) -> str:
        return self.surface_of.name if self.surface_of is not None else ""

    @property
    def input_tokens(self) -> int | None:
        return self.usage.input if self.usage is not None else None

    @property
    def output_tokens(self) -> int | None:
        return self.usage.output if self.usage is not None else None

    @property
    def cost_usd(self) -> float | None:
        return self.cost_units / 100_000 if self.cost_units is not None else None

    @property
    def tokens_estimated(self) -> bool:
        """The gateway counted what the provider did not report (AG-240, P03)."""
        return self.usage is not None and self.usage.estimated

    # ---- what the keys ask (keys.KeyRequest) ------------------------------------------------------------------------

    @property
    def rules(self) -> PassthroughRules | None:
        """None: the caller's own credential goes nowhere."""
        rules, credential = self.passthrough, self.credential
        if rules is None and credential is not None and self.gateway.may_pass(credential):
            exchange = self.exchange
            rules = self.passthrough = PassthroughRules(
                credential,
                secrets_seen=exchange.secrets_seen,
                consumed_tokens=exchange.consumed_tokens,
                prefixes=self.gateway.universe.prefixes,
            )
        return rules

    # ---- what the loop asks ---------------------------------------------------------------------------------------

    def left_s(self, now: float) -> float:
        """Seconds until ``total_timeout``."""
        return self.deadline - now

    def end(self) -> None:
        """``total_timeout`` has ended an attempt: timers ring a little early, and no other attempt is to begin."""
        self.deadline = min(self.deadline, self.gateway.clock.monotonic())

    def begin_candidate(self) -> None:
        """From now on the candidate's time to its first token runs, over all its keys; only streams have one."""
        if self.request is not None and self.request.stream:
            self.first_token_by = self.gateway.clock.monotonic() + self.gateway.options.first_token_timeout_s

    def first_time(self, candidate: Candidate, key: ProviderKey) -> bool:
        """False if this provider, model and credential were attempted already in this request (AG-151)."""
        triple = (candidate.provider.id, candidate.upstream_model, key.value.reveal())
        tried = self.tried
        if tried is None:
            self.tried = {triple}
            return True
        if triple in tried:
            return False
        tried.add(triple)
        return True

    def note_retry_after(self, seconds: float | None) -> None:
        """The smallest wait that any attempt reported (AG-178)."""
        if seconds is not None and (self.retry_after_s is None or seconds < self.retry_after_s):
            self.retry_after_s = seconds

    def outcome(self, now: float) -> Outcome:
        """The facts that decide the final error."""
        options = self.gateway.options
        return Outcome(
            attempts=self.exchange.attempts,
            total_timeout_s=options.total_timeout_s,
            total_expired=now >= self.deadline,
            limit_reached=self.limit_reached,
            passthrough=self.passthrough is not None and self.passthrough.first_provider is not None,
            uniform_status=options.uniform_upstream_status,
            retry_after_s=self.retry_after_s,
            input_tokens=self.estimated_input,
            max_input_tokens=options.max_input_tokens,
        )

    def failed(self, attempt: Attempt, kind: str, code: str, message: str) -> None:
        """Marks an attempt as failed, now."""
        attempt.kind = kind
        attempt.code = code
        attempt.message = message
        attempt.completed = self.gateway.clock.monotonic()
