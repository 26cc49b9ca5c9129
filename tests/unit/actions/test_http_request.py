"""``http-request`` (TP-470 … TP-477, CL-48, CL-49, CL-66, CL-67)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.actions import http_request
from gateway.exchange import Exchange, ResponseHead
from gateway.headers import HeaderMap
from gateway.policy.action import Outcome
from gateway.policy.internal import InternalEndpoints
from gateway.policy.model import Phase
from gateway.policy.options import PolicyOptions
from gateway.upstream.fetch import FetchAnswer, Fetcher, FetchError, FetchRequest, FetchRules
from tests.unit.actions.policies import Policies, Secrets, action, refused, report, result

TYPE = "http-request"


@dataclass
class World:
    """Both ways out; what was sent on each. ``answers`` are used up in order, the last one again and again."""

    answers: list[Any] = field(default_factory=list)
    sent: list[FetchRequest] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)
    delay: Callable[[], Awaitable[None]] | None = None

    async def answer(self, way: str, request: FetchRequest) -> FetchAnswer:
        self.ways.append(way)
        self.sent.append(FetchRequest(request.method, request.url, request.headers.copy(), request.body))
        if self.delay is not None:
            await self.delay()
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, FetchAnswer)
        return found


class Outside(Fetcher):
    """External hosts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rules: list[FetchRules] = []

    async def send(self, request: FetchRequest, rules: FetchRules) -> FetchAnswer:
        self.rules.append(rules)
        return await self.world.answer("external", request)


class Inside:
    """Internal endpoints."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def forward(self, exchange: Exchange, scheme: str, host: str, port: int | None) -> Outcome:
        raise AssertionError("not used here")

    async def request(self, exchange: Exchange, request: FetchRequest, host: str, port: int | None) -> FetchAnswer:
        return await self.world.answer(f"{host}:{port}", request)


def reply(status: int = 200, body: bytes = b"", **headers: str) -> FetchAnswer:
    return FetchAnswer(
        status, HeaderMap.of((name.replace("_", "-"), value) for name, value in headers.items()), body, "10.0.0.9"
    )


def policies(world: World, **options: Any) -> Policies:
    services: dict[type, Any] = {Fetcher: Outside(world), InternalEndpoints: Inside(world)}
    return Policies(PolicyOptions(**options), services, Secrets({("v", "s"): "sk-hush"}))


def ask(config: str, *answers: Any, exchange: Exchange | None = None) -> tuple[World, Exchange, Outcome]:
    world = World(list(answers) or [reply()])
    made = policies(world, http_request_allow_external=("api.example",))
    exchange = exchange or made.exchange("POST", "/x", headers={"x-user": "ann"})
    outcome = made.run(made.compile(action(TYPE, config)), exchange)
    return world, exchange, outcome


def test_an_internal_endpoint_is_asked_tp471() -> None:
    world, exchange, outcome = ask("url: http://tiers.internal/who?a=1", reply(200, b"gold", x_a="1"))
    assert outcome is None
    assert world.ways == ["tiers.internal:None"]
    shown = result(exchange, "http_request")
    assert (shown.res.status_code, shown.res.statusCode, shown.res.body, shown.res.resolved_ip) == (
        200,
        200,
        "gold",
        "10.0.0.9",
    )
    assert shown.res.header == {"x-a": ["1"]}
    assert [(one.response_status_code, one.resolved_ip) for one in shown.attempts] == [(200, "10.0.0.9")]
    assert (shown.req.method, shown.req.url, shown.req.body) == ("GET", "http://tiers.internal/who?a=1", "")
    assert shown.error is None


def test_added_headers_tp475() -> None:
    world, _, _ = ask("{url: 'http://a.internal', headers: {X-Mine: \"${req.headers['x-user'][0]}\"}}")
    assert dict(world.sent[0].headers.lines()) == {
        "x-mine": "ann", "ngrok-req-id": "req_1", "ngrok-req-type": "http-request", "x-forwarded-for": "203.0.113.7",
        "user-agent": http_request.USER_AGENT, "ngrok-req-hops": "1",
    }  # fmt: skip
    assert "gateway" in http_request.USER_AGENT


def test_query_and_body_cl67() -> None:
    config = """
    url: https://api.example/a?x=1#f
    method: POST
    query_params: [{key: "q &", value: "${req.headers['x-user'][0]}/ü"}, {key: n, value: 5}]
    headers: {content-type: application/json}
    body: '{"who": "${req.headers[\\"x-user\\"][0]}"}'
    """
    world, _, _ = ask(config)
    assert world.ways == ["external"]
    request = world.sent[0]
    assert (request.method, request.url) == ("POST", "https://api.example/a?x=1&q%20%26=ann%2F%C3%BC&n=5#f")
    assert json.loads(request.body) == {"who": "ann"}
    assert "ngrok-req-hops" not in request.headers, "hops are counted inside the gateway only"


def test_the_allowed_hosts_go_along_tp471() -> None:
    world = World([reply()])
    made = policies(world, http_request_allow_external=("API.example", "*"))
    made.run(made.compile(action(TYPE, "url: https://api.example/")), made.exchange())
    rules = made.services[Fetcher].rules[0]
    assert rules == FetchRules(frozenset({"api.example", "*"}), max_bytes=262_144)


def test_secrets_do_not_show_in_results_tp628() -> None:
    config = """
    url: "https://api.example/${secrets.get('v', 's')}"
    method: PUT
    headers: {authorization: "Bearer ${secrets.get('v', 's')}"}
    body: "key=${secrets.get('v', 's')}"
    """
    world, exchange, _ = ask(config)
    assert world.sent[0].headers.first("authorization") == "Bearer sk-hush"
    shown = result(exchange, "http_request").req
    assert (shown.url, shown.body, shown.header["authorization"]) == (
        "https://api.example/***",
        "key=***",
        ["Bearer ***"],
    )


def test_redirects_tp470() -> None:
    world, exchange, _ = ask("url: http://a.internal/", reply(302, location="/b"))
    assert result(exchange, "http_request").res.status_code == 302, "not followed by default"
    world, exchange, _ = ask(
        "{url: 'http://a.internal/', max_redirects: 2}",
        reply(302, location="http://b.internal:81/x"), reply(307, location="https://api.example/"), reply(200, b"end"),
    )  # fmt: skip
    assert world.ways == ["a.internal:None", "b.internal:81", "external"]
    assert result(exchange, "http_request").res.body == "end"
    _, exchange, _ = ask("{url: 'http://a.internal/', max_redirects: 1}", reply(302, location="/again"))
    assert "too many redirects" in result(exchange, "http_request").error.message


def test_retries_tp472() -> None:
    config = """
    url: http://a.internal/
    retry_condition: "attempts < 3 && (last_attempt.error != null || last_attempt.res.statusCode == 503)"
    """
    world, exchange, _ = ask(config, FetchError("refused"), reply(503), reply(200, b"ok"))
    shown = result(exchange, "http_request")
    assert [one.response_status_code for one in shown.attempts] == [0, 503, 200]
    assert (shown.res.body, shown.error) == ("ok", None)
    world, exchange, _ = ask(config, reply(503))
    assert len(world.sent) == 3
    world, exchange, _ = ask(config, reply(404))
    assert len(world.sent) == 1


def test_at_most_three_retries_and_none_after_success_tp472() -> None:
    world, _, _ = ask("{url: 'http://a.internal/', retry_condition: 'true'}", FetchError("refused"))
    assert len(world.sent) == 4
    world, _, _ = ask("{url: 'http://a.internal/', retry_condition: 'true'}", reply(399))
    assert len(world.sent) == 1
    world, _, _ = ask(
        "{url: 'http://a.internal/', retry_condition: \"req.method == 'POST' && attempts < 2\"}", reply(500)
    )
    assert len(world.sent) == 2, "variables of the phase are known, too"


def test_a_failing_condition_fails_closed() -> None:
    _, _, outcome = ask(
        "{url: 'http://a.internal/', retry_condition: \"last_attempt.res.header['x'][0] < 'y'\"}", reply(500)
    )
    assert refused(outcome).code == "ERR_NGROK_2253"


def test_failures_go_on_by_default_tp477() -> None:
    _, exchange, outcome = ask("url: http://a.internal/", FetchError("refused"))
    assert outcome is None
    shown = result(exchange, "http_request")
    assert (shown.res, shown.error.code, shown.error.message) == (None, "ERR_TP_HTTP_REQUEST", "refused")


def test_failures_may_halt_tp477() -> None:
    _, _, outcome = ask("{url: 'http://a.internal/', on_error: halt}", FetchError("refused"))
    error = refused(outcome)
    assert (error.code, error.status) == ("ERR_TP_HTTP_REQUEST", 502)
    assert "refused" in error.cause
    _, _, outcome = ask("{url: 'http://a.internal/', on_error: halt}", reply(500))
    assert outcome is None, "an answered status is not a failure"


@pytest.mark.parametrize("on_error", ["halt", "continue"])
def test_the_time_is_for_all_attempts_together_tp477_cl66(on_error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    timeout = asyncio.timeout

    def short(seconds: float) -> asyncio.Timeout:
        times.append(seconds)
        return timeout(0.02)

    monkeypatch.setattr("gateway.actions.http_request.asyncio.timeout", short)

    async def forever() -> None:
        await asyncio.sleep(60)

    world = World([reply()], delay=forever)
    made = policies(world)
    exchange = made.exchange()
    config = f"{{url: 'http://a.internal/', timeout: 1s, on_error: {on_error}, retry_condition: 'true'}}"
    outcome = made.run(made.compile(action(TYPE, config)), exchange)
    assert times == [1.0]
    assert len(world.sent) == 1
    if on_error == "halt":
        assert refused(outcome).status == 504
    else:
        assert outcome is None
        assert "timeout" in result(exchange, "http_request").error.message


def test_large_answers_are_failures_tp473() -> None:
    _, exchange, _ = ask("url: http://a.internal/", reply(200, bytes(262_145)))
    assert result(exchange, "http_request").error.message == "response size exceeded"
    _, exchange, _ = ask("url: http://a.internal/", reply(200, bytes(262_144)))
    assert result(exchange, "http_request").error is None


def test_hops_are_limited_tp474() -> None:
    for hops, error in ((2, None), (3, "more than 3 internal hops")):
        exchange = Policies().exchange(headers={"ngrok-req-hops": "0"})
        exchange.hops = hops
        world, exchange, _ = ask("url: http://a.internal/", exchange=exchange)
        shown = result(exchange, "http_request")
        assert (None if shown.error is None else shown.error.message) == error
        if error is None:
            assert world.sent[0].headers.first("ngrok-req-hops") == "3"


def test_without_any_way_out_it_is_a_failure() -> None:
    made = Policies()
    for url in ("http://a.internal/", "https://api.example/"):
        exchange = made.exchange()
        assert made.run(made.compile(action(TYPE, f"url: {url}")), exchange) is None
        assert result(exchange, "http_request").error.code == "ERR_TP_HTTP_REQUEST"


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://u:p@a.internal/", ""])
def test_a_url_that_is_none_after_interpolation(url: str) -> None:
    exchange = Policies().exchange(headers={"x": url})
    _, exchange, outcome = ask("url: \"${req.headers['x'][0]}\"", exchange=exchange)
    assert outcome is None
    assert result(exchange, "http_request").error.message == "not an http or https URL"


def test_interpolation_fails_before_anything_is_sent_tp111() -> None:
    world, _, outcome = ask("{url: 'http://a.internal/', method: PUT, body: \"${req.headers['none'][0] + 'x'}\"}")
    assert refused(outcome).code == "ERR_NGROK_2238"
    assert world.sent == []


def test_long_parameters_after_interpolation_fail_closed() -> None:
    exchange = Policies().exchange(headers={"x": "v" * 8_193})
    world, _, outcome = ask(
        "{url: 'http://a.internal/', query_params: [{key: k, value: \"${req.headers['x'][0]}\"}]}", exchange=exchange
    )
    assert refused(outcome).code == "ERR_NGROK_2238"
    assert world.sent == []


def test_the_answer_decides_cl48_cl49() -> None:
    world = World([reply(200, b'{"tier": "gold"}'), reply(403)])
    made = policies(world)
    policy = made.compile(
        """
        on_http_request:
          - type: http-request
            config: {url: http://identity.internal/}
          - expressions: [actions.ngrok.http_request.res.status_code != 200]
            actions: [{type: deny}]
          - type: set-vars
            config:
              vars:
                - who: "${json.decode(actions.ngrok.http_request.res.body)}"
                - tier: "${vars.who.tier}"
        """
    )
    exchange = made.exchange()
    assert made.run(policy, exchange) is None
    assert exchange.vars["tier"] == "gold"
    assert made.run(policy, made.exchange()) is not None


def test_in_the_response_phase_cl66() -> None:
    world = World([FetchError("dead")])
    made = policies(world)
    policy = made.compile(
        action(TYPE, "{url: 'http://stats.internal/${string(res.status_code)}', timeout: 1s}", Phase.RESPONSE)
    )
    exchange = made.exchange(response=ResponseHead(204, HeaderMap()))
    assert made.run(policy, exchange, Phase.RESPONSE) is None
    assert world.sent[0].url == "http://stats.internal/204"


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("{method: GET}", ("ERR_NGROK_2234", 4, 7)),
        ("{url: ''}", ("ERR_NGROK_2223", 4, 13)),
        ("{url: 'ftp://a.internal'}", ("ERR_NGROK_2226", 4, 13)),
        ("{url: 'http://a.internal', method: TRACE}", ("ERR_NGROK_2222", 4, 42)),
        ("{url: 'http://a.internal', method: HEAD}", ("ERR_NGROK_2222", 4, 42)),
        ("{url: 'http://a.internal', max_redirects: 101}", ("ERR_NGROK_2215", 4, 49)),
        ("{url: 'http://a.internal', timeout: 500ms}", ("ERR_NGROK_2225", 4, 43)),
        ("{url: 'http://a.internal', timeout: 31s}", ("ERR_NGROK_2221", 4, 43)),
        ("{url: 'http://a.internal', on_error: retry}", ("ERR_NGROK_2222", 4, 44)),
        ("{url: 'http://a.internal', retry_condition: attempts}", ("ERR_NGROK_2200", 4, 51)),
        ("{url: 'http://a.internal', retry_condition: nothing}", ("ERR_NGROK_2200", 4, 51)),
        ("{url: 'http://a.internal', headers: {host: x}}", ("ERR_NGROK_2219", 4, 44)),
        ("{url: 'http://a.internal', query_params: [{key: a}]}", ("ERR_NGROK_2234", 4, 49)),
    ],
)
def test_wrong_configurations(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action(TYPE, config))) == [place]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ("[" + ", ".join(["{key: a, value: b}"] * 33) + "]", "ERR_NGROK_2244"),
        ("[{key: " + "k" * 129 + ", value: b}]", "ERR_NGROK_2245"),
        ("[{key: k, value: " + "v" * 8_193 + "}]", "ERR_NGROK_2246"),
    ],
)
def test_limits_of_query_parameters(params: str, code: str) -> None:
    problems = Policies().problems(action(TYPE, f"{{url: 'http://a.internal', query_params: {params}}}"))
    assert [problem.code for problem in problems.errors] == [code]


def test_doubtful_configurations_are_warnings() -> None:
    def warned(config: str) -> str:
        problems = Policies().problems(action(TYPE, config))
        assert not problems.failed
        return " ".join(problem.message for problem in problems.warnings)

    assert "http_request_allow_external" in warned("url: https://elsewhere.example/")
    assert "'body' is not sent" in warned("{url: 'http://a.internal', body: x}")
    assert "retry_condition" not in warned("{url: 'http://a.internal', retry_condition: 'false'}")
