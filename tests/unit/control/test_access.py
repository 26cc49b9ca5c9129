"""Throttling in fake time, and the host check (CP-3, CP-4)."""

from __future__ import annotations

import pytest

from gateway.clock import ManualClock
from gateway.control.access import HostCheck, Throttle


def test_cp_3_a_sliding_minute():
    clock = ManualClock()
    throttle = Throttle(2, clock)
    waits = []
    for _ in range(3):
        waits.append(throttle.wait_s("a"))
        throttle.count("a")
        clock.advance(10)
    assert waits == [0, 0, 41]
    assert throttle.wait_s("b") == 0
    clock.advance(41)
    assert throttle.wait_s("a") == 0


def test_cp_3_zero_is_off():
    throttle = Throttle(0, ManualClock())
    for _ in range(5):
        throttle.count("a")
    assert throttle.wait_s("a") == 0


def test_p01_remembered_sources_are_bounded():
    throttle = Throttle(1, ManualClock())
    for number in range(10_050):
        throttle.count(f"2001:db8::{number:x}")
    assert len(throttle._seen) == 10_000
    assert throttle.wait_s("2001:db8::2741") > 0


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("localhost", True), ("LOCALHOST:4041", True), ("127.0.0.1:9", True), ("[::1]", True), ("::1", True),
        ("10.0.0.5:4041", True), ("10.0.0.6:4041", False), ("admin.example", True), ("admin.example.:4041", True),
        ("evil.example", False), ("", False), (None, False), ("localhost.evil", False), ("127.0.0.1.evil:1", False),
    ],
)  # fmt: skip
def test_cp_4_hosts(host, admitted):
    assert HostCheck("0.0.0.0", ("admin.example",)).admits(host, "10.0.0.5") is admitted
