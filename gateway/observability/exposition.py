"""The Prometheus text format, version 0.0.4: families, their samples, and the escapes. Pure.

Knows no metric of this gateway: those are named where their numbers are known (``app.scrape``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

Labels = Mapping[str, str]
Value = int | float | Decimal
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Exposition:
    """Collects families; ``text`` is the whole document."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def counter(self, name: str, help_text: str, samples: Iterable[tuple[Labels, Value]]) -> None:
        """A family of counters; the name ends in ``_total``."""
        self._family(name, "counter", help_text)
        self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]

    def gauge(self, name: str, help_text: str, samples: Iterable[tuple[Labels, Value]]) -> None:
        """A family of gauges."""
        self._family(name, "gauge", help_text)
        self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]

    def histogram(
        self,
        name: str,
        help_text: str,
        bounds: Sequence[float],
        samples: Iterable[tuple[Labels, Sequence[int], int, float]],
    ) -> None:
        """``samples``: labels, cumulated counts for ``bounds``, count of all, sum of all."""
        self._family(name, "histogram", help_text)
        for labels, counts, total, total_sum in samples:
            for bound, count in zip(bounds, counts, strict=True):
                self._lines.append(f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {count}")
            self._lines.append(f"{name}_bucket{_labels({**labels, 'le': '+Inf'})} {total}")
            self._lines.append(f"{name}_sum{_labels(labels)} {_number(total_sum)}")
            self._lines.append(f"{name}_count{_labels(labels)} {total}")

    def text(self) -> bytes:
        """The document."""
        return ("\n".join(self._lines) + "\n").encode("utf-8", "replace")

    def _family(self, name: str, kind: str, help_text: str) -> None:
        help_text = help_text.replace("\\", "\\\\").replace("\n", "\\n")
        self._lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()) + "}"


def _number(value: Value) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else repr(value)
