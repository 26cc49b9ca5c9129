"""``.internal`` endpoints: endpoints of this gateway that only its own policies reach (TP-471, TP-540).

The actions know this protocol; the composition root offers an implementation as a service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policy.action import Outcome
    from gateway.upstream.fetch import FetchAnswer, FetchRequest

MAX_FORWARDS = 10
MAX_HOPS = 3


def is_internal(host: str) -> bool:
    """``name.internal``, in any case."""
    name, dot, last = host.lower().rpartition(".")
    return bool(name and dot) and last == "internal"


class InternalEndpoints(Protocol):
    """The endpoints of the exchange's snapshot whose hosts end in ``.internal``."""

    async def forward(self, exchange: Exchange, scheme: str, host: str, port: int | None) -> Outcome:
        """Lets that endpoint's own policy answer the request (TP-540).

        The outcome is its answer, whatever the status. Raises GatewayError 3200 if there is no such endpoint and 3004
        (or another of the upstream's) if its upstream gave no answer. ``exchange.forwards`` was increased before.
        """
        ...

    async def request(self, exchange: Exchange, request: FetchRequest, host: str, port: int | None) -> FetchAnswer:
        """Answers a request that a policy makes on behalf of the exchange; raises ``fetch.FetchError``.

        The new exchange has ``hops`` one higher than this one (TP-474).
        """
        ...
