"""What the composition root offers to actions (``CompileDeps.services``), kept in step with the configuration.

Made once per process; reloads come and go and limiter counts, signing keys and the fetcher's connections stay
(TP-269, design rule 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.auth.addresses import IpPolicyTable, IpRules
from gateway.auth.jwks import MAX_DOCUMENT_BYTES, JwksCache
from gateway.limiter.buckets import LimiterIdentity, LimiterTable
from gateway.policy.internal import InternalEndpoints
from gateway.proxy.internal import GatewayEndpoints
from gateway.upstream.fetch import Fetcher, FetchRules

if TYPE_CHECKING:
    from gateway.app.parts import Parts
    from gateway.clock import Clock
    from gateway.exchange import Exchange
    from gateway.policy.action import RuntimeRegistry
    from gateway.settings import Settings

HOUSEKEEPING_S = 1.0
#: TP-325: the URLs come from the operator's policy, so they may lead into the operator's network
_JWKS_RULES = FetchRules(
    frozenset(("*",)), max_redirects=3, max_bytes=MAX_DOCUMENT_BYTES, https_only=True, private=True
)


@dataclass(frozen=True, slots=True)
class Services:
    """``table`` is what actions see, by type."""

    clock: Clock
    runtime: RuntimeRegistry
    limiters: LimiterTable
    ip_policies: IpPolicyTable
    table: Mapping[type, Any] = field(repr=False)

    def publish(self, settings: Settings, claims: Collection[tuple[Hashable, ...]]) -> None:
        """After a snapshot was published: its IP policies hold, and state that nobody claims any more goes."""
        self.ip_policies.replace(ip_rules(settings))
        self.runtime.retain(set(claims))
        self.limiters.retain({claim for claim in claims if isinstance(claim, LimiterIdentity)})

    async def keep_house(self) -> None:
        """Gives the memory of empty buckets back, as long as the process runs."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self.limiters.drop_empty(self.clock.monotonic())


def build_services(
    parts: Parts, settings: Settings, *, record: Callable[[Exchange], None] = lambda exchange: None
) -> Services:
    """Everything that actions may ask for. ``record`` takes the exchanges that policies make themselves."""
    limiters = LimiterTable()
    ip_policies = IpPolicyTable(ip_rules(settings))
    fetcher = Fetcher(parts.session)
    jwks = JwksCache(fetch=lambda url: fetcher.get(url, _JWKS_RULES), spawn=parts.tasks.start, clock=parts.clock)
    endpoints = GatewayEndpoints(parts.clock, parts.next_id, record)
    return Services(
        clock=parts.clock,
        runtime=parts.runtime,
        limiters=limiters,
        ip_policies=ip_policies,
        table={
            LimiterTable: limiters,
            IpPolicyTable: ip_policies,
            Fetcher: fetcher,
            JwksCache: jwks,
            InternalEndpoints: endpoints,
        },
    )


def ip_rules(settings: Settings) -> dict[str, IpRules]:
    """IP policies by id (TP-305)."""
    return {
        policy.id: IpRules(
            [rule.cidr for rule in policy.rules if rule.action == "allow"],
            [rule.cidr for rule in policy.rules if rule.action == "deny"],
        )
        for policy in settings.ip_policies
    }
