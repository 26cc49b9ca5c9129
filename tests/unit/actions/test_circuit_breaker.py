"""``circuit-breaker`` (TP-490 … TP-494, CL-68)."""

from __future__ import annotations

import pytest

from gateway import errors
from gateway.actions.circuit_breaker import failed
from gateway.errors import GatewayError, failure
from gateway.exchange import Attempt, Exchange
from gateway.policy.compile import CompiledPolicy
from tests.unit.actions.policies import Policies, action, refused, report

CL68 = "{error_threshold: 0, volume_threshold: 1}"


def serve(policies: Policies, policy: CompiledPolicy, error: GatewayError | None = None) -> GatewayError | None:
    """One request from start to end; the refusal, if any."""
    exchange = policies.exchange()
    outcome = policies.run(policy, exchange)
    exchange.error = error
    exchange.status = 200 if error is None else error.status
    for settle in exchange.settlers:
        settle(exchange)
    return None if outcome is None else refused(outcome)


def test_the_second_request_is_refused_cl68() -> None:
    policies = Policies()
    policy = policies.compile(action("circuit-breaker", CL68))
    assert serve(policies, policy) is None
    policies.clock.advance(2.5)
    error = serve(policies, policy)
    assert error is not None
    assert (error.code, error.status, error.headers) == ("ERR_NGROK_3202", 503, (("retry-after", "8"),))


def test_a_trial_after_the_time_tp493() -> None:
    policies = Policies()
    policy = policies.compile(action("circuit-breaker", "{volume_threshold: 2, tripped_duration: 30s}"))
    down = failure(errors.UPSTREAM_UNREACHABLE)
    assert [serve(policies, policy, down) is None for _ in range(3)] == [True, True, False]
    policies.clock.advance(30)
    assert serve(policies, policy, down) is None
    assert serve(policies, policy, down) is not None
    policies.clock.advance(30)
    assert serve(policies, policy) is None
    assert serve(policies, policy) is None


def test_enforce_false_never_trips_tp494() -> None:
    policies = Policies()
    policy = policies.compile(action("circuit-breaker", "{error_threshold: 0, volume_threshold: 1, enforce: false}"))
    assert all(serve(policies, policy, failure(errors.ALL_FAILED)) is None for _ in range(5))


def test_the_state_survives_a_reload() -> None:
    policies = Policies()
    serve(policies, policies.compile(action("circuit-breaker", CL68)))
    edited = policies.compile(action("circuit-breaker", CL68) + "  - type: deny\n")
    assert refused(policies.run(edited, policies.exchange())).code == "ERR_NGROK_3202"


def test_each_occurrence_counts_for_itself_tp491() -> None:
    policies = Policies()
    policy = policies.compile(
        f"""
        on_http_request:
          - expressions: ["req.url.path == '/a'"]
            actions: [{{type: circuit-breaker, config: {CL68}}}]
          - expressions: ["req.url.path == '/b'"]
            actions: [{{type: circuit-breaker, config: {CL68}}}]
        """
    )
    for path in ("/a", "/b"):
        exchange = policies.exchange(path=path)
        assert policies.run(policy, exchange) is None
        for settle in exchange.settlers:
            settle(exchange)
        refused(policies.run(policy, policies.exchange(path=path)))


def finished(
    status: int = 0, error: GatewayError | None = None, *attempts: tuple[str, int], waited: float = 0.0
) -> Exchange:
    exchange = Policies().exchange()
    exchange.status = status
    exchange.error = error
    exchange.upstream_wait_s = waited
    for kind, attempt_status in attempts:
        attempt = Attempt(None, None, 0.0)
        attempt.kind, attempt.status = kind, attempt_status
        exchange.attempts.append(attempt)
    return exchange


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (finished(200, None, ("", 200)), False),
        (finished(404, None, ("", 404)), False),
        (finished(200, None, ("http", 500), ("", 200)), False),
        (finished(500, None, ("", 500)), True),
        (finished(200, None, ("stream_error", 200)), True),
        (finished(503, failure(errors.ALL_FAILED)), True),
        (finished(504, failure(errors.TIMED_OUT)), True),
        (finished(502, failure(errors.BAD_UPSTREAM)), True),
        (finished(429, failure(errors.UPSTREAM_RATE_LIMIT)), False),
        (finished(401, failure(errors.INVALID_KEY)), False),
        (finished(500, failure(errors.EXPRESSION_FAILED)), False),
        (finished(503, failure(errors.CIRCUIT_OPEN)), False),
        (finished(503), False),
        (finished(503, waited=0.2), True),
        (finished(200, waited=0.2), False),
    ],
)
def test_what_is_a_failure_tp491(exchange: Exchange, expected: bool) -> None:
    assert failed(exchange) is expected
    exchange.client_gone = True
    assert failed(exchange) is None


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("{error_threshold: 1.1}", ("ERR_NGROK_2215", 4, 25)),
        ("{error_threshold: -0.1}", ("ERR_NGROK_2215", 4, 25)),
        ("{volume_threshold: 0}", ("ERR_NGROK_2215", 4, 26)),
        ("{volume_threshold: 2000000001}", ("ERR_NGROK_2215", 4, 26)),
        ("{window_duration: 500ms}", ("ERR_NGROK_2225", 4, 25)),
        ("{window_duration: 121s}", ("ERR_NGROK_2221", 4, 25)),
        ("{tripped_duration: 10}", ("ERR_NGROK_2203", 4, 26)),
        ("{num_buckets: 11}", ("ERR_NGROK_2215", 4, 21)),
        ("{window: 1s}", ("ERR_NGROK_2203", 4, 8)),
    ],
)
def test_wrong_configurations(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action("circuit-breaker", config))) == [place]


def test_older_names_are_tolerated_with_a_warning_tp490() -> None:
    problems = Policies().problems(action("circuit-breaker", "{rolling_window: 5s, error_threshold_percentage: 0.2}"))
    assert not problems.failed
    assert sum("older name" in problem.message for problem in problems.warnings) == 2


def test_it_needs_no_configuration() -> None:
    assert not Policies().problems("on_http_request:\n  - type: circuit-breaker\n").failed
