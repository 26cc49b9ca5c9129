"""The checklist of policies (TP 12) as rows: a policy, and requests through a running gateway that show what it does.

A row is a decorated function, and is played with the policy as YAML and as the JSON that means the same::

    @row(45, \"\"\"
        on_http_request:
          - expressions: ["!('authorization' in req.headers)"]
            actions: [{type: deny, config: {status_code: 401}}]
    \"\"\")
    async def authorization_is_required(stage: Stage) -> None:
        assert (await stage.ask()).status == 401

In policies ``@service@`` and ``@provider@`` stand for the URLs of ``Stage.service`` and ``Stage.provider``.
"""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.clock import SystemClock
from gateway.demo.server import DemoProvider
from gateway.demo.wire import Request
from gateway.document import parse_document
from gateway.exchange import Exchange
from gateway.problems import Problems
from gateway.settings.address import PublicUrl
from gateway.settings.model import PolicySource, Settings
from tests.wire.checklist.service import Service
from tests.wire.running import RunningGateway, read_answer, request_bytes, settings_for
from tests.wire.serving import connect

NOTATIONS = ("yaml", "json")
#: a model of the demo provider that answers at once
FAST = "demo:n=3,delay=0ms"
Secrets = dict[tuple[str, str], str]
#: by name, or as lines
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class ShiftedClock:
    """The machine's clock, which a row may move on."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return self._clock.monotonic() + self.ahead_s

    def now(self) -> float:
        return self._clock.now() + self.ahead_s


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The engine's error code, if the engine answered (TP-700)."""
        return self.headers.get("ngrok-error-code")

    @property
    def location(self) -> str | None:
        return self.headers.get("location")

    @property
    def target(self) -> str:
        """The target that the service was asked for, by its description."""
        return str(self.json["target"])

    def sent(self, name: str) -> list[str]:
        """The lines of a header that the service got, by its description."""
        return [value for known, value in self.json["headers"] if known == name]


@dataclass
class Stage:
    """A gateway with the row's policy, and everything around it."""

    row: Row
    notation: str
    service: Service
    provider: DemoProvider
    secrets: Secrets
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    gateway: RunningGateway = field(init=False)

    def policy(self, text: str) -> str:
        """In the row's notation, with the URLs of this stage."""
        filled = filled_in(text, service=self.service.url, provider=self.provider.base_url)
        return filled if self.notation == "yaml" else as_json(filled)

    async def ask(
        self, target: str = "/x", headers: Headers = (), *, method: str = "GET", body: bytes | None = None,
        host: str = "gateway.test", **more: str,
    ) -> Answer:  # fmt: skip
        """One request on a connection of its own. ``more`` are headers, too: ``_`` in their names stands for ``-``."""
        raw = request_bytes(target, body, method, **more).replace(b"gateway.test", host.encode(), 1)
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in pairs).encode()
        reader, writer = await connect(self.gateway)
        writer.write(raw.replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n", 1))
        try:
            async with asyncio.timeout(20):
                if method == "HEAD":
                    head = await reader.readuntil(b"\r\n\r\n")
                    return head_of(head)
                return Answer(*await read_answer(reader))
        finally:
            writer.close()

    async def chat(
        self, headers: Headers = (), *, model: str = FAST, stream: bool = False, text: str = "Hello", **more: str
    ) -> Answer:
        """One chat request."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 50, "stream": stream}
        return await self.ask(
            "/v1/chat/completions", headers, method="POST", body=json.dumps(body).encode(),
            content_type="application/json", **more,
        )  # fmt: skip

    async def is_closed(self) -> bool:
        """Whether the gateway closes a connection without a byte of an answer."""
        reader, writer = await connect(self.gateway)
        try:
            writer.write(request_bytes("/x", method="GET"))
            async with asyncio.timeout(10):
                return await reader.read(1) == b""
        except ConnectionError:
            return True
        finally:
            writer.close()

    @property
    def last(self) -> Exchange:
        """The request that was recorded last."""
        return self.gateway.records[-1]

    @property
    def asked(self) -> Request:
        """What the service was asked last."""
        return self.service.requests[-1]

    async def reload(self, text: str) -> None:
        """Gives the endpoint another policy."""
        self.gateway.settings = with_policy(self.gateway.settings, self.policy(text), self.notation)
        problems = await self.gateway.process.reload()
        assert not any(found.failed for found in problems), [str(found) for found in problems]

    def warnings(self) -> list[str]:
        """What loading said."""
        assert self.gateway.process.snapshot is not None
        return list(self.gateway.process.snapshot.current.warnings)


Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the checklist, or a part of one. ``inside``: name of an ``.internal`` endpoint → its policy."""

    number: int
    policy: str | None
    play: Play
    name: str
    secrets: Mapping[tuple[str, str], str]
    inside: Mapping[str, str]
    #: what the policy leaves goes to the service (TP-50 (1)), not to the built-in gateway
    forwards: bool
    change: Callable[[Settings], Settings]

    def __str__(self) -> str:
        return f"CL-{self.number} {self.name}"


def row(
    number: int, policy: str | None, *, secrets: Mapping[tuple[str, str], str] | None = None,
    inside: Mapping[str, str] | None = None, forwards: bool = False,
    change: Callable[[Settings], Settings] = lambda settings: settings,
) -> Callable[[Play], Row]:  # fmt: skip
    """See the module."""

    def decorate(play: Play) -> Row:
        name = getattr(play, "__name__", "").replace("_", " ")
        text = None if policy is None else textwrap.dedent(policy)
        return Row(number, text, play, name, secrets or {}, inside or {}, forwards, change)

    return decorate


def rows(namespace: Mapping[str, object]) -> list[Row]:
    """The rows of a module."""
    return [value for value in namespace.values() if isinstance(value, Row)]


async def play(each: Row, notation: str) -> None:
    """Plays a row with its policy in one notation."""
    async with staged(each, notation) as stage:
        await each.play(stage)


@asynccontextmanager
async def staged(each: Row, notation: str) -> AsyncIterator[Stage]:
    """A running gateway for a row."""
    async with Service() as service, DemoProvider() as provider:
        stage = Stage(each, notation, service, provider, dict(each.secrets))
        settings = await asyncio.to_thread(each.change, _endpoints(each, stage))
        async with RunningGateway(settings, secrets=stage.secrets, clock=stage.clock) as gateway:
            stage.gateway = gateway
            yield stage


def _endpoints(each: Row, stage: Stage) -> Settings:
    settings = settings_for(None)
    if each.policy is not None:
        settings = with_policy(settings, stage.policy(each.policy), stage.notation)
    (first,) = settings.endpoints
    forwarding = replace(first, upstream_url=stage.service.url, ai_gateway=False)
    inner = [
        replace(
            forwarding, id=f"ep_{name.replace('-', '_')}", name=name, url=PublicUrl("http", f"{name}.internal", 80),
            has_url=True, listen=None, policy=_source(stage.policy(text), stage.notation) if text else None,
        )
        for name, text in each.inside.items()
    ]  # fmt: skip
    return replace(settings, endpoints=(forwarding if each.forwards else first, *inner))


def with_policy(settings: Settings, text: str, notation: str = "yaml") -> Settings:
    """The same settings with another policy at the first endpoint."""
    first, *others = settings.endpoints
    return replace(settings, endpoints=(replace(first, policy=_source(text, notation)), *others))


def _source(text: str, notation: str) -> PolicySource:
    return PolicySource(file=f"policy.{notation}", text=textwrap.dedent(text))


def filled_in(text: str, **urls: str) -> str:
    """``@name@`` → the URL of that name."""
    for name, url in urls.items():
        text = text.replace(f"@{name}@", url)
    return text


def as_json(text: str) -> str:
    """The JSON document that means the same as this YAML (TP-2)."""
    problems = Problems("policy.yaml")
    node = parse_document(textwrap.dedent(text), problems)
    assert node is not None, str(problems)
    return json.dumps(node.plain(), ensure_ascii=False, indent=1)


def head_of(head: bytes) -> Answer:
    """The answer to HEAD."""
    first, *lines = head.decode().strip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Answer(int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}, b"")
