"""Budgets (CP-56 to CP-58) and what became of credits (CP-55)."""

from __future__ import annotations

import pytest

from gateway.auth.budgets import Exhausted, Reservation
from gateway.control.resources import budgets, credits

PATH = "/ext/budgets"


def spend(api, key_id="", usd=0, tokens=0):
    reservation = api.plane.ledger.reserve(key_id)
    assert isinstance(reservation, Reservation)
    api.plane.ledger.book(reservation, usd=usd, tokens=tokens)


async def test_cp_56_a_budget_is_effective_at_the_answer(api):
    made = await api.created(PATH, {"scope": "account", "period": "month", "limitUsd": "1.5", "limitTokens": 1000})
    assert budgets.READ.parse(made) == made
    assert (made["limitUsd"], made["spentUsd"], made["spentTokens"], made["enabled"]) == ("1.50000", "0.00000", 0, True)
    assert made["resetsAt"].endswith("-01T00:00:00.000Z")
    assert "accessKeyId" not in made
    spend(api, usd=150_000, tokens=7)
    assert isinstance(api.plane.ledger.reserve(""), Exhausted)
    shown = (await api.get(f"{PATH}/{made['id']}")).json
    assert (shown["spentUsd"], shown["spentTokens"]) == ("1.50000", 7)
    assert (await api.patch(f"{PATH}/{made['id']}", {"enabled": False})).json["spentTokens"] == 7
    assert isinstance(api.plane.ledger.reserve(""), Reservation)
    await api.patch(f"{PATH}/{made['id']}", {"enabled": True})
    assert (await api.delete(f"{PATH}/{made['id']}")).status == 204
    assert isinstance(api.plane.ledger.reserve(""), Reservation)
    assert (await api.get(f"{PATH}/{made['id']}")).refusal == (404, "27611")


async def test_cp_56_a_budget_of_one_key_goes_with_it(api):
    key = await api.created("/access-keys", {})
    body = {"scope": "accessKey", "accessKeyId": key["id"], "period": "total", "limitTokens": 5}
    made = await api.created(PATH, body)
    assert (made["accessKeyId"], made["resetsAt"], made["limitUsd"]) == (key["id"], None, None)
    spend(api, key["id"], tokens=5)
    assert isinstance(api.plane.ledger.reserve(key["id"]), Exhausted)
    assert isinstance(api.plane.ledger.reserve("aigk_other"), Reservation)
    await api.delete(f"/access-keys/{key['id']}")
    assert (await api.get(PATH)).json["budgets"] == []
    assert api.plane.ledger.counter(made["id"]) is None


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (422, "27602")),
        ({"scope": "account", "period": "day"}, (422, "27602")),
        ({"scope": "all", "period": "day", "limitTokens": 1}, (422, "27606")),
        ({"scope": "account", "period": "year", "limitTokens": 1}, (422, "27606")),
        ({"scope": "account", "period": "day", "limitUsd": "0"}, (422, "27606")),
        ({"scope": "account", "period": "day", "limitUsd": "-1"}, (422, "27606")),
        ({"scope": "account", "period": "day", "limitUsd": "0.000001"}, (422, "27606")),
        ({"scope": "account", "period": "day", "limitUsd": 5}, (400, "215")),
        ({"scope": "account", "period": "day", "limitTokens": 0}, (422, "27606")),
        ({"scope": "account", "period": "day", "limitTokens": 1, "accessKeyId": "x"}, (422, "27606")),
        ({"scope": "accessKey", "period": "day", "limitTokens": 1}, (422, "27602")),
        ({"scope": "accessKey", "period": "day", "limitTokens": 1, "accessKeyId": "no"}, (404, "27611")),
        ({"scope": "account", "period": "day", "limitTokens": 1, "spentUsd": "0"}, (400, "214")),
    ],
)
async def test_cp_56_refusals(api, body, refusal):
    assert (await api.post(PATH, body)).refusal == refusal


async def test_cp_56_one_budget_per_scope_and_period(api):
    body = {"scope": "account", "period": "day", "limitTokens": 1}
    made = await api.created(PATH, body)
    assert (await api.post(PATH, body)).refusal == (409, "27607")
    other = await api.created(PATH, {**body, "period": "month"})
    assert (await api.patch(f"{PATH}/{other['id']}", {"period": "day"})).refusal == (409, "27607")
    assert (await api.patch(f"{PATH}/{made['id']}", {"scope": "account"})).refusal == (400, "214")


async def test_cp_56_one_limit_must_remain(api):
    made = await api.created(PATH, {"scope": "account", "period": "day", "limitTokens": 1, "limitUsd": "1"})
    path = f"{PATH}/{made['id']}"
    assert (await api.patch(path, {"limitUsd": None})).json["limitUsd"] is None
    assert (await api.patch(path, {"limitTokens": None})).refusal == (422, "27602")
    assert (await api.patch(path, {"limitTokens": None, "limitUsd": "2"})).json["limitUsd"] == "2.00000"


async def test_cp_55_credits_answer_clearly(api):
    assert (await api.get("/credits/balance")).refusal == (404, "27611")
    assert (await api.get("/credits/transactions")).json == {"items": []}
    assert (await api.post("/credits/checkout-session", {"amount": 100})).refusal == (403, "27612")
    assert (await api.post("/credits/checkout-session", {"amount": 0})).refusal == (422, "27606")
    await api.created(PATH, {"scope": "account", "period": "day", "limitUsd": "10.00999"})
    await api.created(PATH, {"scope": "account", "period": "total", "limitUsd": "50"})
    balance = (await api.get("/credits/balance")).json
    assert credits.BALANCE.parse(balance) == {"balanceCents": 1000}
    spend(api, usd=9_900_000)
    assert (await api.get("/credits/balance")).json == {"balanceCents": 0}
