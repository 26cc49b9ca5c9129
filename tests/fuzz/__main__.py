"""``python -m tests.fuzz loader --minutes 10``: fuzzes one target for a while; prints figures, and what broke.

The exit status is 1 if anything did. Each failing input is printed as Python, shortened, ready for a test.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.fuzz.mutations import Fuzzer, Report
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--failures", type=int, default=20, help="stop after so many")
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    fuzzer = Fuzzer(TARGETS[options.target](), options.seed)
    report: Report = fuzzer.run(lambda _: time.monotonic() > end, most_failures=options.failures)
    print(f"{options.target}, seed {options.seed}: {report}")
    print(f"slowest input: {report.slowest[:300]!r}")
    for text, error in report.failures:
        print(f"\n{type(error).__name__}: {str(error)[:500]}\n  {text[:2_000]!r}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
