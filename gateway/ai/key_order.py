"""The keys to try for one candidate, or why there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway import errors
from gateway.errors import ErrorSpec, GatewayError, failure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.ai.keys import KeyRequest
    from gateway.ai.strategies import Selection


class Dropped(NamedTuple):
    """A listed key that could not be used (AG-12): its place in the list, from 0."""

    position: int
    reason: str


class KeyOrder:
    """The keys to try, or why there are none. May be shared between requests: never changed."""

    __slots__ = ("cooling", "detail", "dropped", "failure", "keys", "perishable", "selections")

    def __init__(
        self, keys: tuple[ProviderKey, ...], *, selections: tuple[Selection, ...] = (),
        dropped: tuple[Dropped, ...] = (), cooling: tuple[str, ...] = (),
        failure: tuple[ErrorSpec, Mapping[str, Any]] | None = None, detail: GatewayError | None = None,
        perishable: bool = False,
    ) -> None:  # fmt: skip
        self.keys = keys
        #: keys behind the first are the store's: they may be deleted or rotated before their turn comes
        self.perishable = perishable
        #: what stands beside 3802 and says what the caller could do (AG 12.2: 3817, 3819, 27202)
        self.detail = detail
        #: one per strategy that was evaluated (AG-280)
        self.selections = selections
        self.dropped = dropped
        #: ids of keys that were moved back
        self.cooling = cooling
        #: what ``error`` is made of
        self.failure = failure

    @property
    def error(self) -> GatewayError | None:
        """Why the candidate fails without an attempt: 3802 or 3808; a new object each time."""
        return GatewayError(*self.failure) if self.failure is not None else None


def no_rule_keys(candidate: Candidate) -> GatewayError:
    """A rule of the gateway key's configuration that yields none (AG-202)."""
    return failure(errors.NO_RULE_KEYS, provider=candidate.provider.id)


def no_key(candidate: Candidate, request: KeyRequest, *tables: Mapping[str, Collection[Any]]) -> GatewayError:
    """Row 9 of AG-190; ``tables``: provider id → keys that the gateway has for it, or none."""
    provider = candidate.provider.id
    if request.gateway_key is not None:
        having = sorted({name for table in tables for name, keys in table.items() if keys})
        return failure(errors.PROVIDER_SETUP, provider=provider, supported=", ".join(having) or "none")
    sent = request.credential is not None
    info = "The client's key may not go there." if sent else "Send one, or list api_keys in the policy."
    return failure(errors.KEY_REQUIRED, provider=provider, info=info)
