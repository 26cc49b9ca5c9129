"""``/credits``: paths that exist so that clients of the reference get a clear answer (CP-55)."""

from __future__ import annotations

from typing import Final

from gateway.auth.money import to_cents
from gateway.control.errors import NOT_FOUND, NOT_IMPLEMENTED, ApiError
from gateway.control.plane import ControlPlane
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import Anything, ListOf, Member, Object, Whole

_LARGEST: Final = 2**63 - 1
CHECKOUT: Final = Object(Member("amount", Whole(1, _LARGEST), required=True), title="CheckoutSessionCreate")
BALANCE: Final = Object(Member("balanceCents", Whole(0, _LARGEST), required=True), title="CreditBalance")
TRANSACTIONS: Final = Object(Member("items", ListOf(Anything()), required=True), title="CreditTransactionList")


async def balance(plane: ControlPlane, call: Call) -> Reply:
    """What is left of the account's budget; of several, the least."""
    left = [counter.budget.limit_usd - counter.spent_usd for counter in plane.ledger.account()
            if counter.budget.limit_usd is not None]  # fmt: skip
    if not left:
        raise ApiError(NOT_FOUND, what="A budget of the account in USD was")
    return Reply(200, {"balanceCents": to_cents(max(0, min(left)))})


async def transactions(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, {"items": []})


async def checkout(plane: ControlPlane, call: Call) -> Reply:
    raise ApiError(NOT_IMPLEMENTED)


ROUTES: Final = (
    Route(method="GET", path="/credits/balance", name="GetCreditBalance", handler=balance, result=BALANCE),
    Route(method="GET", path="/credits/transactions", name="ListCreditTransactions", handler=transactions,
          result=TRANSACTIONS),
    Route(method="POST", path="/credits/checkout-session", name="CreateCheckoutSession", handler=checkout,
          body=CHECKOUT),
)  # fmt: skip
