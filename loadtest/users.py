"""What a load-test user does: mostly streams, some plain answers, some requests that need failover.

Settings come from the environment, since locust hands that on to its processes: LOADTEST_TOKENS, LOADTEST_DELAY_MS,
LOADTEST_REPORT (a file for the figures as JSON).
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

from locust import User, constant, events, task
from locust.env import Environment

from loadtest.histogram import Histogram
from loadtest.streamclient import StreamClient, StreamError

TOKENS = int(os.environ.get("LOADTEST_TOKENS", "40"))
DELAY_MS = int(os.environ.get("LOADTEST_DELAY_MS", "20"))
REPORT = os.environ.get("LOADTEST_REPORT", "")
PACED = f"demo:n={TOKENS},delay={DELAY_MS}ms"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Figures:
    """Everything the report needs, in bounded memory."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As if nothing had happened."""
        self.first = Histogram()
        self.gaps = Histogram()
        self.plain = Histogram()
        self.streams = 0
        self.events = 0
        self.requests = 0
        self.errors: dict[str, int] = {}
        self.started_s = time.monotonic()

    def as_dict(self) -> dict[str, object]:
        """For the runner."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        named = {"first_token": self.first, "gap": self.gaps, "plain": self.plain}
        quantiles = {
            name: {label: round(histogram.quantile(share) * 1_000, 3) for label, share in shares.items()}
            for name, histogram in named.items()
        }
        return {
            "seconds": round(time.monotonic() - self.started_s, 2), "requests": self.requests, "streams": self.streams,
            "events": self.events, "errors": self.errors, "milliseconds": quantiles,
        }  # fmt: skip


figures = Figures()  # one locust process is one test


class ChatUser(User):
    """One connection, one request at a time."""

    wait_time = constant(0)
    _numbers = itertools.count()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        target = urlsplit(self.host or "")
        if target.hostname not in _LOOPBACK:
            raise ValueError("load tests run against the loopback only")
        self._client = StreamClient(target.hostname, target.port or 80, "demo-key")
        self._number = next(self._numbers)
        self._asked = 0

    def on_stop(self) -> None:
        self._client.close()

    @task(8)
    def stream(self) -> None:
        self._ask("stream", [PACED], stream=True)

    @task(1)
    def plain(self) -> None:
        self._ask("plain", [PACED], stream=False)

    @task(1)
    def failover(self) -> None:
        """Two candidates fail before the third serves; the client must not notice."""
        self._ask("failover", ["demo-503", "demo-reset", PACED], stream=True)

    def _ask(self, name: str, models: list[str], *, stream: bool) -> None:
        self._asked += 1
        started, error, timing = time.perf_counter(), None, None
        try:
            timing = self._client.chat(
                models, f"user {self._number} request {self._asked}", stream=stream, expect=TOKENS
            )
        except StreamError as failed:
            error = failed
            figures.errors[f"{name}: {failed}"] = figures.errors.get(f"{name}: {failed}", 0) + 1
        figures.requests += 1
        if timing is not None and stream:
            figures.streams += 1
            figures.events += timing.events
            figures.first.add(timing.first_s)
            for gap in timing.gaps_s:
                figures.gaps.add(gap)
        elif timing is not None:
            figures.plain.add(timing.total_s)
        self.environment.events.request.fire(
            request_type="CHAT", name=name, response_time=(time.perf_counter() - started) * 1_000,
            response_length=timing.events if timing else 0, exception=error, context={},
        )  # fmt: skip


@events.test_start.add_listener
def _start(**_: object) -> None:
    figures.reset()


@events.test_stop.add_listener
def _stop(**_: object) -> None:
    if REPORT:
        Path(REPORT).write_text(json.dumps(figures.as_dict()))
