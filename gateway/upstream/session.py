"""The other way upstream: aiohttp's ``ClientSession``, for what the fast path does not speak (HTTP proxies).

Looks like a connection to ``Held`` and ``Relay``, so that everything above is the same on both ways. One task per
attempt reads the answer; it is several times dearer per request and per event than the pool (performance.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.upstream.attempt import Expectations, Held
from gateway.upstream.framing import BadResponse, Framing, ParseHead, Receiver, Response

if TYPE_CHECKING:
    from gateway.upstream.codec import Head
    from gateway.upstream.origin import Origin
    from gateway.upstream.transport import Transport

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
#: headers that ClientSession sets itself
_OWN = frozenset(("content-length",))


class SessionConnection:
    """One request by ``ClientSession``, with the face of an ``UpstreamConnection``."""

    __slots__ = ("_parse_head", "_running", "_task", "_transport", "received", "response", "reused")

    def __init__(self, response: Receiver, parse_head: ParseHead) -> None:
        self.response: Response | None = response
        self.received = False
        self.reused = False
        self._parse_head = parse_head
        self._running = asyncio.Event()
        self._running.set()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    def pause(self) -> None:
        """Stops reading."""
        self._running.clear()

    def resume(self) -> None:
        """Reads on."""
        self._running.set()

    def want_frames(self, first: Callable[[bytes], None] | None) -> None:
        """Never: aiohttp has taken the framing off."""

    def feed_frames(self, data: bytes) -> None:
        raise AssertionError("there are no frames")

    def abandon(self) -> None:
        """Ends the request at once; a graceful TLS close would let the provider go on generating."""
        self.response = None
        if self._transport is not None:
            self._transport.abort()
        if self._task is not None:
            self._task.cancel()

    def run(self, spawn: Spawn, request: aiohttp.client._RequestContextManager) -> None:
        """Starts reading."""
        self._task = spawn(self._read(request))

    async def _read(self, request: aiohttp.client._RequestContextManager) -> None:
        try:
            async with request as answer:
                if answer.connection is not None:
                    self._transport = cast("asyncio.Transport", answer.connection.transport)
                await self._deliver(answer)
        except asyncio.CancelledError:
            if self.response is not None:
                self._broken("cancelled")
        except (aiohttp.ClientError, BadResponse, OSError, ValueError) as error:
            self._broken(str(error) or type(error).__name__)

    async def _deliver(self, answer: aiohttp.ClientResponse) -> None:
        version = answer.version
        raw = b"".join(
            [
                b"HTTP/1.1 %d \r\n" % answer.status,
                *(b"%b: %b\r\n" % (name, value) for name, value in answer.raw_headers),
            ]
        )
        head = self._parse_head(raw, version.minor if version is not None else 1)
        self.received = True
        receiver: Receiver | None = self.response  # type: ignore[assignment] # what it was made for
        if receiver is not None:
            receiver.on_head(answer.status, head, _framing(answer.status, head))
        async for data in answer.content.iter_any():
            await self._running.wait()
            if self.response is None:
                return
            self.response.on_payload(data)
        response, self.response = self.response, None
        if response is not None:
            response.on_end()

    def _broken(self, reason: str) -> None:
        response, self.response = self.response, None
        if response is not None:
            response.on_broken(reason)


def _framing(status: int, head: Head) -> Framing:
    if status in (204, 304) or head.content_length == 0:
        return Framing.NONE
    # chunk frames are gone: everything that is not sized ends with the stream
    return Framing.SIZED if head.content_length is not None and not head.chunked else Framing.CLOSE


class SessionTransport:
    """Attempts by ``ClientSession``, through ``proxy_for(origin)`` if that names a proxy URL."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        spawn: Spawn,
        parse_head: ParseHead,
        proxy_for: Callable[[Origin], str | None],
    ) -> None:
        self._session = session
        self._spawn = spawn
        self._parse_head = parse_head
        self._proxy_for = proxy_for

    def begin(self, origin: Origin, request: bytes, expect: Expectations) -> Held | None:
        """See ``transport.Transport``."""
        return None

    async def send(
        self, origin: Origin, request: bytes, expect: Expectations, attempt_s: float, total_s: float, *,
        pooled: bool = True,
    ) -> Held:  # fmt: skip
        """See ``transport.Transport``."""
        held = Held(asyncio.get_running_loop(), expect)
        head, _, body = request.partition(b"\r\n\r\n")
        line, *header_lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers: CIMultiDict[str] = CIMultiDict()
        for header_line in header_lines:
            name, _, value = header_line.partition(": ")
            if name.lower() not in _OWN:
                headers.add(name, value)
        connection = SessionConnection(held, self._parse_head)
        held.connection = connection
        proxy = self._proxy_for(origin)
        connection.run(
            self._spawn,
            self._session.request(
                method,
                URL(f"{origin}{target}", encoded=True),
                data=body,
                headers=headers,
                proxy=URL(proxy) if proxy else None,
                allow_redirects=False,
            ),
        )
        await held.wait(max(0.0, attempt_s), max(0.0, total_s))
        return held


class RoutedTransport:
    """The fast path, except for origins that have to be reached through a proxy."""

    def __init__(self, direct: Transport, proxied: Transport, proxy_for: Callable[[Origin], str | None]) -> None:
        self._direct = direct
        self._proxied = proxied
        self._proxy_for = proxy_for

    def begin(self, origin: Origin, request: bytes, expect: Expectations) -> Held | None:
        """See ``transport.Transport``."""
        return self._direct.begin(origin, request, expect) if self._proxy_for(origin) is None else None

    async def send(
        self, origin: Origin, request: bytes, expect: Expectations, attempt_s: float, total_s: float, *,
        pooled: bool = True,
    ) -> Held:  # fmt: skip
        """See ``transport.Transport``."""
        way = self._direct if self._proxy_for(origin) is None else self._proxied
        return await way.send(origin, request, expect, attempt_s, total_s, pooled=pooled)


def build_session(tls: Any, connect_timeout_s: float) -> aiohttp.ClientSession:
    """A session that adds nothing of its own: no cookies, no redirects, no decoding, no limits but the connect time."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls, ttl_dns_cache=15),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
        read_bufsize=65_536,
    )
