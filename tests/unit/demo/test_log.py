"""The bounded log of requests."""

from __future__ import annotations

from gateway.demo.log import Received, RequestLog, Stats
from gateway.demo.wire import Request


def received(number: int, size: int) -> Received:
    return Received(number, 1, Request("POST", f"/{number}?a=b", "HTTP/1.1", (("X-A", "1"),), b"x" * size))


def test_keeps_the_newest_within_both_bounds():
    log = RequestLog(entries=3, body_bytes=100)
    for number in range(5):
        log.add(received(number, 10))
    assert [r.number for r in log] == [2, 3, 4]
    log.add(received(5, 95))
    assert [r.number for r in log] == [5]
    log.add(received(6, 1_000))
    assert [r.number for r in log] == [6]
    assert (len(log), log[-1].number, log[-1].path, log[-1].header("x-a")) == (1, 6, "/6", "1")
    log.clear()
    log.add(received(7, 100))
    assert [r.number for r in log] == [7]


def test_stats_render():
    assert Stats(requests=2).as_dict()["requests"] == 2
