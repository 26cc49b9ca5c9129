"""The Prometheus text format, read back by Prometheus' own parser."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.observability.exposition import Exposition, labels_text


def families(shown: Exposition) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """Family → (sample name, labels, value)."""
    return {
        family.name: [(sample.name, sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(shown.text().decode())
    }


def test_counters_gauges_and_families_without_samples():
    shown = Exposition()
    family = shown.counter("a_total", "A")
    family.add(3, labels_text(x="1"))
    shown.gauge("b", "B").add(2.5)
    shown.counter("c_total", "C")
    family.add(Decimal("0.00001"), labels_text(x="2"))
    assert families(shown) == {
        "a": [("a_total", {"x": "1"}, 3.0), ("a_total", {"x": "2"}, 0.00001)],
        "b": [("b", {}, 2.5)],
        "c": [],
    }


def test_histograms_are_cumulated():
    shown = Exposition()
    family = shown.histogram("h_seconds", "H", (0.1, 1.0))
    family.add_counts([1, 2, 1], 4, 12.5, labels_text(m="x"))
    family.add_counts([0, 0, 0], 0, 0)
    assert families(shown)["h_seconds"] == [
        ("h_seconds_bucket", {"m": "x", "le": "0.1"}, 1.0),
        ("h_seconds_bucket", {"m": "x", "le": "1.0"}, 3.0),
        ("h_seconds_bucket", {"m": "x", "le": "+Inf"}, 4.0),
        ("h_seconds_sum", {"m": "x"}, 12.5),
        ("h_seconds_count", {"m": "x"}, 4.0),
        ("h_seconds_bucket", {"le": "0.1"}, 0.0),
        ("h_seconds_bucket", {"le": "1.0"}, 0.0),
        ("h_seconds_bucket", {"le": "+Inf"}, 0.0),
        ("h_seconds_sum", {}, 0.0),
        ("h_seconds_count", {}, 0.0),
    ]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r"), max_size=20))
def test_any_label_value_survives(text):
    shown = Exposition()
    shown.gauge("g", "several\nlines \\ here").add(1, labels_text(label=text))
    assert families(shown)["g"] == [("g", {"label": text}, 1.0)]
