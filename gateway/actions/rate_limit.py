"""``rate-limit``: at most ``capacity`` requests per bucket in every window (TP 8.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import orjson

from gateway.cel.env import BOOL, STRING, CelType, nullable, object_of
from gateway.cel.errors import Failure
from gateway.document import Node
from gateway.errors import FIELD_FAILED, RATE_LIMITED, GatewayError
from gateway.headers import ValueList
from gateway.limiter.buckets import Limiter, LimiterIdentity, LimiterTable, bucket_key
from gateway.policy.action import ActionError, ActionSpec, CompiledAction, CompileDeps, Refuse, maybe
from gateway.policy.fields import Expression, expression, policy_reader
from gateway.policy.model import Phase
from gateway.policy.plain import json_value
from gateway.schema.shapes import (
    INVALID,
    Invalid,
    Reader,
    boolean,
    duration_text,
    enum,
    field,
    integer,
    list_of,
    parse_duration,
    record,
    text,
    then,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange

MAX_CAPACITY = 2_000_000_000
LONGEST_WINDOW_S = 86_400.0
_MINUTE_S = 60.0
_STEP_S = 10.0

_COUNTED = re.compile(r"\s*([0-9]{1,18})\s*/\s*(\S+)\s*")
_UNITS = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hr", "hour"), 3_600.0),
    **dict.fromkeys(("d", "day"), 86_400.0),
}

#: longer texts are not kept with a head, unless they are its own
_SHORT = 4_096
#: values that the fast encoder writes as TP-266 says
_PLAIN = frozenset((str, ValueList, int, bool, type(None)))


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` is None for a plain duration."""

    window_s: float
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Config:
    name: str
    algorithm: str
    capacity: int
    rate: Rate
    bucket_key: tuple[Expression, ...]
    enforce: bool


class Result:
    """``actions.ngrok.rate_limit`` (TP-282). The bucket is shown as a digest, since it may hold credentials."""

    __slots__ = ("error", "key", "limited")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "limited": BOOL, "bucket_key": STRING, "error": nullable(object_of(ActionError)),
    }  # fmt: skip

    def __init__(self, key: bytes, error: GatewayError | None = None) -> None:
        self.key = key
        self.limited = error is not None
        self.error = None if error is None else ActionError.of(error)

    @property
    def bucket_key(self) -> str:
        return self.key.hex()


#: no value is this one
_NOTHING_MET: tuple[object, Result] = object(), Result(b"")


def parse_rate(source: str) -> Rate | None:
    """``90s`` → ``Rate(90.0)``; ``100/min``, ``100 / 90s`` → ``Rate(60.0, 100)``, ``Rate(90.0, 100)``; else None."""
    counted = _COUNTED.fullmatch(source)
    if counted is None:
        seconds = parse_duration(source)
        return None if seconds is None else Rate(seconds)
    unit = counted[2].lower()
    seconds = _UNITS.get(unit) or parse_duration(unit)
    return None if seconds is None else Rate(seconds, int(counted[1]))


def _rate(source: str, node: Node, reader: Reader) -> Rate | Invalid:
    """TP-260, TP-262."""
    rate = parse_rate(source)
    codes = reader.codes
    if rate is None:
        words = "must be a duration such as '60s', or a count per unit of time such as '100/min'"
        return reader.error(node, codes.unparsable, words)
    shortest = policy_reader(reader).options.rate_limit_min_window_s
    if rate.window_s < shortest:
        return reader.error(node, codes.duration_too_short, f"the window must be at least {duration_text(shortest)}")
    if rate.window_s > LONGEST_WINDOW_S:
        return reader.error(node, codes.duration_too_long, "the window must be at most 24h")
    if rate.window_s >= _MINUTE_S and rate.window_s % _STEP_S:
        return reader.error(node, codes.not_allowed, "a window of 60s or more must be a multiple of 10s")
    return rate


def _consistent(config: Config, node: Node, reader: Reader) -> Config | Invalid:
    """TP-261: a count that is not the capacity could mean a burst or a rate."""
    count = config.rate.count
    if count is None or count == config.capacity:
        return config
    words = (
        f"the count of the rate, {count}, differs from 'capacity', {config.capacity}: they must be equal "
        f"(or write the window alone, '{duration_text(config.rate.window_s)}')"
    )
    reader.error(node.get("rate") or node, reader.codes.not_allowed, words)
    return INVALID


def bucket_text(values: list[object]) -> bytes:
    """The canonical string of a bucket: a compact JSON array (TP-266).

    ``[ValueList(['Bearer x'])]`` → ``[["Bearer x"]]``; ``[None]`` → ``[null]``.
    """
    if not _PLAIN.issuperset(map(type, values)):
        try:
            values = [json_value(value) for value in values]
        except Failure as error:
            raise GatewayError(FIELD_FAILED, cause=f"bucket_key: {error}") from None
    try:
        return orjson.dumps(values)
    except TypeError:
        # a header that is not UTF-8 keeps its bytes, so that it shares its bucket with no other
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def compile_rate_limit(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-265 to TP-282. The limiter is that of the same identity, whatever else was edited (TP-269)."""
    admit = _limiter(config, deps).admit
    monotonic = deps.clock.monotonic
    bucket_of = _of_one(*config.bucket_key) if len(config.bucket_key) == 1 else _of_several(config.bucket_key)
    refusal = _refusal(config)
    enforce = config.enforce

    def run(exchange: Exchange) -> Refuse | None:
        admitted = bucket_of(exchange)
        wait_s = admit(admitted.key, monotonic())
        if not wait_s:
            exchange.results["rate_limit"] = admitted
            return None
        error = refusal(wait_s)
        exchange.results["rate_limit"] = Result(admitted.key, error)
        return Refuse(error) if enforce else None

    return CompiledAction("rate-limit", run)


def _of_several(entries: Sequence[Expression]) -> Callable[[Exchange], Result]:
    """What an admitted request's result is, which tells its bucket."""
    values = tuple(entry.value for entry in entries)
    return lambda exchange: Result(bucket_key(bucket_text([value(exchange) for value in values])))


def _of_one(entry: Expression) -> Callable[[Exchange], Result]:
    """The same for one expression. A request that still has its head shares it with others, and so the values in it,
    which nobody changes: the bucket of the very value that was met with this head before is known."""
    evaluate = entry.program.evaluate

    def bucket_of(exchange: Exchange) -> Result:
        try:
            value = evaluate(exchange.scope)
        except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
            raise entry.failure(error) from None
        head = exchange.head
        if head is None:
            return Result(bucket_key(bucket_text([value])))
        noted: tuple[object, Result] = head.notes.get(evaluate, _NOTHING_MET)
        met, admitted = noted
        if met is not value:
            admitted = Result(bucket_key(bucket_text([value])))
            if value.__class__ is ValueList or (value.__class__ is str and len(value) <= _SHORT):
                head.notes[evaluate] = value, admitted
        return admitted

    return bucket_of


def _limiter(config: Config, deps: CompileDeps) -> Limiter:
    table = deps.services.get(LimiterTable)
    if table is None:  # a tool that runs a policy without a server
        table = deps.state(("limiter table",), LimiterTable)
    written = tuple(entry.program.source for entry in config.bucket_key)
    width = round(config.rate.window_s * 1e9)
    identity = LimiterIdentity(deps.endpoint, config.name, width, config.capacity, written, 0)
    while identity in deps.claimed:
        identity = identity._replace(ordinal=identity.ordinal + 1)
    deps.claimed.add(identity)
    limiter: Limiter = table.limiter(identity)
    return limiter


def _refusal(config: Config) -> Callable[[int], GatewayError]:
    """TP-280: 429 and ``retry-after``, nothing else."""
    fixed = {"name": config.name, "capacity": config.capacity, "window": duration_text(config.rate.window_s)}

    def refusal(wait_s: int) -> GatewayError:
        return GatewayError(
            RATE_LIMITED, {**fixed, "retry_after": wait_s}, headers=(("retry-after", str(wait_s)),),
        )  # fmt: skip

    return refusal


SPEC = ActionSpec(
    type="rate-limit",
    phases=frozenset((Phase.REQUEST,)),
    shape=then(
        record(
            Config,
            name=field(text(minimum=1, maximum=1_023), doc="names the limit in errors; part of its identity"),
            algorithm=field(enum("sliding_window"), doc="how requests are counted"),
            capacity=field(integer(1, MAX_CAPACITY), doc="requests admitted per bucket in any window"),
            rate=field(then(text(), _rate), doc="the window: '60s', or '100/min' with the capacity as its count"),
            bucket_key=field(
                list_of(expression(), minimum=1, maximum=10),
                doc="CEL expressions; their values together are the bucket",
            ),
            enforce=field(boolean(), True, doc="false: decide and count, but let the request pass"),
        ),
        _consistent,
    ),
    compile=compile_rate_limit,
    terminates=maybe,
    result=Result,
    doc="Limits how many requests pass in any window of time, for each value of a key.",
)
