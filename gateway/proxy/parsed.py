"""The only file that knows aiohttp's internals (3.14): a connection whose requests aiohttp's parser reads.

aiohttp's parser, message queue and flow control serve as they are. aiohttp's own loop over requests does not run: no
request, response or writer object is made, and a connection that waits costs neither task nor timer, nor a parser if it
needs none. What is used of aiohttp 3.14 beyond its public API: ``RequestHandler`` with ``_messages``, ``_parser``,
``_buffer_paused``, ``_msg_queue_resume_size``, ``_max_msg_queue_size``, ``_read_bufsize``,
``_resume_reading_if_drained``, ``_keepalive_timeout``, ``_next_keepalive_close_time``, ``_force_close``, ``_close``,
``_upgraded``; how it is made and connected; and ``web_protocol._ErrInfo``. ``setup.cfg`` pins the minor version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from aiohttp.tcp_helpers import tcp_keepalive
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

if TYPE_CHECKING:
    import asyncio

    from aiohttp import web
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader


class _Messages(list[Any]):
    """The queue of parsed requests, empty most of the time: a deque has room for 64 from the beginning."""

    __slots__ = ()

    def popleft(self) -> Any:
        return self.pop(0)


class ParsedConnection(RequestHandler):
    """What ``Downstream`` needs of aiohttp."""

    __slots__ = ()

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._messages = _Messages()  # type: ignore[assignment]

    def connect(self, transport: asyncio.Transport) -> None:
        """What aiohttp does with a new connection, but for its task and its timer."""
        BaseProtocol.connection_made(self, transport)
        tcp_keepalive(transport)
        assert self._manager is not None
        self._manager.connection_made(self, transport)
        self.await_next()

    def feed_parser(self, data: bytes) -> None:
        """Parsed requests come to ``_messages``, their bodies to the streams that they have."""
        if self._parser is None:
            self._parser = HttpRequestParser(
                self, self._loop, self._read_bufsize, max_line_size=self.max_line_size, max_headers=self.max_headers,
                max_field_size=self.max_field_size, payload_exception=RequestPayloadError, auto_decompress=False,
                max_msg_queue_size=self._max_msg_queue_size,
            )  # fmt: skip
        super().data_received(data)

    def drop_parser(self) -> None:
        """It stands between two messages, and the next ones may not need it: it weighs more than the connection."""
        self._parser = None

    def next_parsed(self) -> tuple[RawRequestMessage | BaseException, StreamReader]:
        """Takes the first message of the queue; an exception stands for one that could not be parsed."""
        message, payload = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return message.exc if isinstance(message, _ErrInfo) else message, payload

    def is_closing(self) -> bool:
        """No further request is served."""
        return self._force_close or self._close or self._upgraded

    def await_next(self) -> None:
        """The time until the next request begins to run."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def is_late(self, now: float) -> bool:
        """That time is over."""
        return now >= self._next_keepalive_close_time

    def hang_up(self) -> None:
        """Closes the connection once everything written has been sent."""
        if self.transport is not None and not self._force_close:
            self._force_close = True
            self.transport.close()
