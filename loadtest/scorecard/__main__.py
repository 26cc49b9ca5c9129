"""`python -m loadtest.scorecard`: exit status 0 if every scenario passes."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from loadtest.processes import NotReadyError
from loadtest.scorecard.model import FAST, Limits, Result
from loadtest.scorecard.report import as_json, as_markdown, as_text
from loadtest.scorecard.scenarios import build_scenarios
from loadtest.scorecard.stage import staged

RESULTS = Path(__file__).parents[1] / "results"


async def _run(limits: Limits, only: str) -> list[Result]:
    scenarios = [each for each in build_scenarios(limits) if only in each.name]
    if not scenarios:
        raise SystemExit(f"no scenario has {only!r} in its name")
    async with staged(scenarios, limits) as stage:
        return await stage.run(scenarios)


def main() -> int:
    """Runs, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.scorecard", description="What clients see of faults.")
    parser.add_argument("--fast", action="store_true", help="short time limits; nothing is written")
    parser.add_argument("--only", metavar="TEXT", default="", help="only scenarios with this in their name")
    options = parser.parse_args()
    limits = FAST if options.fast else Limits()
    try:
        results = asyncio.run(_run(limits, options.only))
    except NotReadyError as failed:
        print(failed, file=sys.stderr)
        return 2
    print(as_text(results))
    if not (options.fast or options.only):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "scorecard.md").write_text(as_markdown(results, limits, "make scorecard"))
        (RESULTS / "scorecard.json").write_text(as_json(results, limits))
        print(f"written to {RESULTS / 'scorecard.md'}")
    return 0 if all(each.verdict == "pass" for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
