"""``forward-internal`` (TP-540 … TP-544, CL-40, CL-41, CL-63)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import errors
from gateway.actions.forward_internal import Target, parse_target
from gateway.errors import GatewayError, failure
from gateway.exchange import Exchange
from gateway.headers import HeaderMap
from gateway.policy.action import Outcome, Respond
from gateway.policy.internal import InternalEndpoints
from gateway.upstream.fetch import FetchAnswer, FetchRequest
from tests.unit.actions.policies import Policies, action, refused, report, result

TYPE = "forward-internal"
ANSWER = Respond(200, HeaderMap(), b"from inside", run_response_phase=True)


class Inside:
    """Internal endpoints by host; what each request carried."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {f"{name}.internal": answer for name, answer in answers.items()}
        self.seen: list[tuple[str, str, int | None, dict[str, list[str]]]] = []

    async def forward(self, exchange: Exchange, scheme: str, host: str, port: int | None) -> Outcome:
        self.seen.append((scheme, host, port, {name: list(values) for name, values in exchange.headers.items()}))
        answer = self.answers.get(host, failure(errors.NO_ENDPOINT, url=host))
        if isinstance(answer, GatewayError):
            raise answer
        outcome: Outcome = answer
        return outcome

    async def request(self, exchange: Exchange, request: FetchRequest, host: str, port: int | None) -> FetchAnswer:
        raise AssertionError("not used here")


def forward(config: str, exchange: Exchange | None = None, **answers: Any) -> tuple[Inside, Exchange, Outcome]:
    inside = Inside(**answers)
    policies = Policies(services={InternalEndpoints: inside})
    exchange = exchange or policies.exchange("POST", "/x", headers={"host": "gateway.example"})
    return inside, exchange, policies.run(policies.compile(action(TYPE, config)), exchange)


def test_the_endpoint_behind_answers_tp540() -> None:
    inside, exchange, outcome = forward("url: https://a.internal:8443", a=ANSWER)
    assert outcome is ANSWER
    assert inside.seen[0][:3] == ("https", "a.internal", 8_443)
    assert exchange.forwards == 1
    assert "forward_internal" not in exchange.results, "results are only set after a failure (TP-543)"


def test_it_learns_who_asked_and_the_host_stays_tp541_p29() -> None:
    exchange = Policies().exchange(
        scheme="https", headers={"host": "gateway.example", "x-forwarded-for": "1.2.3.4", "x-forwarded-host": "evil"}
    )
    inside, _, _ = forward("url: http://a.internal", exchange, a=ANSWER)
    assert inside.seen[0][3] == {
        "host": ["gateway.example"], "x-forwarded-for": ["203.0.113.7"], "x-forwarded-host": ["gateway.example"],
        "x-forwarded-proto": ["https"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (failure(errors.NO_ENDPOINT, url="a"), "ERR_NGROK_3200", 404),
        (failure(errors.BAD_UPSTREAM), "ERR_NGROK_3004", 502),
    ],
)
def test_failures_halt_by_default_tp542(error: GatewayError, code: str, status: int) -> None:
    _, exchange, outcome = forward("url: http://a.internal", a=error)
    assert (refused(outcome).code, refused(outcome).status) == (code, status)
    assert "forward_internal" not in exchange.results


def test_after_a_failure_the_policy_may_go_on_tp543_cl41() -> None:
    headers = {"host": "gateway.example", "x-forwarded-for": "1.2.3.4"}
    exchange = Policies().exchange(headers=headers)
    _, exchange, outcome = forward("{url: 'http://gone.internal', on_error: continue}", exchange)
    assert outcome is None
    shown = result(exchange, "forward_internal")
    assert (shown.url, shown.error.code) == ("http://gone.internal", "ERR_NGROK_3200")
    assert exchange.headers == {"host": ["gateway.example"], "x-forwarded-for": ["1.2.3.4"]}, "as it was before"


def test_other_errors_are_not_hidden() -> None:
    error = failure(errors.EXPRESSION_FAILED)
    _, _, outcome = forward("{url: 'http://a.internal', on_error: continue}", a=error)
    assert refused(outcome) is error


def test_loops_end_after_ten_forwards_tp542() -> None:
    for forwards, on_error in ((10, "halt"), (10, "continue"), (9, "halt")):
        exchange = Policies().exchange()
        exchange.forwards = forwards
        inside, _, outcome = forward(f"{{url: 'http://a.internal', on_error: {on_error}}}", exchange, a=ANSWER)
        if forwards == 10:
            assert refused(outcome).status == 508
            assert inside.seen == []
        else:
            assert outcome is ANSWER


def test_without_internal_endpoints_there_is_none() -> None:
    policies = Policies()
    outcome = policies.run(policies.compile(action(TYPE, "url: http://a.internal")), policies.exchange())
    assert refused(outcome).code == "ERR_NGROK_3200"


@pytest.mark.parametrize(
    ("host", "target"),
    [("api", "api.internal"), ("x.y", "x.y.internal"), ("evil.example/", None), ("", None), ("a@b", None)],
)
def test_interpolated_hosts_must_be_internal_tp544_cl63(host: str, target: str | None) -> None:
    exchange = Policies().exchange(headers={"x-to": host})
    inside, _, outcome = forward(
        "url: \"http://${req.headers['x-to'][0]}.internal\"", exchange, api=ANSWER, **{"x.y": ANSWER}
    )
    if target is None:
        assert refused(outcome).code == "ERR_NGROK_2238"
        assert inside.seen == []
    else:
        assert inside.seen[0][1] == target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a.internal", Target("http", "a.internal", None)),
        ("https://A.Internal:81/", Target("https", "a.internal", 81)),
        ("http://internal", None),
        ("http://.internal", None),
        ("http://a.internal.example", None),
        ("http://a.internal/path", None),
        ("http://a.internal?x=1", None),
        ("http://u@a.internal", None),
        ("http://a.internal:x", None),
        ("http://a.internal\r\n", None),
        ("tcp://a.internal", None),
        ("a.internal", None),
    ],
)
def test_which_urls_are_internal_tp544(url: str, target: Target | None) -> None:
    assert parse_target(url) == target


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("{on_error: halt}", ("ERR_NGROK_2234", 4, 7)),
        ("{url: 'http://a.example'}", ("ERR_NGROK_2226", 4, 13)),
        ("{url: 'http://a.internal/x'}", ("ERR_NGROK_2226", 4, 13)),
        ("{url: 'http://a.internal', on_error: retry}", ("ERR_NGROK_2222", 4, 44)),
    ],
)
def test_wrong_configurations(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action(TYPE, config))) == [place]


def test_it_cannot_stand_in_the_tcp_phase_tp544() -> None:
    assert report(Policies().problems(action(TYPE, "url: http://a.internal", "on_tcp_connect"))) == [
        ("ERR_NGROK_2202", 2, 11)
    ]


def test_the_binding_is_ignored_with_a_warning() -> None:
    problems = Policies().problems(action(TYPE, "{url: 'http://a.internal', binding: internal}"))
    assert not problems.failed
    assert any("'binding'" in problem.message for problem in problems.warnings)


def test_whether_it_ends_the_phase_is_known_at_load_tp17_cl40() -> None:
    maintenance = "on_http_request:\n  - {type: custom-response, config: {status_code: 503}}\n"
    behind = maintenance + "  - {type: forward-internal, config: {url: 'http://a.internal'}}\n"
    assert [problem.code for problem in Policies().problems(behind).warnings] == ["ERR_NGROK_2207"]
    text = action(TYPE, "url: http://a.internal") + "  - type: deny\n"
    assert "ERR_NGROK_2207" in [problem.code for problem in Policies().problems(text).warnings]
    lenient = action(TYPE, "{url: 'http://a.internal', on_error: continue}") + "  - type: deny\n"
    assert "ERR_NGROK_2207" not in [problem.code for problem in Policies().problems(lenient).warnings]
