"""The table: every fault, what is promised to the client, and the judge of it."""

from __future__ import annotations

from loadtest.scorecard.judges import (
    broken_stream,
    cooled,
    flapping,
    left,
    quickly,
    refused,
    relayed_error,
    served,
    tolerant,
)
from loadtest.scorecard.model import HEALTHY, MESSAGES, RESPONSES, Limits, Request, Scenario

STREAM = (Request(stream=True),)
NETWORK, IDLE = "ERR_NGROK_3800", "ERR_NGROK_27207"


def build_scenarios(limits: Limits) -> list[Scenario]:
    """All of them, with these time limits."""
    formats = [*_formats("messages", MESSAGES, 4), *_formats("responses", RESPONSES, 3)]
    return [*_statuses(), *_silences(limits), *_streams(), *_answers(), *formats, *_clients(limits)]


def _statuses() -> list[Scenario]:
    return [
        Scenario(
            name="429 with Retry-After", keys=("-429-retry-after-7", ""), models=[HEALTHY], judge=cooled,
            requests=(Request(times=3),), promise="the other key serves; the limited one rests until its time",
        ),
        Scenario(
            name="429 for ever", models=["demo-429-retry-after-7", HEALTHY], judge=served(attempts=3),
            promise="both keys are tried, then the fallback model serves",
        ),
        Scenario(
            name="429 everywhere", models=["demo-429-retry-after-7", "demo-429-retry-after-3"],
            judge=refused(status=429, attempts=4, retry_after=3),
            promise="429 with the shortest retry-after, each key and model asked once",
        ),
        Scenario(
            name="one 500", keys=("-500-flap-1", ""), models=[HEALTHY], judge=served(attempts=3),
            requests=(Request(times=2),), promise="the other key serves; the next request uses the first again",
        ),
        Scenario(
            name="503 for ever", models=["demo-503", HEALTHY], judge=served(attempts=3),
            promise="both keys are tried, then the fallback model serves",
        ),
        Scenario(
            name="overloaded (529)", models=["demo-529", HEALTHY], judge=served(attempts=3),
            promise="the fallback model serves",
        ),
        Scenario(
            name="key rejected (401)", keys=("-401", ""), models=[HEALTHY], judge=served(attempts=2),
            promise="the other key serves",
        ),
        Scenario(
            name="context length exceeded", models=["demo-context-length", HEALTHY], judge=served(attempts=3),
            promise="the fallback model serves",
        ),
        Scenario(
            name="context length exceeded, no fallback", models=["demo-context-length"],
            judge=refused(status=400, attempts=2, final=True, says="context"),
            promise="400 with the provider's words, and no repetition by the SDK",
        ),
        Scenario(
            name="content filter", models=["demo-content-filter", HEALTHY], judge=served(attempts=3),
            promise="the fallback model serves",
        ),
        Scenario(
            name="content filter, no fallback", models=["demo-content-filter"],
            judge=refused(status=400, attempts=2, final=True), promise="400, and no repetition by the SDK",
        ),
        Scenario(
            name="fallback that rejects", models=["demo-503", "demo-400"],
            judge=refused(status=503, attempts=4, final=True),
            promise="503 that names all four attempts, and no repetition by the SDK",
        ),
        Scenario(
            name="flapping", keys=("-503-flap-2", ""), models=[HEALTHY], judge=flapping,
            requests=(Request(times=12),), promise="twelve good answers in a row",
        ),
        Scenario(
            name="error page instead of JSON", models=["demo-502-html", HEALTHY], judge=served(attempts=3),
            promise="the fallback model serves",
        ),
    ]  # fmt: skip


def _silences(limits: Limits) -> list[Scenario]:
    late, slow = f"{limits.late_s * 1_000:.0f}ms", f"{limits.slow_s * 1_000:.0f}ms"
    return [
        Scenario(
            name="reset before headers", models=["demo-reset", HEALTHY], replaced=2,
            judge=served(attempts=3, replaced=2), promise="the fallback model serves",
        ),
        Scenario(
            name="closed before headers", models=["demo-close", HEALTHY], replaced=2,
            judge=served(attempts=3, replaced=2), promise="the fallback model serves",
        ),
        Scenario(
            name="bytes that are no HTTP", models=["demo-garbage", HEALTHY], judge=served(attempts=3),
            promise="the fallback model serves",
        ),
        Scenario(
            name="silence", models=["demo-silent", HEALTHY],
            judge=quickly(lambda run: 2 * run.limits.attempt_s + 1.5, served(attempts=3)),
            promise="the fallback model serves after two time limits",
        ),
        Scenario(
            name="very late first token", models=[f"demo-late-token-{late}", HEALTHY], requests=STREAM,
            judge=quickly(lambda run: 2 * run.limits.attempt_s + 1.5, served(attempts=3, stream=True)),
            promise="the head alone is no answer: the fallback model serves after two time limits",
        ),
        Scenario(
            name="late first token, in time", models=[f"demo-fast-late-token-{slow}", HEALTHY], requests=STREAM,
            judge=served(attempts=1, stream=True, by=f"demo-fast-late-token-{slow}"),
            promise="it is waited for: no second attempt",
        ),
    ]  # fmt: skip


def _streams() -> list[Scenario]:
    return [
        Scenario(
            name="error as first event", models=["demo-error-first", HEALTHY], requests=STREAM,
            judge=served(attempts=3, stream=True), promise="the fallback model serves",
        ),
        Scenario(
            name="cut mid-stream", models=["demo-cut-5", HEALTHY], requests=STREAM,
            judge=broken_stream(code=NETWORK, texts=5), promise="five tokens, an error event, no end mark",
        ),
        Scenario(
            name="bad chunk mid-stream", models=["demo-bad-chunk-5", HEALTHY], requests=STREAM,
            judge=broken_stream(code=NETWORK, texts=5), promise="five tokens, an error event, no end mark",
        ),
        Scenario(
            name="stall mid-stream", models=["demo-stall-5", HEALTHY], requests=STREAM,
            judge=quickly(lambda run: run.limits.idle_s + 1.5, broken_stream(code=IDLE, texts=5)),
            promise="five tokens, after the idle limit an error event, no end mark",
        ),
        Scenario(
            name="error event mid-stream", models=["demo-error-mid-5", HEALTHY], requests=STREAM,
            judge=relayed_error(texts=5), promise="five tokens and the provider's error event, unchanged",
        ),
        Scenario(
            name="malformed event", models=["demo-malformed-5", HEALTHY], requests=STREAM,
            judge=tolerant(done=True, finish="stop"), promise="every token before and after it, and the end mark",
        ),
        Scenario(
            name="missing end mark", models=["demo-fast-no-done", HEALTHY], requests=STREAM,
            judge=tolerant(done=False, finish="stop"), promise="every token; no end mark is made up",
        ),
        Scenario(
            name="stream stops halfway", models=["demo-stop-5", HEALTHY], requests=STREAM,
            judge=broken_stream(code=NETWORK, texts=5), promise="five tokens, an error event, no end mark",
        ),
        Scenario(
            name="end mark, then silence", models=["demo-fast-done-hang", HEALTHY], requests=STREAM,
            judge=quickly(lambda run: 1.5, served(attempts=1, stream=True, by="demo-fast-done-hang")),
            promise="the client's stream ends within a second",
        ),
    ]  # fmt: skip


def _answers() -> list[Scenario]:
    return [
        Scenario(
            name="body cut in half", models=["demo-truncated-json", HEALTHY], judge=served(attempts=3),
            promise="the fallback model serves",
        ),
        Scenario(
            name="200 without a body", models=["demo-empty", HEALTHY], judge=served(attempts=3),
            promise="the fallback model serves",
        ),
        Scenario(
            name="JSON for a stream", models=["demo-json-for-stream", HEALTHY], requests=STREAM,
            judge=served(attempts=3, stream=True), promise="the fallback model serves",
        ),
    ]  # fmt: skip


def _formats(name: str, path: str, texts: int) -> list[Scenario]:
    """What differs from format to format: the first event, the error event, the end.

    ``texts``: so many are among the first five events that the demo provider counts as tokens.
    """
    requests = (Request(stream=True, path=path),)
    return [
        Scenario(
            name=f"no fault, {name}", models=[HEALTHY], requests=requests, judge=served(attempts=1, stream=True),
            promise="one attempt, every token",
        ),
        Scenario(
            name=f"error as first event, {name}", models=["demo-error-first", HEALTHY], requests=requests,
            judge=served(attempts=3, stream=True), promise="the fallback model serves",
        ),
        Scenario(
            name=f"cut mid-stream, {name}", models=["demo-cut-5", HEALTHY], requests=requests,
            judge=broken_stream(code=NETWORK, texts=texts),
            promise="what had come, the format's error event, no end mark",
        ),
        Scenario(
            name=f"stall mid-stream, {name}", models=["demo-stall-5", HEALTHY], requests=requests,
            judge=quickly(lambda run: run.limits.idle_s + 1.5, broken_stream(code=IDLE, texts=texts)),
            promise="what had come, after the idle limit the format's error event, no end mark",
        ),
    ]  # fmt: skip


def _clients(limits: Limits) -> list[Scenario]:
    return [
        Scenario(
            name="client leaves mid-stream", models=["demo:n=2000"], judge=left(delivered=5),
            requests=(Request(stream=True, leave_after=5),),
            promise="the provider is told at once; what was delivered is booked",
        ),
        Scenario(
            name="client leaves before an answer", models=["demo-silent"], judge=left(delivered=0),
            requests=(Request(leave_after_s=0.3 * limits.attempt_s),),
            promise="the provider is told at once, no second attempt, nothing is booked but the attempt",
        ),
        Scenario(
            name="no fault", models=[HEALTHY], judge=served(attempts=2), requests=(Request(times=2),),
            promise="one attempt each",
        ),
        Scenario(
            name="no fault, streamed", models=[HEALTHY], judge=served(attempts=1, stream=True), requests=STREAM,
            promise="one attempt, every token",
        ),
    ]  # fmt: skip
