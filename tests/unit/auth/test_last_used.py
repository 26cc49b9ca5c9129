"""Last uses are exact on reading (CP-67)."""

from __future__ import annotations

from gateway.auth.last_used import LastUsed


def test_cp_67_the_pending_time_is_the_answer_before_during_and_after_a_write():
    used = LastUsed()
    assert used.latest("k", None) is None
    assert used.latest("k", 5) == 5
    used.touch("k", 10)
    taken = used.take()
    assert used.latest("k", 5) == 10
    used.written(taken)
    assert used.latest("k", 10) == 10
    assert used.take() == {}


def test_cp_67_a_use_during_the_write_is_not_forgotten():
    used = LastUsed()
    used.touch("k", 10)
    taken = used.take()
    used.touch("k", 11)
    used.written(taken)
    assert used.latest("k", 10) == 11
    assert used.take() == {"k": 11}
