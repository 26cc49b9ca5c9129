"""``rate-limit`` (TP-260 … TP-282)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

import pytest

from gateway.actions.rate_limit import Rate, bucket_text, parse_rate
from gateway.cel.values import Duration, Timestamp
from gateway.errors import GatewayError
from gateway.exchange import RequestHead
from gateway.headers import HeaderMap, ValueList
from gateway.limiter.buckets import LimiterIdentity, LimiterTable
from gateway.policy.action import Refuse
from gateway.policy.options import PolicyOptions
from tests.unit.actions.policies import Policies, action, first_error, refused, report, result

CONFIG = """
name: per-key
algorithm: sliding_window
capacity: 3
rate: 60s
bucket_key: ["req.headers['authorization']"]
"""


def limit(**changes: str) -> str:
    """The policy with some lines changed; an empty value removes the line."""
    lines = [line for line in CONFIG.strip().splitlines() if line.partition(":")[0] not in changes]
    return action("rate-limit", "\n".join(lines + [f"{name}: {value}" for name, value in changes.items() if value]))


def test_the_limit_is_a_429_with_retry_after_tp280() -> None:
    policies = Policies()
    policy = policies.compile(limit())
    assert all(policies.run(policy, policies.exchange()) is None for _ in range(3))
    policies.clock.advance(3)
    error = refused(policies.run(policy, policies.exchange()))
    assert (error.code, error.status, error.headers) == ("ERR_TP_RATE_LIMITED", 429, (("retry-after", "57"),))
    assert "'per-key'" in error.message
    assert "3 requests per 1m" in error.message


def test_the_vector_tp281() -> None:
    policies = Policies()
    policy = policies.compile(limit())
    waits = []
    for step in (0, 1, 1, 1, 56.5, 0.5, 0.5, 0.5):
        policies.clock.advance(step)
        outcome = policies.run(policy, policies.exchange())
        waits.append(int(refused(outcome).headers[0][1]) if isinstance(outcome, Refuse) else 0)
    assert waits == [0, 0, 0, 57, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("source", "rate"),
    [
        ("60s", Rate(60)), ("90s", Rate(90)), ("10m", Rate(600)), ("1h", Rate(3_600)), ("1h30m", Rate(5_400)),
        ("100/min", Rate(60, 100)), ("100 / Minute", Rate(60, 100)), ("5/s", Rate(1, 5)), ("5/SEC", Rate(1, 5)),
        ("7/second", Rate(1, 7)), ("7/m", Rate(60, 7)), ("7/h", Rate(3_600, 7)), ("7/hr", Rate(3_600, 7)),
        ("7/hour", Rate(3_600, 7)), ("7/d", Rate(86_400, 7)), ("7/day", Rate(86_400, 7)), ("7/90s", Rate(90, 7)),
        ("60", None), ("", None), ("x/min", None), ("1.5/min", None), ("-1/min", None), ("100/", None),
        ("100/week", None), ("100/60", None), ("100/min/2", None),
    ],
)  # fmt: skip
def test_the_forms_of_a_rate_tp260(source: str, rate: Rate | None) -> None:
    assert parse_rate(source) == rate


@pytest.mark.parametrize(
    ("rate", "code"),
    [
        ("2/min", "ERR_NGROK_2222"),
        ("65s", "ERR_NGROK_2222"),
        ("24h10s", "ERR_NGROK_2221"),
        ("3/2d", "ERR_NGROK_2228"),
        ("500ms", "ERR_NGROK_2225"),
        ("'60'", "ERR_NGROK_2228"),
        ("60", "ERR_NGROK_2203"),
        ("${vars.x}", "ERR_NGROK_2224"),
    ],
)
def test_wrong_rates_tp261_tp262(rate: str, code: str) -> None:
    assert report(Policies().problems(limit(rate=rate))) == [(code, 8, 13)]


def test_a_count_that_differs_names_both_numbers_tp261() -> None:
    message = first_error(Policies().problems(limit(rate="100/min"))).message
    assert "100" in message
    assert "3" in message


@pytest.mark.parametrize("rate", ["1s", "59s", "3/s", "60s", "24h"])
def test_windows_from_one_second_to_a_day_load_tp262(rate: str) -> None:
    assert not Policies().problems(limit(rate=rate)).failed


def test_the_shortest_window_is_a_setting_tp262() -> None:
    policies = Policies(options=PolicyOptions(rate_limit_min_window_s=60.0))
    assert [problem.code for problem in policies.problems(limit(rate="59s")).errors] == ["ERR_NGROK_2225"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": ""}, "ERR_NGROK_2234"),
        ({"name": "''"}, "ERR_NGROK_2223"),
        ({"name": "n" * 1_024}, "ERR_NGROK_2255"),
        ({"algorithm": "token_bucket"}, "ERR_NGROK_2222"),
        ({"capacity": "0"}, "ERR_NGROK_2215"),
        ({"capacity": "2000000001"}, "ERR_NGROK_2215"),
        ({"capacity": "many"}, "ERR_NGROK_2203"),
        ({"bucket_key": "[]"}, "ERR_NGROK_2223"),
        ({"bucket_key": str(["1"] * 11)}, "ERR_NGROK_2218"),
        ({"bucket_key": '["req.nothing"]'}, "ERR_NGROK_2200"),
        ({"bucket_key": "[\"'a' +\"]"}, "ERR_NGROK_2200"),
        ({"bucket_key": "[5]"}, "ERR_NGROK_2200"),
        ({"enforce": "'yes'"}, "ERR_NGROK_2203"),
        ({"burst": "5"}, "ERR_NGROK_2203"),
    ],
)
def test_limits_of_the_fields(changes: dict[str, str], code: str) -> None:
    assert [problem.code for problem in Policies().problems(limit(**changes)).errors] == [code]


def test_it_stands_only_in_the_request_phase() -> None:
    text = limit().replace("on_http_request", "on_http_response")
    assert [problem.code for problem in Policies().problems(text).errors] == ["ERR_NGROK_2202"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([ValueList(["Bearer x"])], b'[["Bearer x"]]'),
        ([None], b"[null]"),
        ([ValueList([""])], b'[[""]]'),
        (["a", "bc"], b'["a","bc"]'),
        (["ab", "c"], b'["ab","c"]'),
        ([1, 2.5, True, 3.0], b"[1,2.5,true,3]"),
        ([Timestamp(0), Duration(90 * 10**9), b"\xff"], b'["1970-01-01T00:00:00Z","90s","/w=="]'),
        (["\udcff"], b'["\xff"]'),
        (['"é'], '["\\"é"]'.encode()),
    ],
)
def test_the_bucket_string_tp266(values: list[object], text: bytes) -> None:
    assert bucket_text(values) == text


def test_a_value_that_json_does_not_have_fails_closed_tp268() -> None:
    with pytest.raises(GatewayError, match="ERR_NGROK_2253"):
        bucket_text([float("nan")])


def test_requests_without_the_header_share_one_bucket_tp267_cl94() -> None:
    policies = Policies()
    policy = policies.compile(limit(capacity="1"))
    assert policies.run(policy, policies.exchange()) is None
    assert isinstance(policies.run(policy, policies.exchange(client_ip="198.51.100.9")), Refuse)
    empty = {"authorization": ""}
    assert policies.run(policy, policies.exchange(headers=empty)) is None, "an empty header is another bucket"
    assert isinstance(policies.run(policy, policies.exchange(headers=empty)), Refuse)


def test_first_value_and_missing_value_as_keys_tp267_cl46() -> None:
    for key in ("getReqHeader('x-api-key')[0]", "req.headers['x-api-key'][0]"):
        policies = Policies()
        policy = policies.compile(limit(bucket_key=f'["{key}"]', capacity="1"))
        answers = [policies.run(policy, policies.exchange(headers=h)) for h in ({}, {}, {"x-api-key": "a"})]
        assert [outcome is None for outcome in answers] == [True, False, True]


#: what a policy may do before it counts
BEFORE = [
    "",
    "add-headers\n    config: {headers: {authorization: later}}",
    "remove-headers\n    config: {headers: [authorization]}",
    "set-vars\n    config: {vars: [{tokens: [a, b]}]}",
]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize(
    "key",
    [
        "req.headers['authorization']", "req.headers['authorization'][0]", "req.headers['content-length']",
        "req.headers['x'][0]", "conn.client_ip", "req.url.query_params['q']", "req.url.path + conn.client_ip", "1",
        "req.id", "vars", "req.headers.map(name, req.headers[name])",
    ],
)  # fmt: skip
def test_requests_that_share_a_head_have_the_buckets_of_their_own_tp266(key: str, before: str) -> None:
    policies = Policies()
    text = limit(bucket_key=f'["{key}"]', capacity="1000")
    if before:
        first, _, rest = text.partition("\n")
        text = f"{first}\n  - type: {before}\n{rest}"
    policy = policies.compile(text)

    def buckets(heads: Mapping[str, RequestHead]) -> list[str]:
        found = []
        for request in range(12):
            path = ("/a?q=1&q=2", "/b")[request % 2]
            lines = [("authorization", f"Bearer {path}"), ("authorization", "b"), ("content-length", "5")]
            target, _, query = path.partition("?")
            exchange = policies.exchange(path=target, query=query, lines=lines, client_ip=f"192.0.2.{request % 3}")
            exchange.id = f"req_{request % 4}"
            if head := heads.get(path):
                exchange.head = head
                exchange.headers = HeaderMap(head.headers)
            if request % 5 == 0:
                exchange.headers.set("content-length", str(request))
            policies.run(policy, exchange)
            found.append(result(exchange, "rate_limit").bucket_key)
        return found

    assert buckets({path: head_of(path) for path in ("/a?q=1&q=2", "/b")}) == buckets({})


def head_of(path: str) -> RequestHead:
    """The head that the requests to a path share."""
    lines = [("authorization", f"Bearer {path}"), ("authorization", "b"), ("content-length", "5")]
    target, _, query = path.partition("?")
    return RequestHead(
        "GET", path, HeaderMap.of(lines), host="gateway.example", path=target, query=query, http_11=True,
        keep_alive=True, length=5, plain=True,
    )  # fmt: skip


def test_all_keys_together_are_the_bucket_tp265() -> None:
    policies = Policies()
    policy = policies.compile(limit(bucket_key="[conn.client_ip, req.url.path]", capacity="1"))
    requests = [("203.0.113.1", "/a"), ("203.0.113.1", "/b"), ("203.0.113.2", "/a"), ("203.0.113.1", "/a")]
    answers = [policies.run(policy, policies.exchange(path=path, client_ip=ip)) for ip, path in requests]
    assert [outcome is None for outcome in answers] == [True, True, True, False]


def test_a_failing_key_fails_closed_tp268() -> None:
    policies = Policies()
    policy = policies.compile(limit(bucket_key="[\"req.headers['x'][0] + 'y'\"]"))
    error = refused(policies.run(policy, policies.exchange()))
    assert (error.code, error.status) == ("ERR_NGROK_2253", 500)


def test_counts_survive_an_edit_elsewhere_tp269() -> None:
    policies = Policies()
    before = policies.compile(limit())
    for _ in range(3):
        policies.run(before, policies.exchange())
    after = policies.compile(limit() + "  - type: deny\n")
    assert isinstance(policies.run(after, policies.exchange()), Refuse)
    policies.services[LimiterTable].retain({claim for claim in after.claims if isinstance(claim, LimiterIdentity)})
    assert isinstance(policies.run(policies.compile(limit()), policies.exchange()), Refuse)


def test_identical_limiters_of_one_policy_count_apart_tp269() -> None:
    policies = Policies()
    twice = limit(capacity="2") + limit(capacity="2").partition("\n")[2]
    policy = policies.compile(twice)
    assert [policies.run(policy, policies.exchange()) is None for _ in range(3)] == [True, True, False]
    assert sum(isinstance(claim, LimiterIdentity) for claim in policy.claims) == 2


def test_another_capacity_is_another_limiter_tp269() -> None:
    policies = Policies()
    policies.run(policies.compile(limit(capacity="1")), policies.exchange())
    assert policies.run(policies.compile(limit(capacity="2")), policies.exchange()) is None


def test_enforce_false_decides_and_counts_but_lets_pass_tp275() -> None:
    policies = Policies()
    policy = policies.compile(limit(capacity="1", enforce="false"))
    limited = []
    for _ in range(3):
        exchange = policies.exchange()
        assert policies.run(policy, exchange) is None
        limited.append(result(exchange, "rate_limit").limited)
    assert limited == [False, True, True]


def test_result_variables_tp282() -> None:
    policies = Policies()
    policy = policies.compile(limit(capacity="1"))
    token = {"authorization": "Bearer sk-secret"}
    admitted, limited = policies.exchange(headers=token), policies.exchange(headers=token)
    policies.run(policy, admitted)
    policies.run(policy, limited)
    digest = hashlib.sha256(b'[["Bearer sk-secret"]]').hexdigest()
    first, second = result(admitted, "rate_limit"), result(limited, "rate_limit")
    assert (first.limited, first.bucket_key, first.error) == (False, digest, None)
    assert (second.limited, second.bucket_key, second.error.code) == (True, digest, "ERR_TP_RATE_LIMITED")
    assert "sk-secret" not in refused(policies.run(policy, limited)).message


def test_results_are_typed_for_later_rules() -> None:
    policies = Policies()
    text = limit(capacity="1", enforce="false") + (
        "  - expressions: [\"actions.ngrok.rate_limit.limited && actions.ngrok.rate_limit.error.code != ''\"]\n"
        "    actions: [{type: deny, config: {status_code: 418}}]\n"
    )
    policy = policies.compile(text)
    assert policies.run(policy, policies.exchange()) is None
    outcome = policies.run(policy, policies.exchange())
    assert outcome is not None
    assert getattr(outcome, "status", 0) == 418


def test_a_thousand_at_once_against_a_hundred_tp273_cl93() -> None:
    policies = Policies()
    policy = policies.compile(limit(capacity="100"))

    async def request() -> bool:
        await asyncio.sleep(0)
        return await policies.run_async(policy, policies.exchange()) is None

    async def crowd() -> int:
        return sum(await asyncio.gather(*[request() for _ in range(1_000)]))

    assert asyncio.run(crowd()) == 100


def test_never_more_than_the_capacity_in_any_minute_cl93() -> None:
    """Bursts at the end and at the start of windows."""
    policies = Policies()
    policy = policies.compile(limit(capacity="100"))
    admitted: list[float] = []
    for step in (59.0, 2.0, 57.5, 0.5, 1.0, 58.0):
        policies.clock.advance(step)
        now = policies.clock.monotonic()
        admitted += [now for _ in range(150) if policies.run(policy, policies.exchange()) is None]
    for end in admitted:
        assert sum(end - 60 < instant <= end for instant in admitted) <= 100
    assert len(admitted) > 100
