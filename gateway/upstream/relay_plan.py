"""What a relay is told, and how it says that it ended."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.upstream.codec import NOTHING_KEPT

if TYPE_CHECKING:
    from gateway.upstream.codec import Codec, Kept, UsageTap
    from gateway.upstream.deadlines import Deadlines


class Ending(enum.Enum):
    """How a relayed answer ended."""

    COMPLETE = "complete"
    BROKEN = "broken"
    IDLE = "idle"
    CLIENT_GONE = "client_gone"
    SHUTDOWN = "shutdown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Seconds; 0 turns a limit off (AG-164, AG-263, AG-268)."""

    idle_s: float
    progress_s: float
    client_write_s: float
    keepalive_s: float


@dataclass(slots=True)
class RelayPlan:
    """How one answer is relayed. ``chunked``: the client gets chunk frames; else plain bytes (and a close)."""

    codec: Codec
    limits: RelayLimits
    chunked: bool
    event_stream: bool
    tap: UsageTap | None = None
    #: takes what an event stream's client got, until it is known whether that has to be counted (P02)
    kept: Kept = NOTHING_KEPT
    strip_usage: bool = False
    #: gateway's own error event, by how the stream ended: (code, message)
    errors: Callable[[Ending], tuple[str, str]] | None = None
    #: for limits that need no timer of their own
    deadlines: Deadlines | None = None
