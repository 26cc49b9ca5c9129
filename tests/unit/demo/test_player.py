"""Playing steps on a transport, with the loop's time under control."""

from __future__ import annotations

import asyncio

from gateway.demo.player import Player
from gateway.demo.script import Step, Then
from tests.unit.demo.rawclient import eventually


class Tape(asyncio.Transport):
    """A transport that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ending = ""
        #: what the player reported
        self.told: list[str] = []

    def write(self, data) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.ending = "close"

    def abort(self) -> None:
        self.ending = "abort"

    def get_write_buffer_size(self) -> int:
        return 0


def build(steps: list[Step], tape: Tape) -> Player:
    return Player(
        tape,
        iter(steps),
        wrote=lambda events: tape.told.append(f"{events} events"),
        finished=lambda: tape.told.append("finished"),
        loop=asyncio.get_running_loop(),
    )


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_first_step_is_played_at_once_and_each_further_one_in_a_turn_of_its_own():
    tape = Tape()
    build([Step(0.0, b"a", events=1), Step(0.0, b"b"), Step(0.0, b"c", Then.FINISH)], tape).start()
    assert tape.writes == [b"a"]
    await turns(1)
    assert tape.writes == [b"a", b"b"]
    await turns(1)
    assert tape.writes == [b"a", b"b", b"c"]
    assert tape.told == ["1 events", "finished"]


async def test_pausing_holds_the_script_back_until_resumed():
    tape = Tape()
    player = build([Step(0.0, b"a"), Step(0.0, b"b"), Step(0.0, b"", Then.CLOSE)], tape)
    player.start()
    player.pause()
    await turns(5)
    assert tape.writes == [b"a"]
    player.resume()
    await turns(5)
    assert (tape.writes, tape.ending) == ([b"a", b"b"], "close")


async def test_stopping_stops():
    tape = Tape()
    player = build([Step(0.0, b"a"), Step(0.0, b"b", Then.FINISH)], tape)
    player.start()
    player.stop()
    player.resume()
    await turns(5)
    assert (tape.writes, tape.told) == ([b"a"], [])


async def test_waits_in_order():
    tape = Tape()
    build([Step(0.01, b"a"), Step(0.01, b"b", Then.FINISH)], tape).start()
    assert tape.writes == []
    await eventually(lambda: tape.told == ["finished"])
    assert tape.writes == [b"a", b"b"]


async def test_endings():
    for then, ending in ((Then.CLOSE, "close"), (Then.RESET, "abort"), (Then.STALL, "")):
        tape = Tape()
        build([Step(0.0, b"", then)], tape).start()
        assert (tape.writes, tape.ending, tape.told) == ([], ending, [])
