"""What is checked. Each function looks at one run and notes what is not as promised."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from loadtest.scorecard.model import HEALTHY, Card, Judge, Run, Seen

_TOKENS = 24
#: provider → tokens, cost
Meters = dict[str, tuple[int, Decimal]]
NOTHING: tuple[int, Decimal] = (0, Decimal(0))


def served(*, attempts: int, by: str = HEALTHY, stream: bool = False, replaced: int = 0) -> Judge:
    """A whole good answer; the model that gave it; this many upstream requests in all.

    ``replaced``: so many may have been sent a second time because an idle connection was dead (AG-157).
    """

    def judge(run: Run, card: Card) -> None:
        for seen in run.seen:
            whole(seen, card, stream=stream)
        used(run, card, attempts, replaced)
        card.should(run.upstream and run.upstream[-1].model == by, f"served by {_models(run)[-1:]}, not by {by}")

    return judge


def whole(seen: Seen, card: Card, *, stream: bool) -> None:
    """A good answer, complete."""
    card.must(seen.status == 200 and not seen.code, f"status {seen.status} {seen.code} instead of 200")
    card.must(not seen.broken, "the body broke off")
    if stream:
        card.must(seen.error is None, f"error event: {seen.error}")
        card.must(seen.done, "no end mark")
        card.must(len(seen.texts) == _TOKENS, f"{len(seen.texts)} of {_TOKENS} tokens")
    elif seen.status == 200:
        card.must(len(_content(seen).split()) >= 1, "no text in the answer")


def used(run: Run, card: Card, attempts: int, replaced: int = 0) -> None:
    """How many upstream requests there were."""
    count = len(run.upstream)
    card.should(attempts <= count <= attempts + replaced, f"{count} upstream requests instead of {attempts}")


def quickly(limit: Callable[[Run], float], inner: Judge) -> Judge:
    """The same, and no client waited longer than that."""

    def judge(run: Run, card: Card) -> None:
        inner(run, card)
        longest = max(seen.seconds for seen in run.seen)
        card.should(longest <= limit(run), f"took {longest:.1f} s, more than {limit(run):.1f} s")

    return judge


def refused(
    *, status: int, attempts: int, retry_after: int | None = None, final: bool = False, says: str = ""
) -> Judge:
    """A final error with every attempt named; ``final``: the SDK is told not to repeat it."""

    def judge(run: Run, card: Card) -> None:
        seen = run.last
        card.must(seen.status == status, f"status {seen.status} instead of {status}")
        card.must(seen.code == "ERR_NGROK_3807", f"code {seen.code or 'none'} instead of ERR_NGROK_3807")
        error = _error(seen)
        tried = (error.get("details") or {}).get("attempts", [])
        card.should(len(tried) == attempts, f"{len(tried)} attempts named instead of {attempts}")
        card.should(says in str(error.get("message")), f"the message does not say {says!r}")
        used(run, card, attempts)
        given = seen.headers.get("retry-after")
        card.should(given == (None if retry_after is None else str(retry_after)), f"retry-after is {given}")
        told = seen.headers.get("x-should-retry") == "false"
        card.should(told == final, "x-should-retry: false is " + ("missing" if final else "there"))
        card.should("demo-key" not in seen.body.decode(), "a key is in the answer")

    return judge


def broken_stream(*, code: str, texts: int, attempts: int = 1) -> Judge:
    """What had come, then an error event and no end mark; no second attempt after the commit."""

    def judge(run: Run, card: Card) -> None:
        seen = run.last
        card.must(seen.status == 200, f"status {seen.status} instead of 200")
        card.must(len(seen.texts) == texts, f"{len(seen.texts)} tokens instead of {texts}")
        card.must(not seen.done, "an end mark after a broken stream")
        card.must(seen.error is not None, "no error event")
        if seen.error is not None:
            card.should(seen.error.get("code") == code, f"error code {seen.error.get('code')} instead of {code}")
        used(run, card, attempts)

    return judge


def relayed_error(*, texts: int) -> Judge:
    """The provider's own error event, unchanged, and no end mark of the gateway's."""

    def judge(run: Run, card: Card) -> None:
        seen = run.last
        card.must(seen.error is not None and "code" in seen.error, f"error event: {seen.error}")
        card.must(len(seen.texts) == texts, f"{len(seen.texts)} tokens instead of {texts}")
        card.must(not seen.done, "an end mark after an error")
        used(run, card, 1)
        card.should(all(event["isError"] for event in run.usage), "booked as a success")

    return judge


def tolerant(*, done: bool, finish: str, texts: int = _TOKENS) -> Judge:
    """The stream as the provider sent it, neither mended nor cut."""

    def judge(run: Run, card: Card) -> None:
        seen = run.last
        card.must(seen.status == 200 and seen.error is None, f"status {seen.status}, error {seen.error}")
        card.must(not seen.broken, "the body broke off")
        card.must(len(seen.texts) == texts, f"{len(seen.texts)} tokens instead of {texts}")
        card.must(seen.done is done, f"end mark {'missing' if done else 'made up'}")
        card.must(seen.finish == finish, f"finish reason {seen.finish!r} instead of {finish!r}")
        used(run, card, 1)

    return judge


def left(*, delivered: int) -> Judge:
    """The client hung up: the provider is told at once, and what was delivered is booked."""

    def judge(run: Run, card: Card) -> None:
        used(run, card, 1)
        card.must(all(each.aborted for each in run.upstream), "the provider went on")
        for event in run.usage:
            card.should(event["statusCode"] == 499, f"booked with status {event['statusCode']} instead of 499")
            card.should(event["outputTokens"] >= delivered, f"{event['outputTokens']} of {delivered} tokens booked")
            card.should(delivered or Decimal(event["totalCost"]) == 0, "nothing was delivered, but it has a cost")

    return judge


def flapping(run: Run, card: Card) -> None:
    """No client notices; while a key cools it is not asked."""
    for seen in run.seen:
        whole(seen, card, stream=False)
    least, most = len(run.seen), 2 * len(run.seen)
    card.should(least < len(run.upstream) <= most, f"{len(run.upstream)} upstream requests, not {least} to {most}")


def cooled(run: Run, card: Card) -> None:
    """The key that was limited is asked once, and not again before its time."""
    for seen in run.seen:
        whole(seen, card, stream=False)
    statuses = [each.status for each in run.upstream]
    card.should(statuses == [429, *(200 for _ in run.seen)], f"upstream statuses {statuses}")


def booked(run: Run, card: Card, replaced: int) -> None:
    """The books: one event per attempt, one final one per request, money only for what was delivered."""
    numbers: dict[str, list[dict[str, Any]]] = {}
    for event in run.usage:
        numbers.setdefault(event["requestId"], []).append(event)
    count, sent = len(run.usage), len(run.upstream)
    card.should(sent - replaced <= count <= sent, f"{count} usage events for {sent} upstream requests")
    card.should(len(numbers) == len(run.seen), f"{len(numbers)} of {len(run.seen)} requests are in the books")
    for events in numbers.values():
        finals = sum(event["isFinalAttempt"] for event in events)
        card.should(finals == 1, f"{finals} final events for one request")
        attempts = sorted(event["attemptNumber"] for event in events)
        card.should(attempts == list(range(1, len(events) + 1)), f"attempts numbered {attempts}")
    for event in run.usage:
        tokens = event["inputTokens"] + event["outputTokens"]
        cost = Decimal(event["totalCost"])
        card.should(cost == Decimal(tokens) / 1_000, f"{tokens} tokens cost {cost}")
        if event["statusCode"] in (200, 499):
            continue
        card.should(not tokens, f"a failed attempt (status {event['statusCode']}) has {tokens} tokens")
    good = [event for event in run.usage if event["statusCode"] == 200 and not event["isError"]]
    card.should(all(event["outputTokens"] > 0 for event in good), "a good answer without tokens")


def agree(card: Card, requests: int, books: Sequence[dict[str, Any]], meters: Meters) -> None:
    """Every request has one final event, and the counters say what the books say, provider by provider."""
    finals = {event["requestId"] for event in books if event["isFinalAttempt"]}
    card.must(len(finals) == requests, f"{len(finals)} of {requests} requests are in the books")
    card.must(sum(event["isFinalAttempt"] for event in books) == len(finals), "a request is in the books twice")
    booked_sums: Meters = {}
    for event in books:
        tokens, cost = booked_sums.get(event["provider"], (0, Decimal(0)))
        tokens += event["inputTokens"] + event["outputTokens"]
        booked_sums[event["provider"]] = (tokens, cost + Decimal(event["totalCost"]))
    for provider in sorted(booked_sums.keys() | meters.keys()):
        in_books, metered = booked_sums.get(provider, NOTHING), meters.get(provider, NOTHING)
        card.must(in_books == metered, f"{provider}: {in_books} in the books, {metered} in the counters")


def _content(seen: Seen) -> str:
    try:
        document = json.loads(seen.body)
        return str(document["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        return ""


def _error(seen: Seen) -> dict[str, Any]:
    try:
        error = json.loads(seen.body)["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _models(run: Run) -> list[str]:
    return [each.model for each in run.upstream]
