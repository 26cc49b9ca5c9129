"""Plays one script on one transport: waits, writes, obeys flow control, and ends as the script says.

One callback per step and no task. The next step is taken only when the transport takes more, so a slow reader slows
the script down instead of filling memory; time lost by that is not made up in a burst.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator

from gateway.demo.script import Step, Then

_LINGER_NONE = struct.pack("ii", 1, 0)


def reset(transport: asyncio.WriteTransport) -> None:
    """Closes with RST, so that the peer sees a reset and not an end."""
    peer: socket.socket | None = transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport.abort()


class Player:
    """``start`` once; then ``pause``, ``resume`` and ``stop`` as the transport says."""

    __slots__ = (
        "_due_s",
        "_finished",
        "_handle",
        "_loop",
        "_paused",
        "_step",
        "_steps",
        "_transport",
        "_waiting",
        "_wrote",
    )

    def __init__(
        self, transport: asyncio.WriteTransport, steps: Iterator[Step], *, wrote: Callable[[int], None],
        finished: Callable[[], None], loop: asyncio.AbstractEventLoop,
    ) -> None:  # fmt: skip
        self._transport = transport
        self._steps = steps
        #: told the number of events after each write
        self._wrote = wrote
        #: told when the answer is complete and the connection can take the next one
        self._finished = finished
        self._loop = loop
        self._step: Step | None = None
        self._handle: asyncio.Handle | None = None
        self._due_s = loop.time()
        self._paused = False
        self._waiting = False

    def start(self) -> None:
        """Plays the first step now if it has not to wait."""
        self._take_next(at_once=True)

    def stop(self) -> None:
        """Nothing more is written."""
        if self._handle is not None:
            self._handle.cancel()
        self._step = None
        self._waiting = False

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._waiting:
            self._waiting = False
            self._handle = self._loop.call_soon(self._play)

    def _play(self) -> None:
        step = self._step
        if step is None:
            return
        if self._paused:
            self._waiting = True
            return
        if step.data:
            self._transport.write(step.data)
        if step.events:
            self._wrote(step.events)
        match step.then:
            case Then.GO_ON:
                self._take_next()
            case Then.FINISH:
                self._step = None
                self._finished()
            case Then.CLOSE:
                self._step = None
                self._transport.close()
            case Then.RESET:
                self._step = None
                self._reset_when_sent()
            case Then.STALL:
                self._step = None

    def _take_next(self, *, at_once: bool = False) -> None:
        step = self._step = next(self._steps)
        if step.wait_s:
            # From the planned time, not from now: a busy loop must not stretch the pace. But never into the past.
            self._due_s = max(self._due_s + step.wait_s, self._loop.time())
            self._handle = self._loop.call_at(self._due_s, self._play)
        elif at_once:
            self._play()
        else:
            self._handle = self._loop.call_soon(self._play)

    def _reset_when_sent(self) -> None:
        """What was written before a reset must leave first, or the test would not know how much arrived."""
        if self._transport.get_write_buffer_size():
            self._handle = self._loop.call_later(0.001, self._reset_when_sent)
        else:
            reset(self._transport)
