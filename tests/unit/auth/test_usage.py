"""The usage queue is bounded and counts what it loses (AG-288, P01)."""

from __future__ import annotations

from gateway.auth.usage import UsageEvent, UsageQueue


def event(number):
    return UsageEvent(
        event_time_ms=number, request_id="r", access_key_id="", provider="p", provider_name="P", model="m",
        model_name="M", attempt=1, is_final=True, status=200, timed_out=False, is_error=False, is_streaming=False,
        key_source="user",
    )  # fmt: skip


def times(events):
    return [event.event_time_ms for event in events]


def test_ag_288_a_full_queue_drops_the_oldest_and_counts():
    queue = UsageQueue(3)
    for number in range(5):
        queue.put(event(number))
    assert (times(queue.take(9)), queue.dropped, len(queue)) == ([2, 3, 4], 2, 0)


def test_events_whose_write_failed_come_back_in_front():
    queue = UsageQueue(4)
    for number in range(3):
        queue.put(event(number))
    taken = queue.take(2)
    queue.put(event(3))
    queue.put_back(taken)
    assert times(queue.take(9)) == [0, 1, 2, 3]
    assert queue.dropped == 0


def test_what_no_longer_fits_is_dropped_oldest_first():
    queue = UsageQueue(2)
    queue.put(event(5))
    queue.put_back([event(1), event(2)])
    assert times(queue.take(9)) == [2, 5]
    queue.put(event(6))
    queue.put(event(7))
    queue.put_back([event(3)])
    assert (times(queue.take(9)), queue.dropped) == ([6, 7], 2)
