"""What an event costs on its way to the client, in CPU microseconds: relayed as it is, and with rules that read it.

    python -m tests.bench.bench_streams

Streams that no rule reads are relayed by ``Relay``, which knows of no rules; ``ShapedRelay`` is for the others. The
first line is the price of everybody, the second shows that a policy's other rules do not change it.
"""

from __future__ import annotations

import asyncio
import time
import timeit
from collections.abc import Callable

from gateway.ai.dialects import codec_for
from gateway.ai.surfaces import CHAT
from gateway.policy.compile import CompiledPolicy
from gateway.policy.model import Phase
from gateway.policy.stream import StreamRules
from gateway.upstream.relay import Ending, Relay, RelayLimits, RelayPlan
from gateway.upstream.shaped import ShapedRelay
from tests.bench.bench_wire import EVENT
from tests.unit.actions.policies import Policies

LIMITS = RelayLimits(idle_s=60.0, progress_s=60.0, client_write_s=60.0, keepalive_s=0.0)
OTHER = "on_http_response:\n  - type: add-headers\n    config: {headers: {x-a: b}}\n"
NO_MATCH = """
on_event_stream_message:
  - expressions: ["sse.event == 'never'"]
    type: log
    config: {metadata: {a: b}}
"""
REPLACE = """
on_event_stream_message:
  - type: sse-find-replace
    config: {replacements: [{from: never, to: ever}]}
"""


class Sink(asyncio.Transport):
    """Takes everything and keeps nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nothing."""


def relay_of(policy: CompiledPolicy | None, policies: Policies, loop: asyncio.AbstractEventLoop) -> Relay:
    """The relay that ``proxy.commit`` chooses for an event stream under the policy."""
    plan = RelayPlan(codec=codec_for(CHAT), limits=LIMITS, chunked=True, event_stream=True)

    def done(ending: Ending) -> None:
        raise AssertionError(ending)

    phase = policy.phases.get(Phase.STREAM) if policy is not None else None
    if phase is None:
        return Relay(loop, Sink(), plan, done)
    rules = StreamRules(policies.exchange(), phase, limit_bytes=1 << 20)
    return ShapedRelay(loop, Sink(), plan, done, rules=rules, transform=None)


def microseconds(run: Callable[[], object]) -> float:
    """The best of many short runs, in CPU time of this process."""
    timer = timeit.Timer(run, timer=time.process_time)
    return min(timer.repeat(200, 200)) / 200 * 1e6


def main() -> None:
    policies = Policies()
    loop = asyncio.new_event_loop()
    cases = {
        "no policy": None, "request and response rules": OTHER, "a stream rule that does not match": NO_MATCH,
        "sse-find-replace that finds nothing": REPLACE,
    }  # fmt: skip
    frame = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
    first = 0.0
    for name, text in cases.items():
        relay = relay_of(policies.compile(text) if text else None, policies, loop)
        shaped = isinstance(relay, ShapedRelay)
        cost = microseconds(
            (lambda relay=relay: relay.on_payload(EVENT))  # type: ignore[misc]
            if shaped
            else (lambda relay=relay: relay.on_frames(frame, EVENT[-8:]))  # type: ignore[misc]
        )
        first = first or cost
        print(f"{name:38} {type(relay).__name__:12} {cost:6.2f} µs   {cost / first:5.2f} x")
    loop.close()


if __name__ == "__main__":
    main()
