"""The gateway process, the demo provider in front of it, and the run of all scenarios."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from gateway.demo.server import DemoProvider
from loadtest.processes import NotReadyError, Process
from loadtest.scorecard.client import ask
from loadtest.scorecard.judges import Meters, agree, booked
from loadtest.scorecard.model import PRICE, Card, Limits, Result, Run, Scenario, Seen

#: scenarios at once; each has its own provider entry and keys, so that they do not disturb each other
AT_ONCE = 4
_START_S = 30.0
_METER = re.compile(r'^aigw_(tokens|cost_usd)_total\{provider="([^"]+)"[^}]*\} (\S+)$', re.MULTILINE)
#: events are written in batches (AG-288) and readable within two seconds (CP-51)
_BOOKS_S = 4.0
_TOLD_TURNS, _TOLD_TURN_S = 50, 0.02


class Stage:
    """A running gateway."""

    def __init__(self, provider: DemoProvider, url: str, admin_url: str, token: str, limits: Limits) -> None:
        self.provider = provider
        self.url = url
        self._admin_url = admin_url
        self._token = token
        self._limits = limits
        self._began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)

    async def run(self, scenarios: Sequence[Scenario]) -> list[Result]:
        """All of them; the books are read once, at the end."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, scenario: Scenario) -> tuple[list[Seen], float]:
            async with gate:
                began = time.perf_counter()
                seen = await self._play(number, scenario)
                return seen, time.perf_counter() - began

        played = await asyncio.gather(*(one(number, each) for number, each in enumerate(scenarios)))
        sent = sum(len(self._upstream(number)) for number in range(len(scenarios)))
        books = await self._books(sent)
        results = [
            self._judge(number, scenario, seen, books, seconds)
            for number, (scenario, (seen, seconds)) in enumerate(zip(scenarios, played, strict=True))
        ]
        return [*results, self._account(results, books, await self._read_meters())]

    def _account(self, results: Sequence[Result], books: list[dict[str, Any]], meters: Meters) -> Result:
        """All endings together: what was asked, what is in the books, what the counters say."""
        card = Card()
        requests, attempts = sum(each.requests for each in results), sum(each.attempts for each in results)
        agree(card, requests, books, meters)
        promise = "over all of the above: usage and cost booked once per ending, the same in `/usage` and `/metrics`"
        return Result("accounting", promise, card.verdict, card.reason, requests, attempts, 0.0)

    async def _read_meters(self) -> Meters:
        """Tokens and cost per provider, from ``/metrics``."""
        meters: Meters = {}
        headers = {"authorization": f"Bearer {self._token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self._admin_url}/metrics") as answer,
        ):
            text = await answer.text()
        for name, provider, value in _METER.findall(text):
            tokens, cost = meters.get(provider, (0, Decimal(0)))
            meters[provider] = (tokens + int(value), cost) if name == "tokens" else (tokens, cost + Decimal(value))
        return meters

    async def _play(self, number: int, scenario: Scenario) -> list[Seen]:
        models = [f"{provider_id(number)}:{model}" for model in scenario.models]
        seen = []
        async with aiohttp.ClientSession(self.url) as session:
            for request in scenario.requests:
                for _ in range(request.times):
                    seen.append(await ask(session, models, request))  # noqa: PERF401 - one after the other
        if any(each.left for each in seen):
            await self._until_told(number)
        return seen

    async def _until_told(self, number: int) -> None:
        """The provider has to notice within a quarter of a second (P04); the machine gets a second."""
        for _ in range(_TOLD_TURNS):
            if all(each.aborted for each in self._upstream(number)):
                return
            await asyncio.sleep(_TOLD_TURN_S)

    def _upstream(self, number: int) -> list[Any]:
        """What reached the provider for one scenario: its keys say which."""
        tag = f",in={input_tokens(number)}"
        return [received for received in self.provider.requests if received.key.endswith(tag)]

    async def _books(self, expected: int) -> list[dict[str, Any]]:
        """Every usage event since the start, oldest first."""
        give_up = time.monotonic() + _BOOKS_S
        while True:
            events = await self._read_usage()
            if len(events) >= expected or time.monotonic() > give_up:
                return events[::-1]
            await asyncio.sleep(0.2)

    async def _read_usage(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        start = self._began.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        url: str | None = f"{self._admin_url}/usage?includeRetries=true&startTime={start}"
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {self._token}"}) as session:
            while url is not None:
                async with session.get(url) as answer:
                    page = await answer.json()
                found += page["aiGatewayUsage"]
                url = page["nextPageUri"]
        return found

    def _judge(
        self, number: int, scenario: Scenario, seen: list[Seen], books: list[dict[str, Any]], seconds: float
    ) -> Result:
        usage = [event for event in books if event["provider"] == provider_id(number)]
        run = Run(seen, self._upstream(number), usage, self._limits)
        card = Card()
        scenario.judge(run, card)
        booked(run, card, scenario.replaced)
        return Result(
            scenario.name, scenario.promise, card.verdict, card.reason, len(seen), len(run.upstream), round(seconds, 2)
        )


def provider_id(number: int) -> str:
    """``s07``: the provider entry of a scenario."""
    return f"s{number:02d}"


def input_tokens(number: int) -> int:
    """What the demo provider reports as input; it marks the scenario's keys."""
    return 100 + number


def configuration(scenarios: Sequence[Scenario], base_url: str, limits: Limits) -> dict[str, Any]:
    """One endpoint; every scenario has a provider entry of its own."""
    pricing = {"text": {"input": PRICE, "output": PRICE}}
    providers = [
        {
            "id": provider_id(number),
            "base_url": base_url,
            "supported_api_surfaces": [{"format": "openai"}, {"format": "anthropic"}],
            "api_keys": [
                {"value": f"demo-key{fault}:n=24,pad={place}B,in={input_tokens(number)}"}
                for place, fault in enumerate(scenario.keys)
            ],
            "models": [{"id": model, "pricing": pricing} for model in scenario.models],
        }
        for number, scenario in enumerate(scenarios)
    ]
    action = {
        "per_request_timeout": f"{limits.attempt_s * 1_000:.0f}ms", "total_timeout": "60s", "providers": providers,
    }  # fmt: skip
    policy = {"on_http_request": [{"type": "ai-gateway", "config": action}]}
    return {
        "endpoints": [{"name": "scorecard", "listen": "127.0.0.1:0", "traffic_policy": policy}],
        "ai": {"stream_idle_timeout": f"{limits.idle_s * 1_000:.0f}ms"},
    }


@asynccontextmanager
async def staged(scenarios: Sequence[Scenario], limits: Limits) -> AsyncIterator[Stage]:
    """A gateway process in front of a demo provider, ended at the end."""
    async with DemoProvider(log_entries=10_000) as provider:
        with tempfile.TemporaryDirectory(prefix="scorecard-") as folder:
            home = Path(folder)
            config = home / "gateway.json"
            config.write_text(json.dumps(configuration(scenarios, provider.base_url, limits)))
            command = [
                sys.executable, "-m", "gateway", "serve", "--config", str(config), "--data-dir", str(home / "data"),
                "--admin-listen", "127.0.0.1:0", "--log-format", "text",
            ]  # fmt: skip
            process = Process(command, log=home / "gateway.log")
            try:
                url, admin = await _addresses(process, home / "gateway.log")
                token = (home / "data" / "admin-token").read_text().strip()
                yield Stage(provider, url, f"http://{admin}", token, limits)
            finally:
                await asyncio.to_thread(process.stop)


async def _addresses(process: Process, log: Path) -> tuple[str, str]:
    """(URL, management address), once it listens."""
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up and process.running:
        text = await asyncio.to_thread(log.read_text, errors="replace")
        serving = re.search(r" listening on (http://\S+)", text)
        admin = re.search(r"management listens on (\S+)", text)
        if serving is not None and admin is not None:
            return serving[1], admin[1]
        await asyncio.sleep(0.05)
    raise NotReadyError(f"the gateway did not start: {process.log_tail()}")
