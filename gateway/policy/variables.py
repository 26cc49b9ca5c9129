"""The scope of expressions: one request's variables, computed when they are first read (TP 6).

``scope_of(exchange)`` makes the scope once per exchange. Actions that change the request or the answer say so with
``request_changed`` and ``response_changed``, so that derived members are computed anew (TP-141).

Invariants
    1. Nothing here is shared between requests.
    2. Every secret value that an expression got is in ``exchange.secrets_seen`` (TP-86, TP-426), unless a
       ``private_secrets`` block collects it elsewhere (AG-195 b: keys of the ai-gateway action are its own).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from gateway.cel.env import INT, STRING, CelType, nullable
from gateway.policy.connection_views import ConnectionView, EndpointView, TimeView
from gateway.policy.http_views import RequestView, ResponseView, WarmRequestView

if TYPE_CHECKING:
    from gateway.exchange import Exchange


class StreamMessage:
    """``sse``: one message of an event stream (TP-148). Stream actions assign to its members.

    ``data`` holds all ``data:`` lines joined with LF. ``dropped`` takes the message out of the stream.
    """

    __slots__ = ("data", "dropped", "event", "id", "index", "retry")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "data": STRING, "event": STRING, "id": STRING, "retry": nullable(INT), "index": INT,
    }  # fmt: skip

    def __init__(self, index: int, data: str, event: str = "", id: str = "", retry: int | None = None) -> None:
        self.index = index
        self.data = data
        self.event = event
        self.id = id
        self.retry = retry
        self.dropped = False


class ActionResults:
    """``actions.ngrok``: results by action name; None for one that did not run (TP-80 d)."""

    __slots__ = ("_results",)

    def __init__(self, results: Mapping[str, Any]) -> None:
        self._results = results

    def __getattr__(self, name: str) -> Any:
        return self._results.get(name)


class ActionsView:
    """``actions``."""

    __slots__ = ("ngrok",)

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.ngrok = ActionResults(results)


class Scope:
    """What a compiled expression gets as its argument.

    ``__getattr__`` would make every read slow, found members included: the hot members are slots, the others
    properties, which cost a call (45 ns) each time. Where the rules of a policy read such a member, a subclass with a
    slot of that name is used (``scope_maker``); that it is slower elsewhere is all that can go wrong.
    """

    __slots__ = (
        "_actions", "_conn", "_endpoint", "_private", "_res", "ai", "changes", "exchange", "now", "req", "sse", "vars",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, now: Callable[[], float]) -> None:
        self.exchange = exchange
        self.now = now
        self.vars = exchange.vars
        #: where secrets are recorded instead of ``exchange.secrets_seen``
        self._private: set[str] | None = None
        self.req = self.request_view(exchange)
        #: how often an action changed the request or the answer
        self.changes = 0
        #: the message in flight, set by the relay (TP-148); collections of the selection strategies, set by those
        self.sse: StreamMessage | None = None
        self.ai: Any = None
        self._conn: ConnectionView | None = None
        self._endpoint: EndpointView | None = None
        self._res: ResponseView | None = None
        self._actions: ActionsView | None = None

    @staticmethod
    def request_view(exchange: Exchange) -> RequestView:
        """``req``, in the form that suits the policy."""
        return RequestView(exchange)

    @property
    def conn(self) -> ConnectionView:
        conn = self._conn
        if conn is None:
            conn = self._conn = ConnectionView(self.exchange)
        return conn

    @property
    def endpoint(self) -> EndpointView:
        endpoint = self._endpoint
        if endpoint is None:
            endpoint = self._endpoint = EndpointView(self.exchange.endpoint)
        return endpoint

    @property
    def time(self) -> TimeView:
        return TimeView(self.now)

    @property
    def actions(self) -> ActionsView:
        actions = self._actions
        if actions is None:
            actions = self._actions = ActionsView(self.exchange.results)
        return actions

    @property
    def res(self) -> ResponseView:
        res = self._res
        if res is None:
            head = self.exchange.response
            if head is None:
                raise LookupError("there is no response")
            res = self._res = ResponseView(head)
        return res

    def request_changed(self) -> None:
        """Forgets what was derived from the request."""
        self.changes += 1
        self.req.refresh()

    def response_changed(self) -> None:
        """Forgets the view of the answer."""
        self.changes += 1
        self._res = None

    def secret(self, vault: str, name: str) -> str:
        """``secrets.get(vault, name)``; raises LookupError when there is none (TP-86)."""
        value: str = self.exchange.snapshot.secrets.get(vault, name)
        self._saw(value)
        return value

    def single_secret(self, name: str) -> str:
        """``secrets.get(name)`` (TP-603)."""
        value: str = self.exchange.snapshot.secrets.get_single(name)
        self._saw(value)
        return value

    @contextmanager
    def private_secrets(self) -> Iterator[set[str]]:
        """Within the block secrets are recorded in the set it gives, not in ``exchange.secrets_seen``."""
        before, self._private = self._private, set()
        try:
            yield self._private
        finally:
            self._private = before

    def _saw(self, secret: str) -> None:
        if self._private is not None:
            self._private.add(secret)
        else:
            self.exchange.secrets_seen |= {secret}


class _UrlScope(Scope):
    __slots__ = ()
    request_view = staticmethod(WarmRequestView)


class _ConnScope(Scope):
    __slots__ = ("conn",)
    conn: ConnectionView

    def __init__(self, exchange: Exchange, now: Callable[[], float]) -> None:
        super().__init__(exchange, now)
        self.conn = ConnectionView(exchange)


class _UrlAndConnScope(_ConnScope):
    __slots__ = ()
    request_view = staticmethod(WarmRequestView)


ScopeMaker: TypeAlias = "Callable[[Exchange, Callable[[], float]], Scope]"


def scope_maker(reads: Iterable[str]) -> ScopeMaker:
    """The scope that suits rules which read these dotted variables."""
    names = list(reads)
    url = any(name.startswith("req.url") for name in names)
    conn = any(name.startswith("conn") for name in names)
    return {(False, False): Scope, (True, False): _UrlScope, (False, True): _ConnScope, (True, True): _UrlAndConnScope}[
        url, conn
    ]


def scope_of(exchange: Exchange, now: Callable[[], float], make: ScopeMaker = Scope) -> Scope:
    """The exchange's scope, made on first use. ``now`` gives Unix seconds."""
    scope = exchange.scope
    if scope is None:
        scope = exchange.scope = make(exchange, now)
    return scope  # type: ignore[no-any-return] # opaque in the layer below


def request_changed(exchange: Exchange) -> None:
    """After headers, path, query or host of the request changed (TP-141)."""
    exchange.own_headers()
    if exchange.scope is not None:
        exchange.scope.request_changed()


def response_changed(exchange: Exchange) -> None:
    """After ``exchange.response`` was replaced, or its status or headers changed."""
    if exchange.scope is not None:
        exchange.scope.response_changed()
