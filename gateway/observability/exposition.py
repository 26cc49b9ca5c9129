"""The Prometheus text format, version 0.0.4: families, their samples, and the escapes. Pure.

Knows no metric of this gateway: those are named where their numbers are known (``app.scrape``). Families take samples
one by one and in any order, so that whoever collects them can pause in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

Value = int | float | Decimal
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def labels_text(**labels: str) -> str:
    """``labels_text(provider="openai", model="gpt-4o")`` → ``provider="openai",model="gpt-4o"``."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())


class Family:
    """A counter or a gauge."""

    def __init__(self, name: str, kind: str, help_text: str) -> None:
        self._name = name
        help_text = help_text.replace("\\", "\\\\").replace("\n", "\\n")
        self.lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]

    def add(self, value: Value, labels: str = "") -> None:
        """One sample; ``labels`` as ``labels_text`` writes them."""
        self.lines.append(f"{self._name}{{{labels}}} {_number(value)}" if labels else f"{self._name} {_number(value)}")


class Histogram(Family):
    """A histogram; ``bounds`` are its upper bounds, ascending."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float]) -> None:
        super().__init__(name, "histogram", help_text)
        self._bounds = [f'le="{_number(bound)}"' for bound in bounds]

    def add_counts(self, counts: Sequence[int], total: int, total_sum: float, labels: str = "") -> None:
        """``counts``: between one bound and the next, from the lowest on; ``total``: all values, also those above."""
        name, so_far = self._name, 0
        prefix = f"{labels}," if labels else ""
        for bound, count in zip(self._bounds, counts, strict=False):  # what lies above all bounds is in the total
            so_far += count
            self.lines.append(f"{name}_bucket{{{prefix}{bound}}} {so_far}")
        self.lines.append(f'{name}_bucket{{{prefix}le="+Inf"}} {total}')
        braced = f"{{{labels}}}" if labels else ""
        self.lines.append(f"{name}_sum{braced} {_number(total_sum)}")
        self.lines.append(f"{name}_count{braced} {total}")


class Exposition:
    """Families in the order in which they were named; ``text`` is the whole document."""

    def __init__(self) -> None:
        self._families: list[Family] = []

    def counter(self, name: str, help_text: str) -> Family:
        """A family of counters; the name ends in ``_total``."""
        return self._added(Family(name, "counter", help_text))

    def gauge(self, name: str, help_text: str) -> Family:
        """A family of gauges."""
        return self._added(Family(name, "gauge", help_text))

    def histogram(self, name: str, help_text: str, bounds: Sequence[float]) -> Histogram:
        """A family of histograms."""
        family = Histogram(name, help_text, bounds)
        self._added(family)
        return family

    def text(self) -> bytes:
        """The document."""
        return "".join(f"{line}\n" for family in self._families for line in family.lines).encode("utf-8", "replace")

    def _added(self, family: Family) -> Family:
        self._families.append(family)
        return family


def _number(value: Value) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else repr(value)
