"""Buckets, limiters and their table (TP-266, TP-269, TP-276 … TP-281)."""

from __future__ import annotations

import gc
import hashlib
import pickle
from typing import Any
from unittest import mock

import pytest

from gateway.clock import ManualClock
from gateway.limiter import buckets
from gateway.limiter.buckets import Limiter, LimiterIdentity, LimiterTable, bucket_key

MINUTE = 60 * 10**9


def identity(**changes: Any) -> LimiterIdentity:
    return LimiterIdentity("ep_1", "per-key", MINUTE, 3, ("req.headers['authorization']",), 0)._replace(**changes)


def key(name: str) -> bytes:
    return bucket_key(name.encode())


def test_the_key_is_the_sha256_of_the_text_tp269() -> None:
    assert bucket_key(b'[["Bearer x"]]') == hashlib.sha256(b'[["Bearer x"]]').digest()


def test_the_key_without_the_interpreters_own_hash_is_the_same() -> None:
    with mock.patch("importlib.import_module", side_effect=ImportError):
        assert buckets._sha256()(b"x").digest() == hashlib.sha256(b"x").digest()


def test_retry_after_is_in_whole_seconds_tp280_tp281() -> None:
    limiter = LimiterTable().limiter(identity())
    clock = ManualClock()
    start = clock.monotonic()
    answers = []
    for t in (0, 1, 2, 3, 59.5, 60, 60.5, 61):
        clock.advance(start + t - clock.monotonic())
        answers.append(limiter.admit(key("a"), clock.monotonic()))
    assert answers == [0, 0, 0, 57, 1, 0, 1, 0]


def test_small_steps_of_the_clock_add_up_to_the_window() -> None:
    """600 steps of a tenth are a minute, though their floating-point sum is not."""
    limiter = LimiterTable().limiter(identity(capacity=1))
    clock = ManualClock(monotonic_s=0.0)
    limiter.admit(key("a"), clock.monotonic())
    for _ in range(600):
        clock.advance(0.1)
    assert clock.monotonic() != 60.0
    assert limiter.admit(key("a"), clock.monotonic()) == 0


def test_keys_do_not_share_counts() -> None:
    limiter = LimiterTable().limiter(identity(capacity=1))
    assert [limiter.admit(key(name), 1.0) for name in "abab"] == [0, 0, 60, 60]


def test_the_same_identity_keeps_its_counts_over_a_reload_tp269() -> None:
    table = LimiterTable()
    assert [table.limiter(identity()).admit(key("a"), 1.0) for _ in range(4)] == [0, 0, 0, 60]
    table.retain([identity()])
    assert table.limiter(identity()).admit(key("a"), 1.0) == 60


@pytest.mark.parametrize(
    "changes",
    [{"endpoint": "ep_2"}, {"name": "n"}, {"width": 1}, {"capacity": 4}, {"bucket_key": ("1",)}, {"ordinal": 1}],
)
def test_every_part_of_the_identity_counts_tp269(changes: dict[str, object]) -> None:
    table = LimiterTable()
    assert table.limiter(identity()) is table.limiter(identity())
    assert table.limiter(identity(**changes)) is not table.limiter(identity())


def test_an_edit_taken_back_within_the_window_finds_its_counts() -> None:
    table = LimiterTable()
    for _ in range(3):
        table.limiter(identity()).admit(key("a"), 1.0)
    table.limiter(identity(capacity=4))
    table.retain([identity(capacity=4)])
    table.drop_empty(59.0)
    assert table.limiter(identity()).admit(key("a"), 60.0) == 1


def test_a_limiter_without_a_policy_leaves_when_it_is_empty() -> None:
    table = LimiterTable()
    old = table.limiter(identity())
    old.admit(key("a"), 1.0)
    table.retain([])
    assert table.live == 1
    table.drop_empty(61.0)
    assert table.live == 0
    assert table.limiter(identity()) is not old


def test_a_request_under_the_old_configuration_still_meets_its_limit() -> None:
    """The limiter has left the table; what runs late counts there and nowhere else."""
    table = LimiterTable()
    old = table.limiter(identity(capacity=1))
    table.retain([])
    assert [old.admit(key("a"), 1.0), old.admit(key("a"), 1.0)] == [0, 60]
    assert table.live == 0


def test_empty_buckets_are_dropped_while_others_arrive_tp277() -> None:
    limiter = LimiterTable().limiter(identity())
    for n in range(20_000):
        limiter.admit(key(str(n)), n * 0.1)
    # 600 still count; a few hundred more may wait for their turn
    assert 600 <= limiter.live <= 600 + 512


def test_idle_memory_returns_by_housekeeping_tp277() -> None:
    table = LimiterTable()
    for limiter in (table.limiter(identity()), table.limiter(identity(name="other", width=2 * MINUTE))):
        for n in range(10_000):
            limiter.admit(key(str(n)), 1.0)
    assert table.live == 20_000
    rounds = 0
    while table.drop_empty(61.0) or rounds < 5:
        rounds += 1
    assert table.live == 10_000
    while table.drop_empty(121.0):
        pass
    assert table.live == 0


def test_a_busy_bucket_survives_housekeeping() -> None:
    """Order is by the latest admission: the oldest key in use is not the first to go."""
    table = LimiterTable()
    limiter = table.limiter(identity(capacity=2))
    limiter.admit(key("busy"), 0.0)
    for n in range(100):
        limiter.admit(key(str(n)), 1.0)
    limiter.admit(key("busy"), 50.0)
    table.drop_empty(62.0)
    assert limiter.live == 1
    assert [limiter.admit(key("busy"), 62.0) for _ in range(2)] == [0, 48]


def test_a_split_keeps_every_count() -> None:
    limiter = LimiterTable().limiter(identity(capacity=2))
    names = [str(n) for n in range(6_000)]
    for name in names:
        limiter.admit(key(name), 1.0)
    for name in names:
        assert limiter.admit(key(name), 2.0) == 0
    assert all(limiter.admit(key(name), 3.0) == 58 for name in names)
    assert limiter.live == 6_000


def test_new_keys_share_one_bucket_when_the_table_is_full_tp277() -> None:
    table = LimiterTable(max_buckets=2)
    limiter = table.limiter(identity(capacity=1))
    assert [limiter.admit(key(name), 1.0) for name in "ab"] == [0, 0]
    assert [limiter.admit(key(name), 2.0) for name in "cde"] == [0, 60, 60]
    assert limiter.live == table.live == 2
    other = table.limiter(identity(name="other"))
    assert other.admit(key("x"), 2.0) == 0, "each limiter has its own overflow bucket"


def test_an_empty_bucket_makes_room_before_anything_overflows_tp277() -> None:
    table = LimiterTable(max_buckets=2)
    table.limiter(identity(name="other")).admit(key("x"), 0.0)
    limiter = table.limiter(identity(capacity=1))
    limiter.admit(key("a"), 0.0)
    assert [limiter.admit(key(name), 60.0) for name in "bc"] == [0, 0]
    assert table.live == 2


def test_nobody_is_admitted_twice_on_the_way_out_of_the_overflow_tp273() -> None:
    """c is admitted by the overflow bucket at 59; when there is room at 60 its own bucket must not start afresh."""
    table = LimiterTable(max_buckets=2)
    limiter = table.limiter(identity(capacity=2))
    for name in "ab":
        limiter.admit(key(name), 0.0)
    assert [limiter.admit(key("c"), 59.0) for _ in range(2)] == [0, 0]
    assert limiter.admit(key("c"), 60.0) == 59
    assert limiter.admit(key("c"), 118.0) == 1
    assert [limiter.admit(key("c"), 119.0) for _ in range(3)] == [0, 0, 60]
    assert limiter.live == 1


def test_a_key_with_a_bucket_again_is_still_held_to_what_the_overflow_admitted_tp273() -> None:
    table = LimiterTable(max_buckets=1)
    limiter = table.limiter(identity(capacity=3))
    limiter.admit(key("a"), 0.0)
    assert [limiter.admit(key("c"), 59.0) for _ in range(2)] == [0, 0]
    assert limiter.admit(key("c"), 60.0) == 0
    assert limiter.live == 1
    assert limiter.admit(key("c"), 61.0) == 58
    assert [limiter.admit(key("c"), 119.0) for _ in range(3)] == [0, 0, 1]


def test_the_overflow_is_forgotten_one_width_after_its_last_use() -> None:
    table = LimiterTable(max_buckets=1)
    limiter = table.limiter(identity(capacity=1))
    limiter.admit(key("a"), 0.0)
    assert limiter.admit(key("b"), 10.0) == 0
    assert limiter.admit(key("c"), 70.0) == 0
    assert limiter.live == 1


def test_no_text_of_a_bucket_is_kept_tp269() -> None:
    limiter = LimiterTable().limiter(identity())
    limiter.admit(bucket_key(b'[["Bearer sk-very-secret-token"]]'), 1.0)
    held = pickle.dumps([list(shard.items()) for shard in limiter._shards[:1]])
    assert b"very-secret" not in held
    assert b"very-secret" not in repr(gc.get_referents(limiter)).encode()


def test_the_limit_of_the_engine_is_a_million_tp277() -> None:
    assert buckets.MAX_BUCKETS == 1_000_000
    assert isinstance(LimiterTable().limiter(identity()), Limiter)
