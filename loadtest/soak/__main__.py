"""`python -m loadtest.soak`: exit status 0 if nothing stayed behind."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from gateway.demo.server import DemoProvider
from loadtest.processes import NotReadyError, Process, free_port
from loadtest.soak.report import WARM_UP_S, Figures, Sample, as_json, as_markdown
from loadtest.soak.traffic import Traffic

RESULTS = Path(__file__).parents[1] / "results"
MAX_REQUESTS = 1_000_000
SAMPLES = 200
#: after the last request: keep-alive connections of clients that hung up, usage events on their way
SETTLE_S = 3.0
GAUGES = ("aigw_inflight", "aigw_connections", "aigw_usage_dropped_total")


def configuration(base_url: str, port: int) -> dict[str, Any]:
    """One endpoint: a limit per caller, then a provider with two keys, and one whose key the caller names."""
    surfaces = [{"format": "openai"}, {"format": "anthropic"}]
    demo = {
        "id": "demo", "base_url": base_url, "supported_api_surfaces": surfaces,
        "api_keys": [{"value": "demo-key"}, {"value": "${req.headers['x-key'][0]}"}],
        "models": [{"id": "demo-fast", "pricing": {"text": {"input": "1", "output": "2"}}}],
    }  # fmt: skip
    limit = {
        "name": "callers", "algorithm": "sliding_window", "capacity": 1_000, "rate": "60s",
        "bucket_key": ["req.headers['x-user']"],
    }  # fmt: skip
    action = {"per_request_timeout": "10s", "total_timeout": "20s", "providers": [demo]}
    policy = {
        "on_http_request": [
            {"actions": [{"type": "rate-limit", "config": limit}]},
            {"actions": [{"type": "ai-gateway", "config": action}]},
        ]
    }
    return {"endpoints": [{"name": "soak", "listen": f"127.0.0.1:{port}", "traffic_policy": policy}]}


async def soak(requests: int, clients: int, seed: int, warm_up_s: float) -> Figures:
    """Starts everything, sends requests until that many have followed the warm-up, ends everything."""
    port, admin_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        home = Path(folder)
        async with DemoProvider(log_entries=16) as provider:
            config = home / "gateway.json"
            config.write_text(json.dumps(configuration(provider.base_url, port)))
            command = [
                sys.executable, "-m", "gateway", "serve", "--config", str(config), "--data-dir", str(home / "data"),
                "--admin-listen", f"127.0.0.1:{admin_port}", "--log-format", "text",
            ]  # fmt: skip
            process = Process(command, log=home / "gateway.log")
            try:
                await asyncio.to_thread(process.wait_for_port, port)
                token = (home / "data" / "admin-token").read_text().strip()
                progress = Progress(process, requests, warm_up_s)
                traffic = Traffic(
                    f"http://127.0.0.1:{port}", enough=progress.enough, clients=clients, seed=seed, tick=progress.tick
                )
                figures = await _measured(process, traffic, progress, f"http://127.0.0.1:{admin_port}", token, clients)
            finally:
                status = await asyncio.to_thread(process.stop)
            figures.status = status
            return figures


class Progress:
    """When there were enough requests, and how large the process was meanwhile."""

    def __init__(self, process: Process, requests: int, warm_up_s: float) -> None:
        self._process = process
        self._requests = requests
        self._warm_up_s = warm_up_s
        self._step = max(1, requests // SAMPLES)
        self._began = time.perf_counter()
        #: requests before those that count; None: it goes on
        self.warm_up: int | None = None
        self.samples: list[Sample] = []

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self._began

    def enough(self, sent: int) -> bool:
        """Nothing more is to be sent."""
        if self.warm_up is None and self.seconds >= self._warm_up_s:
            self.warm_up = sent
        return self.warm_up is not None and sent - self.warm_up >= self._requests

    def tick(self, sent: int) -> None:
        """One more request."""
        if sent % self._step == 0:
            self.samples.append(Sample(sent, round(self.seconds, 1), self._process.rss_kib()))
            if len(self.samples) % (SAMPLES // 10) == 0:
                print(f"{sent:>9,} requests  {self.samples[-1].rss_kib / 1_024:7.1f} MiB", flush=True)


async def _measured(
    process: Process, traffic: Traffic, progress: Progress, admin: str, token: str, clients: int
) -> Figures:
    before = await _gauges(admin, token)
    before["descriptors"] = _descriptors(process.pid)
    counts = await traffic.run()
    seconds = progress.seconds
    await asyncio.sleep(SETTLE_S)
    after = await _gauges(admin, token)
    # connections to the provider that wait for the next request are the pool's, and bounded by the clients
    after["descriptors"] = max(before["descriptors"], _descriptors(process.pid) - clients)
    gauges = {name: (before[name], after[name]) for name in before}
    warm_up = progress.warm_up or 0
    return Figures(
        counts.sent - warm_up, warm_up, seconds, progress.samples, gauges, dict(counts.by_kind), dict(counts.wrong)
    )


async def _gauges(admin: str, token: str) -> dict[str, float]:
    """The gauges of ``/metrics`` and what the live document still shows."""
    async with aiohttp.ClientSession(admin, headers={"authorization": f"Bearer {token}"}) as session:
        async with session.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        async with session.get("/ext/live") as answer:
            live = await answer.json()
    found = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name in GAUGES}
    return {**found, "requests in the live document": float(len(live["live"]))}


def _descriptors(pid: int) -> float:
    return float(len(list(Path(f"/proc/{pid}/fd").iterdir())))


def main() -> int:
    """Runs, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.soak", description="Does anything stay behind?")
    parser.add_argument("--requests", type=int, default=20_000, help=f"up to {MAX_REQUESTS:,} (default: 20,000)")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, help=f"seconds before (default: {WARM_UP_S:g})")
    parser.add_argument("--clients", type=int, default=32, help="requests at once, 1 to 256 (default: 32)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (default: 1)")
    parser.add_argument("--out", default="", help="report file, '-' for none (default: loadtest/results/soak.md)")
    options = parser.parse_args()
    if not (100 <= options.requests <= MAX_REQUESTS and 1 <= options.clients <= 256 and 0 <= options.warm_up <= 3_600):
        parser.error("out of bounds")
    try:
        figures = asyncio.run(soak(options.requests, options.clients, options.seed, options.warm_up))
    except NotReadyError as failed:
        print(failed, file=sys.stderr)
        return 2
    command = f"python -m loadtest.soak --requests {options.requests}"
    if options.warm_up != WARM_UP_S:
        command += f" --warm-up {options.warm_up:g}"
    report = as_markdown(figures, command)
    print(report)
    if options.out != "-":
        path = Path(options.out) if options.out else RESULTS / "soak.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(report)
        path.with_suffix(".json").write_text(as_json(figures))
    return 1 if figures.problems else 0


if __name__ == "__main__":
    sys.exit(main())
