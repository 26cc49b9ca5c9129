"""``gateway.ai.measure``: outcomes, bins, buckets (AG-124)."""

from __future__ import annotations

import pytest

from gateway.ai.measure import Bucket, Measure, Outcome, average_ms, bin_of, middle_of, percentiles_ms


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.SUCCESS), (204, Outcome.SUCCESS), (302, Outcome.SUCCESS), (400, Outcome.CLIENT),
        (408, Outcome.CLIENT), (429, Outcome.RATE_LIMIT), (499, Outcome.CLIENT), (500, Outcome.SERVER),
        (529, Outcome.SERVER), (0, Outcome.SERVER),
    ],
)  # fmt: skip
def test_outcome_of_status_ag_124(status, outcome):
    assert Outcome.of_status(status) is outcome


def test_bins_are_contiguous_and_narrow():
    seen = 0
    for us in [*range(5_000), *(int(1.01**power) for power in range(860, 2_800))]:
        index = bin_of(us)
        assert 0 <= index - seen <= max(1, us // 8)
        assert index < 2_048
        seen = index
        if us <= 30 * 86_400 * 1_000_000:
            assert abs(middle_of(index) - us) <= us / 64 + 0.5
    assert [bin_of(us) for us in range(60, 70)] == [60, 61, 62, 63, 64, 64, 65, 65, 66, 66]


def test_measure_in_microseconds():
    measure = Measure(Outcome.SUCCESS, gateway_s=0.0015, upstream_s=2.0)
    measure.stream(first_s=0.25, last_s=1.25, output_tokens=11)
    assert (measure.gateway_us, measure.upstream_us, measure.first_us, measure.per_token_us) == (
        1_500, 2_000_000, 250_000, 100_000,
    )  # fmt: skip


@pytest.mark.parametrize("tokens", [0, 1])
def test_time_per_token_needs_two_tokens_ag_124(tokens):
    measure = Measure(Outcome.SUCCESS)
    measure.stream(first_s=0.25, last_s=1.25, output_tokens=tokens)
    assert measure.per_token_us == -1


def test_unknown_times_are_left_out():
    bucket = Bucket(1)
    bucket.fold([Measure(Outcome.CONNECTION), Measure(Outcome.SUCCESS, gateway_s=0.0, upstream_s=0.004)])
    assert (bucket.count, bucket.failed, bucket.gateway_count, bucket.upstream_count) == (2, 1, 1, 1)
    assert bucket.first_count == 0


def test_outcomes_are_counted_apart():
    bucket = Bucket(1)
    bucket.fold_outcomes([Measure(outcome) for outcome in Outcome])
    assert (bucket.count, bucket.failed) == (7, 6)
    assert (bucket.rate_limit, bucket.client, bucket.server, bucket.timeout) == (1, 1, 1, 1)


def test_adding_and_taking_away_leaves_nothing():
    total, bucket = Bucket(0), Bucket(1)
    measure = Measure(Outcome.TIMEOUT, gateway_s=0.001, upstream_s=60.0)
    measure.stream(first_s=0.1, last_s=0.9, output_tokens=5)
    measure.tokens((1, 2), (3, 4))
    bucket.fold([measure, Measure(Outcome.SUCCESS, upstream_s=0.5)])
    total.add(bucket, 1)
    assert (total.count, total.provider_input, total.estimated_output) == (2, 1, 4)
    assert len(total.histogram) == 5
    total.add(bucket, -1)
    assert total.histogram == {}
    assert all(getattr(total, name) == 0 for name in Bucket.__slots__ if name not in ("histogram", "number"))


def test_averages_round():
    assert average_ms(3_400, 2) == 2
    assert average_ms(0, 0) is None


def test_percentile_is_the_nearest_rank():
    bucket, other = Bucket(1), Bucket(2)
    bucket.fold([Measure(Outcome.SUCCESS, upstream_s=0.1) for _ in range(95)])
    other.fold([Measure(Outcome.SUCCESS, upstream_s=9.0) for _ in range(5)])
    gateway, upstream, first, per_token = percentiles_ms(bucket.histogram, other.histogram)
    assert upstream == pytest.approx(100, rel=0.016)
    assert gateway is first is per_token is None
    other.fold([Measure(Outcome.SUCCESS, upstream_s=9.0)])
    assert percentiles_ms(bucket.histogram, other.histogram)[1] == pytest.approx(9_000, rel=0.016)
