"""``http-request``: asks another service before the policy goes on (TP 8.14)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from gateway import __version__
from gateway.cel.env import BOOL, HEADER_MAP, INT, STRING, CelType, list_of, nullable, object_of
from gateway.document import Node
from gateway.errors import FIELD_FAILED, HTTP_REQUEST_FAILED, INTERPOLATION_FAILED, GatewayError
from gateway.headers import HeaderMap
from gateway.policy.action import ActionError, ActionSpec, CompiledAction, CompileDeps, Refuse, maybe
from gateway.policy.fields import Expression, Interpolated, evaluation_failure, expression, interpolated, policy_reader
from gateway.policy.header_fields import NOT_SETTABLE, HeaderFields, compile_headers, header_map
from gateway.policy.internal import MAX_HOPS, InternalEndpoints, is_internal
from gateway.policy.model import Phase
from gateway.policy.plain import masked
from gateway.schema.shapes import Invalid, Reader, duration, enum, field, integer, record, then
from gateway.schema.shapes import list_of as list_shape
from gateway.upstream.fetch import (
    REDIRECTS,
    FetchAnswer,
    Fetcher,
    FetchError,
    FetchRequest,
    FetchRules,
    redirected,
    split_url,
)

if TYPE_CHECKING:
    from gateway.exchange import Exchange

METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS")
_WITHOUT_BODY = frozenset(("GET", "OPTIONS"))
MAX_RETRIES = 3
MAX_BODY_BYTES = 262_144
_MAX_PARAMS, _MAX_KEY, _MAX_VALUE = 32, 128, 8_192
_TOO_MANY_PARAMS, _LONG_KEY, _LONG_VALUE = "ERR_NGROK_2244", "ERR_NGROK_2245", "ERR_NGROK_2246"
USER_AGENT = f"ai-gateway/{__version__}"
_TIMEOUT_STATUS = 504
_HOPS = "ngrok-req-hops"


class SentRequest:
    """``.req`` of the result and of ``last_attempt``."""

    __slots__ = ("body", "header", "method", "url")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "method": STRING, "header": HEADER_MAP, "url": STRING, "body": STRING,
    }  # fmt: skip

    def __init__(self, request: FetchRequest, secrets: Collection[str]) -> None:
        """Secrets are shown as ``***`` (TP-628)."""
        self.method = request.method
        self.header = HeaderMap.of((name, masked(value, secrets)) for name, value in request.headers.lines())
        self.url = masked(request.url, secrets)
        self.body = masked(request.body.decode("utf-8", "surrogateescape"), secrets)


class Answered:
    """``.res`` of the result and of ``last_attempt`` (TP-476)."""

    __slots__ = ("body", "header", "resolved_ip", "status_code", "time_ms")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "resolved_ip": STRING, "header": HEADER_MAP, "status_code": INT, "statusCode": INT, "time_ms": INT,
        "body": STRING,
    }  # fmt: skip

    def __init__(self, answer: FetchAnswer, time_ms: int) -> None:
        self.resolved_ip = answer.resolved_ip
        self.header = answer.headers
        self.status_code = answer.status
        self.time_ms = time_ms
        self.body = answer.body.decode("utf-8", "surrogateescape")

    @property
    def statusCode(self) -> int:  # noqa: N802 - the documented alias (TP-472)
        return self.status_code


class AttemptShown:
    """An entry of ``.attempts``."""

    __slots__ = ("resolved_ip", "response_header", "response_status_code", "response_time_ms")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "resolved_ip": STRING, "response_header": HEADER_MAP, "response_status_code": INT, "response_time_ms": INT,
    }  # fmt: skip

    def __init__(self, answer: FetchAnswer | None, time_ms: int) -> None:
        self.resolved_ip = answer.resolved_ip if answer is not None else ""
        self.response_header = answer.headers if answer is not None else HeaderMap()
        self.response_status_code = answer.status if answer is not None else 0
        self.response_time_ms = time_ms


class LastAttempt:
    """``last_attempt`` of ``retry_condition`` (TP-472)."""

    __slots__ = ("error", "req", "res")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "req": object_of(SentRequest), "res": nullable(object_of(Answered)), "error": nullable(object_of(ActionError)),
    }  # fmt: skip

    def __init__(self, req: SentRequest, res: Answered | None, error: ActionError | None) -> None:
        self.req = req
        self.res = res
        self.error = error


class Result:
    """``actions.ngrok.http_request`` (TP-476)."""

    __slots__ = ("attempts", "error", "req", "res")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "attempts": list_of(object_of(AttemptShown), lookup=True), "req": nullable(object_of(SentRequest)),
        "res": nullable(object_of(Answered)), "error": nullable(object_of(ActionError)),
    }  # fmt: skip

    def __init__(self, req: SentRequest) -> None:
        self.attempts: list[AttemptShown] = []
        self.req = req
        self.res: Answered | None = None
        self.error: ActionError | None = None


@dataclass(frozen=True, slots=True)
class Config:
    url: Interpolated
    method: str
    query_params: tuple[tuple[Interpolated, Interpolated], ...]
    headers: HeaderFields
    body: Interpolated | None
    max_redirects: int
    timeout: float
    retry_condition: Expression | None
    on_error: str
    external: frozenset[str] = frozenset()


# ---- configuration ---------------------------------------------------------------------------------------------------


def _url(url: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
    if url.literal is None:
        return url
    try:
        _, host, _ = split_url(url.literal)
    except FetchError:
        return reader.error(node, reader.codes.bad_url, "must be an http or https URL")
    if not is_internal(host) and not FetchRules(_external(reader)).admits(host):
        words = "this host is not in policy.http_request_allow_external, so the request will fail"
        reader.warning(node, reader.codes.not_allowed, words)
    return url


def _external(reader: Reader) -> frozenset[str]:
    return frozenset(host.lower() for host in policy_reader(reader).options.http_request_allow_external)


def _limited(code: str, maximum: int) -> Callable[[Interpolated, Node, Reader], Interpolated | Invalid]:
    def check(value: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
        if len(value.literal or "") > maximum:
            return reader.error(node, code, f"must have at most {maximum} characters")
        return value

    return check


def _counted(params: tuple[Any, ...], node: Node, reader: Reader) -> tuple[Any, ...] | Invalid:
    if len(params) > _MAX_PARAMS:
        return reader.error(node, _TOO_MANY_PARAMS, f"must have at most {_MAX_PARAMS} entries")
    return params


def _finished(config: Config, node: Node, reader: Reader) -> Config:
    if config.body is not None and config.method in _WITHOUT_BODY:
        words = f"'body' is not sent with {config.method}"
        reader.warning(node.key("body") or node, reader.codes.tolerated, words)
        config = replace(config, body=None)
    return replace(config, external=_external(reader))


_PARAM = record(
    lambda key, value: (key, value),
    key=field(then(interpolated(minimum=1), _limited(_LONG_KEY, _MAX_KEY)), doc="name of a parameter"),
    value=field(then(interpolated(coerce=True), _limited(_LONG_VALUE, _MAX_VALUE)), doc="its value"),
)


# ---- running ---------------------------------------------------------------------------------------------------------


class _RetryScope:
    """The scope of the exchange with the two names that only ``retry_condition`` knows."""

    __slots__ = ("_scope", "attempts", "last_attempt")

    def __init__(self, scope: Any, attempts: int, last_attempt: LastAttempt) -> None:
        self._scope = scope
        self.attempts = attempts
        self.last_attempt = last_attempt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scope, name)


class _Asking:
    """Runs the action; one per occurrence of it."""

    def __init__(self, config: Config, deps: CompileDeps) -> None:
        self.config = config
        self.headers = compile_headers(config.headers)
        self.monotonic = deps.clock.monotonic
        self.fetcher: Fetcher | None = deps.services.get(Fetcher)
        self.endpoints: InternalEndpoints | None = deps.services.get(InternalEndpoints)
        self.rules = FetchRules(config.external, max_bytes=MAX_BODY_BYTES)

    async def run(self, exchange: Exchange) -> Refuse | None:
        request = self.request(exchange)
        result = Result(SentRequest(request, exchange.secrets_seen))
        exchange.results["http_request"] = result
        status = HTTP_REQUEST_FAILED.status
        started = self.monotonic()
        try:
            async with asyncio.timeout(self.config.timeout):
                await self.attempts(exchange, request, result)
        except TimeoutError:
            status = _TIMEOUT_STATUS
            result.res = None
            result.attempts.append(AttemptShown(None, self.since(started)))
            result.error = _error("the request took longer than its timeout")
        if result.error is None or self.config.on_error != "halt":
            return None
        return Refuse(GatewayError(HTTP_REQUEST_FAILED, status=status, cause=f"http-request: {result.error.message}"))

    def since(self, started: float) -> int:
        return round((self.monotonic() - started) * 1_000)

    def request(self, exchange: Exchange) -> FetchRequest:
        """Everything is evaluated before anything is sent (TP-111)."""
        config = self.config
        url = config.url.text(exchange)
        params = [(key.text(exchange), value.text(exchange)) for key, value in config.query_params]
        headers = HeaderMap.of(self.headers(exchange))
        body = config.body.text(exchange).encode("utf-8", "surrogateescape") if config.body is not None else b""
        for key, value in params:
            if len(key) > _MAX_KEY or len(value) > _MAX_VALUE:
                raise GatewayError(INTERPOLATION_FAILED, cause=f"{config.url.place}: a query parameter is too long")
        if params:
            query = "&".join(f"{_quoted(key)}={_quoted(value)}" for key, value in params)
            url, mark, fragment = url.partition("#")
            url += ("&" if "?" in url else "?") + query + mark + fragment
        headers.set("ngrok-req-id", exchange.id)
        headers.set("ngrok-req-type", "http-request")
        headers.set("x-forwarded-for", exchange.conn.client_ip)
        if "user-agent" not in headers:
            headers.set("user-agent", USER_AGENT)
        return FetchRequest(config.method, url, headers, body)

    async def attempts(self, exchange: Exchange, request: FetchRequest, result: Result) -> None:
        """Up to three retries, each if the condition says so after a failed attempt (TP-472)."""
        for number in range(1, MAX_RETRIES + 2):
            started = self.monotonic()
            answer: FetchAnswer | None = None
            result.error = None
            try:
                answer = await self.follow(exchange, request)
            except FetchError as error:
                result.error = _error(str(error))
            taken = self.since(started)
            result.attempts.append(AttemptShown(answer, taken))
            result.res = None if answer is None else Answered(answer, taken)
            if (answer is not None and answer.status < 400) or number > MAX_RETRIES:
                return
            if not self.wants_retry(exchange, number, result):
                return

    def wants_retry(self, exchange: Exchange, number: int, result: Result) -> bool:
        condition = self.config.retry_condition
        if condition is None:
            return False
        scope = _RetryScope(exchange.scope, number, LastAttempt(result.req, result.res, result.error))
        try:
            return bool(condition.program.evaluate(scope))
        except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
            raise evaluation_failure(FIELD_FAILED, condition.place, condition.program, error) from None

    async def follow(self, exchange: Exchange, request: FetchRequest) -> FetchAnswer:
        """The answer behind at most ``max_redirects`` redirects, none of which is followed by default (TP-470)."""
        for followed in range(self.config.max_redirects + 1):
            answer = await self.send(exchange, request)
            location = answer.headers.first("location")
            if answer.status not in REDIRECTS or location is None or not self.config.max_redirects:
                return answer
            if followed == self.config.max_redirects:
                break
            request = redirected(request, answer.status, location)
        raise FetchError("too many redirects")

    async def send(self, exchange: Exchange, request: FetchRequest) -> FetchAnswer:
        """To an endpoint of this gateway, or to an external host that is allowed (TP-471)."""
        _, host, _ = parts = split_url(request.url)
        if not is_internal(host):
            if self.fetcher is None:
                raise FetchError("external hosts cannot be reached here")
            request.headers.pop(_HOPS, None)
            return await self.fetcher.send(request, self.rules)
        if exchange.hops >= MAX_HOPS:
            raise FetchError(f"more than {MAX_HOPS} internal hops")
        if self.endpoints is None:
            raise FetchError("there is no such endpoint")
        request.headers.set(_HOPS, str(exchange.hops + 1))
        answer = await self.endpoints.request(exchange, request, host, parts[0].port)
        if len(answer.body) > MAX_BODY_BYTES:
            raise FetchError("response size exceeded")
        return answer


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _error(message: str) -> ActionError:
    return ActionError(HTTP_REQUEST_FAILED.code, message)


def compile_http_request(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-470 to TP-477."""
    return CompiledAction("http-request", _Asking(config, deps).run, is_async=True)


SPEC = ActionSpec(
    type="http-request",
    phases=frozenset((Phase.REQUEST, Phase.RESPONSE)),
    shape=then(
        record(
            Config,
            url=field(then(interpolated(minimum=1), _url), doc="an .internal endpoint, or a host that is allowed"),
            method=field(enum(*METHODS), "GET", doc="the request's method"),
            query_params=field(then(list_shape(_PARAM), _counted), (), doc="{key, value}, at most 32"),
            headers=field(header_map(refused=NOT_SETTABLE | {"host"}), (), doc="headers of the request, at most 10"),
            body=field(interpolated(), None, doc="not with GET and OPTIONS"),
            max_redirects=field(integer(0, 100), 0, doc="redirects to follow; one more is a failure"),
            timeout=field(duration(minimum_s=1.0, maximum_s=30.0), 3.0, doc="for all attempts together"),
            retry_condition=field(
                expression(BOOL, attempts=INT, last_attempt=object_of(LastAttempt)), None,
                doc="CEL over 'attempts' and 'last_attempt'; asked after each failed attempt",
            ),
            on_error=field(enum("continue", "halt"), "continue", doc="what happens when there is no answer"),
        ),
        _finished,
    ),
    compile=compile_http_request,
    terminates=maybe,
    result=Result,
    doc="Makes an HTTP request and keeps its answer for later rules.",
)  # fmt: skip
