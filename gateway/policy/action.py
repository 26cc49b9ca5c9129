"""What an action is: its declaration (``ActionSpec``), its compiled form, and what it may decide (``Outcome``).

An action file offers one ``ActionSpec``: the shape of its configuration, the phases it may stand in, the type of its
result under ``actions.ngrok``, and ``compile``, which turns a validated configuration into a ``CompiledAction``.

How the kinds of actions fit
    plain           ``run(exchange)`` does its work and returns None
    terminating     returns ``Respond``, ``Refuse``, ``Forward`` or ``CloseConnection``
    waiting         ``is_async``: ``run`` returns an awaitable of an outcome (body reads, other services)
    on_tcp_connect  gets an Exchange that has a connection and an endpoint only; refusing closes the connection
    response        changes ``exchange.response`` (status, headers, body) and calls ``variables.response_changed``
    request         changes ``exchange`` (headers, path, query, body) and calls ``variables.request_changed``
    stream          changes ``exchange.scope.sse``, the message in flight
    counting        keeps state in ``deps.state(…)``, which survives reloads; what happens after the answer is a
                    callback in ``exchange.settlers``
    with results    puts an object into ``exchange.results[<result name>]``

Invariants
    1. Everything interpolated is evaluated before the action has any effect (TP-111): ``run`` evaluates first.
    2. A failure is a ``GatewayError`` raised or ``Refuse`` returned; any other exception becomes 2300 and fails closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from gateway.cel.types import STRING, CelType
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError
from gateway.headers import HeaderMap
from gateway.policy.model import Phase, Terminates
from gateway.problems import Codes
from gateway.schema.shapes import Shape

if TYPE_CHECKING:
    from gateway.cel.types import HostClass
    from gateway.exchange import Exchange

C = TypeVar("C")
S = TypeVar("S")
ResultClass: TypeAlias = "type[HostClass]"
ServiceTable: TypeAlias = "Mapping[type, Any]"


@dataclass(slots=True)
class Respond:
    """An answer made by the policy. ``run_response_phase``: TP-42, second column."""

    status: int
    headers: HeaderMap
    body: bytes
    run_response_phase: bool


@dataclass(slots=True)
class Refuse:
    """An error made by the engine or an action (TP 10.2)."""

    error: GatewayError
    run_response_phase: bool = False


@dataclass(slots=True)
class Forward:
    """The answer of an upstream, held back before its first byte goes to the client."""

    held: Any


@dataclass(slots=True)
class CloseConnection:
    """The connection ends without an HTTP answer; ``error`` says why if something failed (TP-56)."""

    error: GatewayError | None = None


Outcome: TypeAlias = Respond | Refuse | Forward | CloseConnection | None
#: for ``isinstance``; what else ``run_phase`` gives, besides None, has to be awaited
OUTCOMES = (Forward, Respond, Refuse, CloseConnection)
Run: TypeAlias = Callable[["Exchange"], Outcome] | Callable[["Exchange"], Awaitable[Outcome]]


class CompiledAction:
    """What the engine calls. ``run`` is a closure or bound method, which is faster than a callable object."""

    __slots__ = ("is_async", "is_eager", "is_final", "run", "type")

    def __init__(
        self, type: str, run: Run, *, is_async: bool = False, is_eager: bool = False, is_final: bool = False
    ) -> None:
        self.type = type
        self.run = run
        self.is_async = is_async
        #: it waits, but can do so outside of a task (``gateway.eager``)
        self.is_eager = is_eager
        #: it waits, and always ends its phase, by an outcome that it makes of its own failures as well
        self.is_final = is_final


class RuntimeRegistry:
    """State that outlives a reload: limiter counts, circuit breakers, key caches. Keyed by stable names."""

    def __init__(self) -> None:
        self._states: dict[tuple[Hashable, ...], Any] = {}

    def state(self, key: tuple[Hashable, ...], build: Callable[[], S]) -> S:
        """The state under a key, made by ``build`` if there is none."""
        if key not in self._states:
            self._states[key] = build()
        found: S = self._states[key]
        return found

    def retain(self, keys: set[tuple[Hashable, ...]]) -> None:
        """Drops everything else; called after a reload was published, so that removed rules leave nothing behind."""
        for key in self._states.keys() - keys:
            del self._states[key]

    def __len__(self) -> int:
        return len(self._states)


@dataclass(slots=True)
class CompileDeps:
    """What compiling an action may use. ``services`` holds what the composition root offers, by type."""

    endpoint: str
    phase: Phase = Phase.REQUEST
    protocol: str = "http"
    clock: Clock = field(default_factory=SystemClock)
    runtime: RuntimeRegistry = field(default_factory=RuntimeRegistry)
    services: Mapping[type, Any] = field(default_factory=dict)
    #: keys of the runtime state that this policy uses
    claimed: set[tuple[Hashable, ...]] = field(default_factory=set)

    def state(self, key: tuple[Hashable, ...], build: Callable[[], S]) -> S:
        """State of this endpoint. The same key asked again in one policy is another state (ordinal, TP-269, TP-491)."""
        ordinal = 0
        while (self.endpoint, *key, ordinal) in self.claimed:
            ordinal += 1
        full = (self.endpoint, *key, ordinal)
        self.claimed.add(full)
        return self.runtime.state(full, build)

    def service(self, kind: type[S]) -> S:
        """A service by its type; KeyError if the composition root offers none."""
        found: S = self.services[kind]
        return found


def _never(config: Any) -> Terminates:
    return Terminates.NEVER


@dataclass(frozen=True, slots=True)
class ActionSpec(Generic[C]):
    """The declaration of one action type.

    ``result``: class with ``__cel__`` of ``actions.ngrok.<result_name>``; ``result_name`` defaults to the type with
    underscores. ``aliases`` are accepted with a warning (TP-201). ``null_config`` is the configuration of an absent or
    null ``config``, which is read as ``{}``. ``limit``: how often the type may stand in one policy, and the code.
    """

    type: str
    phases: frozenset[Phase]
    shape: Shape[C]
    compile: Callable[[C, CompileDeps], CompiledAction]
    terminates: Callable[[C], Terminates] = _never
    result: ResultClass | None = None
    result_name: str = ""
    aliases: tuple[str, ...] = ()
    codes: Codes = field(default_factory=Codes)
    #: always leaves the request handled, though it may not end the phase (``ai-gateway``: TP-51)
    handles: bool = False
    #: checks who the caller is; its presence silences the warning about open gateways (CL-1)
    guards: bool = False
    #: changes whole answers and leaves event streams alone (TP-444)
    skips_streams: bool = False
    #: at most one per policy (TP-8): the code of the error
    single_code: str = ""
    doc: str = ""

    @property
    def name(self) -> str:
        """The name under ``actions.ngrok`` (TP-202)."""
        return self.result_name or self.type.replace("-", "_")


ActionTable: TypeAlias = Mapping[str, ActionSpec[Any]]


class ActionError:
    """``error`` of an action's result (TP-202)."""

    __slots__ = ("code", "message")
    __cel__: ClassVar[Mapping[str, CelType]] = {"code": STRING, "message": STRING}

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message

    @classmethod
    def of(cls, error: GatewayError) -> ActionError:
        """The code and message of a gateway error."""
        return cls(error.code, error.message)


def always(config: Any) -> Terminates:
    """For actions that always end the phase."""
    return Terminates.ALWAYS


def maybe(config: Any) -> Terminates:
    """For actions that end the phase when they refuse."""
    return Terminates.MAYBE
