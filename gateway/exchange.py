"""Exchange: everything that one client request accumulates while it is served.

Mutable and owned by the request's task; nothing here outlives the request. Slots only, since building a
frozen object costs several times more and the class is made once per request (design rule 6).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.headers import HeaderMap

_NO_TEXTS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Connection:
    """The downstream connection as expressions see it (TP 6.1)."""

    client_ip: str
    client_port: int
    server_ip: str
    server_port: int
    #: Unix seconds
    started_s: float
    tls: Any = None


class RequestHead:
    """What a request's head says by itself. Read-only: requests with the same head share one (``proxy.heads``).

    ``plain``: HTTP/1.1 with a sized body, on a connection that stays open, without any expectation. ``notes``: what
    layers above concluded from the head, by whom; ``endpoint``: where it leads under ``snapshot``; ``around_length``:
    its bytes before and behind the digits of its length, while it is remembered.
    """

    __slots__ = (
        "around_length", "endpoint", "headers", "host", "http_11", "keep_alive", "length", "method", "notes", "path",
        "plain", "query", "snapshot", "target",
    )  # fmt: skip

    def __init__(
        self, method: str, target: str, headers: HeaderMap, *, host: str, path: str, query: str, http_11: bool,
        keep_alive: bool, length: int | None, plain: bool,
    ) -> None:  # fmt: skip
        self.method = method
        self.target = target
        self.headers = headers
        self.host = host
        self.path = path
        self.query = query
        self.http_11 = http_11
        self.keep_alive = keep_alive
        #: declared length; None when chunked
        self.length = length
        self.plain = plain
        self.around_length = (b"", b"")
        self.snapshot: Any = None
        self.endpoint: Any = None
        self.notes: dict[Any, Any] = {}


class ResponseHead:
    """Status and headers of the answer while the response phase may still change them.

    ``body`` is None while the body is relayed from upstream, else the bytes that replace it. ``read`` fetches an
    upstream's whole body, coded as ``headers`` say, and puts it into ``body``; it takes a limit in bytes and gives
    None when there is more. ``transforms`` change the bytes on their way to the client, in order
    (``policy.transform.BodyTransform``).
    """

    __slots__ = ("body", "headers", "read", "status", "transforms")

    def __init__(self, status: int, headers: HeaderMap, body: bytes | None = None) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.read: Callable[[int], Awaitable[bytes | None]] | None = None
        self.transforms: list[Any] = []


class Attempt:
    """One upstream request, for the record, ``details.attempts`` and the action result (AG-180, AG-280).

    ``kind`` is '' for a success, else one of ``http timeout connection stream_error no_key key_selection
    input_too_large``. Times are monotonic seconds; 0.0 means "not yet".
    """

    __slots__ = (
        "body", "candidate", "code", "completed", "detail", "first_byte", "head", "key", "kind", "message", "route",
        "sent", "started", "status", "usage",
    )  # fmt: skip

    def __init__(self, candidate: Any, key: Any, started: float) -> None:
        self.candidate = candidate
        self.key = key
        self.started = started
        self.sent = 0.0
        self.first_byte = 0.0
        self.completed = 0.0
        self.status = 0
        self.kind = ""
        self.code = ""
        self.message = ""
        #: a GatewayError beside ``code``, for candidates without a key
        self.detail: GatewayError | None = None
        #: prebuilt parts of the upstream request (ai.gateway.Route); gives the URL
        self.route: Any = None
        #: parsed head of the answer (ai.inbound.InboundHead), and the start of an error's body
        self.head: Any = None
        self.body = b""
        self.usage: Any = None


class Exchange:
    """One request. See the field comments; types from higher layers are opaque here."""

    __slots__ = (
        "ai", "attempts", "body", "client_gone", "conn", "consumed_tokens", "content_length", "downstream", "endpoint",
        "error", "forwards", "head", "headers", "hops", "host", "http_version", "id", "keep_alive", "log_metadata",
        "method", "path", "query", "raw_target", "response", "results", "scheme", "scope", "secrets_seen", "sent_bytes",
        "settlers", "snapshot", "started", "started_s", "status", "streaming", "upstream_wait_s", "vars",
    )  # fmt: skip

    # not keyword-only: a class called with names costs twice as much (CPython 3.11)
    def __init__(
        self, request_id: str, snapshot: Any, endpoint: Any, conn: Connection, downstream: Any, method: str,
        raw_target: str, path: str, query: str, host: str, scheme: str, headers: HeaderMap, started: float,
        started_s: float, http_version: str = "HTTP/1.1", keep_alive: bool = True, content_length: int | None = None,
        head: RequestHead | None = None,
    ) -> None:  # fmt: skip
        self.id = request_id
        #: the configuration this request was accepted under (snapshot.Snapshot)
        self.snapshot = snapshot
        #: its endpoint in that snapshot (snapshot.Endpoint)
        self.endpoint = endpoint
        self.conn = conn
        #: the client's connection (proxy.downstream.Downstream): reads the body, is written to at commit
        self.downstream = downstream
        self.method = method
        #: request target as received; ``path`` is normalised once (TP-140) and used by rules and router alike
        self.raw_target = raw_target
        self.path = path
        #: raw query without '?'
        self.query = query
        self.host = host
        self.scheme = scheme
        #: shared with other requests while ``head`` is not None: change what ``own_headers`` gives
        self.headers = headers
        #: the head as received; None once this request differs from it
        self.head = head
        self.http_version = http_version
        self.keep_alive = keep_alive
        #: declared length; None when chunked
        self.content_length = content_length
        #: decoded request body, once somebody asked for it
        self.body: bytes | None = None
        #: monotonic seconds and Unix seconds
        self.started = started
        self.started_s = started_s
        #: lazy view for expressions (policy.variables.Scope), made on first use
        self.scope: Any = None
        #: ``vars.*`` of the running phase (TP-146)
        self.vars: dict[str, Any] = {}
        #: ``actions.ngrok.*``: action name with underscores → its result
        self.results: dict[str, Any] = {}
        #: plain values that ``secrets.get`` returned outside the ai-gateway action (AG-195 b, AG-215, TP-426)
        self.secrets_seen = _NO_TEXTS
        #: tokens that an authentication action accepted; never passed through (AG-195 b)
        self.consumed_tokens = _NO_TEXTS
        #: ``{"metadata": …}`` of each ``log`` action, in order (TP-425)
        self.log_metadata: list[Any] = []
        #: state of the ai-gateway action (ai.failover.AiState)
        self.ai: Any = None
        self.attempts: list[Attempt] = []
        self.response: ResponseHead | None = None
        #: final status for the record; 499 when the client left first
        self.status = 0
        self.error: GatewayError | None = None
        self.streaming = False
        self.client_gone = False
        self.sent_bytes = 0
        #: seconds spent waiting for upstreams (gateway share of the latency, AG-335)
        self.upstream_wait_s = 0.0
        #: times that this request was forwarded inside the gateway (TP-542)
        self.forwards = 0
        #: requests of policies that led to this one, each made for the one before (TP-474)
        self.hops = 0
        #: called once, in order, after the answer is complete or has failed
        self.settlers: list[Callable[[Exchange], None]] = []

    def own_headers(self) -> HeaderMap:
        """The request's headers for somebody who changes them."""
        if self.head is not None:
            self.head = None
            self.headers = self.headers.copy()
        return self.headers

    def release(self) -> None:
        """Cuts what refers back to this exchange: nobody looks at it any more, and no cycle is left to be collected."""
        self.ai = self.scope = self.response = None
        self.results = {}
        self.settlers = []
