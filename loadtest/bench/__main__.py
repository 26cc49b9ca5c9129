"""`python -m loadtest.bench`: the command line, the interleaved run, the table."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtest.bench.cases import CASES, DEFAULT_CASES, Case
from loadtest.bench.check import run_checks
from loadtest.bench.targets import TARGETS, Target
from loadtest.machine import describe_commit, describe_machine, describe_program, describe_versions
from loadtest.processes import NotReadyError, Process, free_port

ROOT = Path(__file__).parents[2]
TARGET_CPU, LOAD_CPU = 0, 1
BASE = "nginx"
DEFAULT_TARGETS = "nginx,haproxy,gateway-bare,gateway"
#: figure → heading, decimals; those that a case does not have are left out
_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("requests_per_s", "req/s", 0),
    ("events_per_s", "events/s", 0),
    ("latency_p50_ms", "p50 ms", 2),
    ("latency_p99_ms", "p99 ms", 2),
    ("delay_p50_ms", "delay p50 ms", 3),
    ("delay_p99_ms", "delay p99 ms", 2),
    ("cpu_share", "CPU", 2),
    ("cpu_us_per_request", "µs/request", 1),
    ("cpu_us_per_event", "µs/event", 2),
    ("rss_mib", "RSS MiB", 0),
    ("kib_per_connection", "KiB/stream", 1),
)

#: connections from which on memory per connection means something
_MANY = 1_000

Figures = dict[str, Any]


class Running:
    """A started target."""

    def __init__(self, target: Target, process: Process, port: int) -> None:
        self.target = target
        self.process = process
        self.port = port
        self.idle_kib = process.rss_kib()


def main() -> int:
    """Exit status 1 if a target failed or a check did."""
    options = _parse()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    targets = [TARGETS[name] for name in options.targets.split(",")]
    missing = [target.program for target in targets if not target.installed]
    if missing:
        print(f"not installed: {', '.join(missing)} (Debian packages nginx-light, haproxy)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        upstream = free_port()
        mock = _python_process("loadtest.bench.mock", ["--port", str(upstream)], Path(folder) / "mock.log")
        stack.callback(mock.stop)
        try:
            mock.wait_for_port(upstream)
            running = [_start(target, Path(folder), upstream, stack) for target in targets]
        except NotReadyError as failed:
            print(failed, file=sys.stderr)
            return 2
        if options.check:
            return run_checks([(r.target.name, r.port, r.process) for r in running], upstream)
        cases = [CASES[name] for name in options.cases.split(",")]
        runs = _measure(running, cases, options)
    report = render(options, cases, [target.name for target in targets], runs)
    print(report)
    if options.out != "-":
        path = Path(options.out) if options.out else ROOT / "loadtest" / "results" / f"bench-{_today()}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(report)
        print(f"written to {path}")
    return 1 if any(figures["errors"] for found in runs.values() for figures in found) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench")
    parser.add_argument(
        "--targets", default=DEFAULT_TARGETS, help=f"of {', '.join(TARGETS)} (default: {DEFAULT_TARGETS})"
    )
    parser.add_argument("--cases", default=DEFAULT_CASES, help=f"of {', '.join(CASES)} (default: {DEFAULT_CASES})")
    parser.add_argument("--rounds", type=int, default=3, help="median of so many (default: 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="measured window (default: 3)")
    parser.add_argument("--warm", type=float, default=1.0, help="seconds before it (default: 1)")
    parser.add_argument(
        "--out", default="-", help="report file; '' for loadtest/results/bench-<date>.md (default: none)"
    )
    parser.add_argument("--check", action="store_true", help="check correctness instead of measuring")
    options = parser.parse_args()
    unknown = [t for t in options.targets.split(",") if t not in TARGETS]
    unknown += [c for c in options.cases.split(",") if c not in CASES]
    if unknown or not 1 <= options.rounds <= 20 or not 0.5 <= options.seconds <= 60:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "out of bounds")
    return options


def _python_process(module: str, arguments: Sequence[str], log: Path) -> Process:
    command = [sys.executable, "-m", module, *arguments]
    return Process(command, log=log, environment={"PYTHONPATH": str(ROOT)}, cpu=LOAD_CPU)


def _start(target: Target, folder: Path, upstream: int, stack: ExitStack) -> Running:
    own = folder / target.name
    own.mkdir()
    port = free_port()
    command = target.command(own, port, upstream)
    process = Process(command, log=own / "log", environment={"PYTHONPATH": str(ROOT)}, cpu=TARGET_CPU)
    stack.callback(process.stop)
    try:
        process.wait_for_port(port)
    except NotReadyError as failed:
        raise NotReadyError(f"{target.name}: {failed}") from None
    return Running(target, process, port)


def _measure(
    running: Sequence[Running], cases: Sequence[Case], options: argparse.Namespace
) -> dict[tuple[str, str], list[Figures]]:
    """Each round runs every case on every target in turn, so that a noisy moment hits all alike."""
    runs: dict[tuple[str, str], list[Figures]] = {}
    for number in range(options.rounds):
        for case in cases:
            for target in running:
                figures = _load(target, case, options)
                runs.setdefault((case.name, target.target.name), []).append(figures)
                if figures["errors"]:
                    print(f"{target.target.name} {case.name} round {number + 1}: {figures['errors']}", file=sys.stderr)
    return runs


def _load(target: Running, case: Case, options: argparse.Namespace) -> Figures:
    command = [
        sys.executable, "-m", "loadtest.bench.load", "--port", str(target.port), "--pid", str(target.process.pid),
        "--seconds", str(options.seconds), "--warm", str(options.warm), *case.arguments(),
    ]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        timeout=options.seconds + options.warm + 60, preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}),
    )  # fmt: skip
    if done.returncode:
        return {"errors": {done.stderr.strip().splitlines()[-1] if done.stderr else "load failed": 1}}
    figures: Figures = json.loads(done.stdout)
    if case.connections >= _MANY:
        figures["kib_per_connection"] = (figures["rss_mib"] * 1024 - target.idle_kib) / case.connections
    return figures


def render(
    options: argparse.Namespace, cases: Sequence[Case], names: Sequence[str],
    runs: Mapping[tuple[str, str], Sequence[Figures]],
) -> str:  # fmt: skip
    """The report as Markdown: a table per case, ratios to nginx."""
    command = f"python -m loadtest.bench --targets {options.targets} --cases {options.cases} --rounds {options.rounds}"
    programs = [describe_program(program) for program in ("nginx", "haproxy") if program in names]
    lines = [
        f"# Cost per request and event, {_today()}",
        "",
        f"`{command} --seconds {options.seconds:g}` · commit {describe_commit()}",
        "",
        f"{describe_machine()}. {'; '.join([*programs, describe_versions('aiohttp', 'uvloop')])}. Target on CPU"
        f" {TARGET_CPU}, mock upstream and load generator on CPU {LOAD_CPU}. Medians of {options.rounds}. The last"
        " column is the target's CPU time per unit over nginx's.",
    ]
    for case in cases:
        medians = {name: _medians(runs.get((case.name, name), ())) for name in names}
        lines += ["", f"## {case.name}: {case.what}", "", *_table(case, medians)]
    return "\n".join(lines) + "\n"


def _medians(rounds: Sequence[Figures]) -> dict[str, float]:
    """Failed rounds are left out; '' errors count for all."""
    good = [figures for figures in rounds if "seconds" in figures]
    if not good:
        return {}
    return {key: statistics.median(figures[key] for figures in good) for key, _, _ in _COLUMNS if key in good[0]}


def _table(case: Case, medians: Mapping[str, Mapping[str, float]]) -> list[str]:
    columns = [column for column in _COLUMNS if any(found.get(column[0]) for found in medians.values())]
    if case.mode == "paced":
        columns = [column for column in columns if column[0] not in ("requests_per_s", "cpu_us_per_request")]
    cost = f"cpu_us_per_{case.unit}"
    base = medians.get(BASE, {}).get(cost)
    lines = ["| target | " + " | ".join(heading for _, heading, _ in columns) + " | x nginx |"]
    lines.append("|---|" + "---:|" * (len(columns) + 1))
    for name, found in medians.items():
        cells = [f"{found[key]:.{decimals}f}" if found.get(key) else "-" for key, _, decimals in columns]
        ratio = f"{found[cost] / base:.2f}" if base and found.get(cost) else "-"
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {ratio} |")
    return lines


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


if __name__ == "__main__":
    sys.exit(main())
