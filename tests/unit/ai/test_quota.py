"""``gateway.ai.quota``: headers, resets, forecasts (AG-121, AG-130, AG-131, AG-178)."""

from __future__ import annotations

from math import inf

import pytest

from gateway.ai.quota import Quota, parse_count, parse_reset, parse_retry_after
from gateway.clock import ManualClock
from gateway.headers import HeaderMap
from tests.unit.ai.selection_kit import quota_headers

#: 2026-08-01T12:00:00Z
NOON = 1_785_585_600.0


class Observed:
    """A quota on a clock of its own."""

    def __init__(self) -> None:
        self.clock = ManualClock(now_s=NOON)
        self.quota = Quota(self.clock.monotonic)

    def see(self, headers: HeaderMap | dict[str, str], status: int = 200, *, settle: bool = True) -> None:
        found = headers if isinstance(headers, HeaderMap) else HeaderMap.of(list(headers.items()))
        self.quota.observe(found, status, self.clock.monotonic(), self.clock.now())
        if settle:
            self.quota.settle(self.clock.monotonic())

    def after(self, seconds: float) -> Quota:
        self.clock.advance(seconds)
        self.quota.settle(self.clock.monotonic())
        return self.quota

    @property
    def shown(self) -> tuple[int | None, int | None, int | None, int | None]:
        quota = self.quota
        return quota.limit_requests, quota.remaining_requests, quota.limit_tokens, quota.remaining_tokens


@pytest.fixture
def observed() -> Observed:
    return Observed()


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("4999", 4999), ("1" * 18, int("1" * 18)), ("1" * 19, None), ("", None), (None, None), ("-1", None),
     ("+1", None), ("1.5", None), ("1_000", None), (" 5", None), ("٣", None), ("many", None)],
)  # fmt: skip
def test_counts(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0), ("6m0s", 360.0), ("1h2m3s", 3_723.0), ("120ms", 0.12), ("1m30.5s", 90.5), ("500us", 0.000_5),
        ("250µs", 0.000_25), ("0s", 0.0), ("7", 7.0), ("1.5", 1.5), ("0", 0.0), ("100h", 86_400.0),
        ("999999999999", 86_400.0),
        ("2026-08-01T12:00:30Z", 30.0), ("2026-08-01T14:00:30+02:00", 30.0), ("2026-08-01T12:00:30.250Z", 30.25),
        ("2026-08-01T11:00:00Z", 0.0), ("2026-08-01T12:00:30", 30.0), ("2099-01-01T00:00:00Z", 86_400.0),
        ("", None), (None, None), ("soon", None), ("1x", None), ("-5s", None), ("-5", None), ("1s 2s", None),
        ("2026-13-01T00:00:00Z", None), ("\u0661s", None), ("9" * 65, None),
    ],
)  # fmt: skip
def test_resets_ag_130(text, seconds):
    assert parse_reset(text, NOON) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "20"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "20"}, 20.0),
        ({"retry-after": "Sat, 01 Aug 2026 12:00:45 GMT"}, 45.0),
        ({"retry-after": "Sat, 01 Aug 2026 11:00:45 GMT"}, 0.0),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after_ag_178(headers, seconds):
    assert parse_retry_after(HeaderMap.of(list(headers.items())), NOON) == seconds


class TestHeaders:
    def test_openai_family_ag_130(self, observed):
        observed.see({
            "x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-reset-requests": "12ms", "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6m0s",
        })  # fmt: skip
        assert observed.shown == (5000, 4999, 160_000, 149_984)
        observed.after(0.02)
        assert observed.shown == (5000, 5000, 160_000, 149_984)
        observed.after(360)
        assert observed.shown == (5000, 5000, 160_000, 160_000)

    def test_anthropic_family_ag_130(self, observed):
        observed.see({
            "anthropic-ratelimit-requests-limit": "4000", "anthropic-ratelimit-requests-remaining": "3999",
            "anthropic-ratelimit-requests-reset": "2026-08-01T12:01:00Z", "anthropic-ratelimit-tokens-limit": "400000",
            "anthropic-ratelimit-tokens-remaining": "399000",
            "anthropic-ratelimit-tokens-reset": "2026-08-01T12:00:10Z",
        })  # fmt: skip
        assert observed.shown == (4000, 3999, 400_000, 399_000)
        observed.after(10.5)
        assert observed.shown == (4000, 3999, 400_000, 400_000)
        observed.after(50)
        assert observed.shown == (4000, 4000, 400_000, 400_000)

    def test_an_absolute_reset_that_repeats_is_read_again(self, observed):
        headers = {
            "anthropic-ratelimit-requests-limit": "9", "anthropic-ratelimit-requests-remaining": "1",
            "anthropic-ratelimit-requests-reset": "2026-08-01T12:01:00Z",
        }  # fmt: skip
        observed.see(headers)
        observed.clock.advance(30)
        observed.see(headers)
        assert observed.after(29).remaining_requests == 1
        assert observed.after(2).remaining_requests == 9

    def test_a_duration_that_repeats_starts_again(self, observed):
        observed.see(quota_headers(3, 9, "40s"))
        observed.clock.advance(30)
        observed.see(quota_headers(3, 9, "40s"))
        assert observed.after(39).remaining_requests == 3
        assert observed.after(2).remaining_requests == 9

    def test_without_a_reset_sixty_seconds_ag_131(self, observed):
        observed.see({"x-ratelimit-remaining-requests": "3"})
        assert observed.after(59.9).remaining_requests == 3
        assert observed.after(0.2).remaining_requests is None

    def test_unparsable_values_are_ignored_ag_131(self, observed):
        observed.see(quota_headers(7, 10))
        observed.see(quota_headers("lots", "all"))
        assert observed.shown == (10, 7, None, None)

    @pytest.mark.parametrize("settle", [True, False])
    def test_what_a_later_head_does_not_say_stands(self, observed, settle):
        observed.see(quota_headers(7, 10), settle=settle)
        observed.see({"x-ratelimit-limit-requests": "12"}, settle=settle)
        observed.see({"x-ratelimit-remaining-requests": "few"}, settle=settle)
        observed.see({"content-type": "text/plain"}, 500, settle=settle)
        observed.after(0)
        assert observed.shown == (12, 7, None, None)

    def test_only_the_newest_of_unread_heads_counts(self, observed):
        for remaining in (9, 8, 7):
            observed.see(quota_headers(remaining, 10), settle=False)
        observed.after(0)
        assert observed.shown == (10, 7, None, None)


class TestWithoutHeaders:
    """AG-131: a 429 without quota headers."""

    def test_it_means_no_requests_until_retry_after(self, observed):
        observed.see({"retry-after": "20"}, 429)
        assert observed.quota.remaining_requests == 0
        assert observed.after(19.9).remaining_requests == 0
        assert observed.after(0.2).remaining_requests is None

    def test_sixty_seconds_without_one_then_the_limit(self, observed):
        observed.see(quota_headers(7, 10, "1s"))
        observed.see({}, 429)
        assert observed.quota.remaining_requests == 0
        assert observed.after(59.9).remaining_requests == 0
        assert observed.after(0.2).remaining_requests == 10

    def test_with_headers_they_count(self, observed):
        observed.see(quota_headers(3, 10), 429)
        assert observed.quota.remaining_requests == 3

    def test_other_statuses_mean_nothing(self, observed):
        observed.see({"retry-after": "20"}, 503)
        assert observed.quota.remaining_requests is None


class TestForecast:
    def test_unknown_and_idle_are_null(self, observed):
        assert observed.quota.exhausted_in_s is None
        observed.see(quota_headers(50, 100))
        assert observed.quota.exhausted_in_s is None

    def test_linear_consumption_p40(self, observed):
        for remaining in (100, 90, 80):
            observed.see(quota_headers(remaining, 100))
            observed.clock.advance(1)
        # 10 a second; one second has passed since 80 was seen
        assert observed.quota.exhausted_in_s == pytest.approx(7.0)
        observed.clock.advance(30)
        assert observed.quota.exhausted_in_s == 0.0

    def test_null_when_the_reset_comes_first(self, observed):
        for remaining in (100, 90, 80):
            observed.see(quota_headers(remaining, 100, "5s"))
            observed.clock.advance(1)
        assert observed.quota.exhausted_in_s is None

    def test_zero_when_exhausted(self, observed):
        observed.see(quota_headers(0, 100))
        assert observed.quota.exhausted_in_s == 0.0

    def test_the_sooner_kind_counts(self, observed):
        for step in range(3):
            headers = quota_headers(1_000 - step, 1_000)
            headers.add("x-ratelimit-remaining-tokens", str(900 - 300 * step))
            observed.see(headers)
            observed.clock.advance(1)
        assert observed.quota.exhausted_in_s == pytest.approx(0.0, abs=0.01)

    def test_a_refilled_quota_starts_anew(self, observed):
        for remaining in (100, 10, 95, 94):
            observed.see(quota_headers(remaining, 100))
            observed.clock.advance(1)
        assert observed.quota.exhausted_in_s is None  # one a second: the reset comes first

    def test_it_looks_back_two_minutes_at_most(self, observed):
        for second in range(400):
            fast = second >= 280
            remaining = 100_000 - second - (600 * (second - 280) if fast else 0)
            observed.see(quota_headers(remaining, 100_000, "10h"))
            observed.clock.advance(1)
        # 28,201 are left at 601 a second, although it began with one a second
        assert observed.quota.exhausted_in_s == pytest.approx(46, abs=2)


class TestBookkeeping:
    def test_due_is_the_next_change(self, observed):
        assert observed.quota.due_s == inf
        observed.see(quota_headers(5, 10, "8s"))
        assert observed.quota.due_s == pytest.approx(observed.clock.monotonic() + 8)
        assert observed.after(9).due_s == inf

    def test_version_grows_only_with_visible_changes(self, observed):
        observed.see(quota_headers(5, 10))
        version = observed.quota.version
        observed.see(quota_headers(5, 10))
        assert observed.quota.version == version
        observed.see(quota_headers(4, 10))
        assert observed.quota.version == version + 1
        assert observed.after(61).version == version + 2

    def test_exhausted_reset(self, observed):
        assert observed.quota.exhausted_reset_s() is None
        headers = quota_headers(0, 10, "8s")
        headers.add("x-ratelimit-remaining-tokens", "0")
        headers.add("x-ratelimit-reset-tokens", "3s")
        observed.see(headers)
        assert observed.quota.exhausted_reset_s() == pytest.approx(observed.clock.monotonic() + 8)
