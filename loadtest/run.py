"""One command for a load test: starts `gateway demo`, runs locust without its web page, reports, stops what it started.

python -m loadtest.run --shape steady --users 50 --seconds 20
python -m loadtest.run --shape ramp --users 200 --seconds 60 --tokens 100 --delay-ms 10
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from loadtest.machine import describe_commit, describe_machine, describe_versions
from loadtest.processes import NotReadyError, Process, free_port

HERE = Path(__file__).parent
MAX_USERS, MAX_SECONDS = 1_000, 600
SHAPES = ("steady", "ramp")


def main() -> int:
    """Exit status 0 if every request and every stream was right."""
    options = _parse()
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder:
        port = free_port()
        gateway = _start_gateway(Path(folder), port)
        try:
            gateway.wait_for_port(port)
            idle_kib, cpu_s = gateway.rss_kib(), gateway.cpu_s()
            figures = _run_locust(options, Path(folder), f"http://127.0.0.1:{port}")
            cpu_s = gateway.cpu_s() - cpu_s
            memory = (idle_kib, gateway.rss_kib(), gateway.peak_rss_kib())
        except NotReadyError as failed:
            print(f"the gateway did not start: {failed}", file=sys.stderr)
            return 2
        finally:
            status = gateway.stop()
        report = render(options, figures, cpu_s, memory, status)
    print(report)
    if options.out != "-":
        path = Path(options.out) if options.out else HERE / "results" / f"load-{options.shape}-{_today()}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(report)
        print(f"written to {path}")
    return 1 if figures["errors"] or not figures["requests"] or status else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.run", description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="steady")
    parser.add_argument("--users", type=int, default=50, help=f"streams at once, up to {MAX_USERS} (default: 50)")
    parser.add_argument(
        "--seconds", type=int, default=20, help=f"length of the test, up to {MAX_SECONDS} (default: 20)"
    )
    parser.add_argument("--tokens", type=int, default=40, help="tokens per answer (default: 40)")
    parser.add_argument("--delay-ms", type=int, default=20, help="between two tokens (default: 20)")
    parser.add_argument("--out", default="", help="report file, '-' for none (default: loadtest/results/)")
    options = parser.parse_args()
    if not (1 <= options.users <= MAX_USERS and 1 <= options.seconds <= MAX_SECONDS and 1 <= options.tokens <= 10_000):
        parser.error("out of bounds")
    return options


def _start_gateway(folder: Path, port: int) -> Process:
    environment = {"GATEWAY_ADMIN_LISTEN": f"127.0.0.1:{free_port()}", "GATEWAY_DATA_DIR": str(folder / "data")}
    command = [sys.executable, "-m", "gateway", "demo", "--listen", f"127.0.0.1:{port}", "--log-level", "warning"]
    return Process(command, log=folder / "gateway.log", environment=environment)


def _run_locust(options: argparse.Namespace, folder: Path, url: str) -> dict[str, Any]:
    figures = folder / "figures.json"
    environment = {
        **os.environ,
        "LOADTEST_USERS": str(options.users),
        "LOADTEST_SECONDS": str(options.seconds),
        "LOADTEST_TOKENS": str(options.tokens),
        "LOADTEST_DELAY_MS": str(options.delay_ms),
        "LOADTEST_REPORT": str(figures),
        "PYTHONPATH": str(HERE.parent),
    }
    command = [
        sys.executable, "-m", "locust", "-f", str(HERE / f"{options.shape}.py"), "--headless", "--host", url,
        "--stop-timeout", "30", "--only-summary", "--exit-code-on-error", "0", "--loglevel", "WARNING",
    ]  # fmt: skip
    limit_s = options.seconds + 60
    done = subprocess.run(command, env=environment, timeout=limit_s, capture_output=True, text=True, check=False)
    if not figures.exists():
        raise SystemExit(f"locust gave no figures:\n{done.stderr[-2_000:]}")
    read: dict[str, Any] = json.loads(figures.read_text())
    return read


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def render(
    options: argparse.Namespace, figures: dict[str, Any], cpu_s: float, memory: tuple[int, int, int], status: int
) -> str:
    """The report as Markdown."""
    seconds = figures["seconds"] or 1
    rows = [("first token", "first_token"), ("between tokens", "gap"), ("plain answer, whole", "plain")]
    failed = sum(figures["errors"].values())
    lines = [
        f"# Load test, {options.shape}: {options.users} users, {options.seconds} s",
        "",
        f"`python -m loadtest.run --shape {options.shape} --users {options.users} --seconds {options.seconds}"
        f" --tokens {options.tokens} --delay-ms {options.delay_ms}` · {_today()} · commit {describe_commit()}",
        "",
        f"{describe_machine()}. {describe_versions('aiohttp', 'uvloop', 'locust')}."
        " Gateway, demo provider (in its process) and locust share the machine.",
        "",
        "| ms | p50 | p90 | p99 | max |",
        "|---|---:|---:|---:|---:|",
    ]
    for label, name in rows:
        quantiles = figures["milliseconds"][name]
        lines.append(f"| {label} | " + " | ".join(f"{quantiles[q]:.2f}" for q in ("p50", "p90", "p99", "max")) + " |")
    lines += [
        "",
        f"{figures['requests']} requests ({figures['requests'] / seconds:.1f}/s), {figures['streams']} whole streams,"
        f" {figures['events']} tokens ({figures['events'] / seconds:.0f}/s), {failed} failed.",
        "",
        f"Gateway with provider: {cpu_s / seconds:.0%} of one CPU; resident memory {memory[0] / 1024:.0f} MiB before,"
        f" {memory[1] / 1024:.0f} after, {memory[2] / 1024:.0f} at most; exit status {status}.",
    ]
    if figures["errors"]:
        lines += ["", "| error | times |", "|---|---:|"]
        lines += [f"| {kind} | {count} |" for kind, count in sorted(figures["errors"].items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
