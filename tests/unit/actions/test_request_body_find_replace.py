"""``request-body-find-replace`` (TP-440 … TP-448, CL-26, CL-27, CL-96)."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest

from gateway.errors import INVALID_BODY, GatewayError, failure
from gateway.exchange import Exchange
from gateway.policy import replacements
from gateway.policy.options import PolicyOptions
from tests.unit.actions.policies import Client, Policies, Secrets, action, refused, report, result

TYPE = "request-body-find-replace"


def replaced(config: str, body: bytes, headers: dict[str, str] | None = None, rest: str = "") -> Exchange:
    policies = Policies(secrets=Secrets({("v", "word"): "hush"}))
    exchange = policies.exchange("POST", headers=headers, body=body)
    policy = policies.compile(action(TYPE, config) + rest)
    assert policies.run(policy, exchange) is None
    return exchange


REDACT = r"""
replacements:
  - {from: '[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}', to: '[EMAIL]'}
  - {from: '\b\d{3}-\d{2}-\d{4}\b', to: '[SSN]'}
  - {from: '\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b', to: '[CARD]'}
  - {from: '"password"\s*:\s*"[^"]*"', to: '"password":"[REDACTED]"'}
"""


def test_personal_details_are_redacted_cl26() -> None:
    body = b'{"m":"ann@x.example, 123-45-6789, 4111 1111 1111 1111","password" : "p\xc3\xa4ss"}'
    exchange = replaced(REDACT, body)
    assert exchange.body == b'{"m":"[EMAIL], [SSN], [CARD]","password":"[REDACTED]"}'


def test_the_system_prompt_is_extended_cl27() -> None:
    config = r"""replacements: [{from: '("role":"system","content":")', to: '$1Be brief. '}]"""
    exchange = replaced(config, b'{"messages":[{"role":"system","content":"Help."}]}')
    assert exchange.body == b'{"messages":[{"role":"system","content":"Be brief. Help."}]}'


def test_patterns_and_texts_may_be_interpolated_cl27() -> None:
    config = """replacements: [{from: "${vars.find}", to: "<${secrets.get('v', 'word')}>"}]"""
    text = "on_http_request:\n  - type: set-vars\n    config: {vars: [{find: 'b+'}]}\n"
    policies = Policies(secrets=Secrets({("v", "word"): "hush"}))
    policy = policies.compile(text + action(TYPE, config).partition("\n")[2])
    exchange = policies.exchange("POST", body=b"abbc")
    assert policies.run(policy, exchange) is None
    assert exchange.body == b"a<hush>c"


def test_each_replacement_sees_the_one_before_tp440() -> None:
    exchange = replaced("replacements: [{from: a, to: b}, {from: b, to: c}, {from: 'x'}]", b"abxa")
    assert exchange.body == b"ccc"
    shown = result(exchange, "request_body_find_replace")
    assert [(match.replacement_index, match.matched_content) for match in shown.replacements] == [
        (0, "a"), (1, "b"), (2, "x"),
    ]  # fmt: skip


def test_only_replacements_that_matched_are_listed_tp447() -> None:
    exchange = replaced("replacements: [{from: zzz, to: b}, {from: 'h(.)', to: '$1'}]", b"hi ho")
    matches = result(exchange, "request_body_find_replace").replacements
    assert [(match.replacement_index, match.matched_content) for match in matches] == [(1, "hi")]


def test_the_length_is_corrected_tp441() -> None:
    exchange = replaced("replacements: [{from: a, to: bbb}]", b"aa", {"content-length": "2"})
    assert (exchange.content_length, exchange.headers.first("content-length")) == (6, "6")


def test_a_chunked_body_gets_a_length_tp441() -> None:
    exchange = replaced("replacements: [{from: x, to: y}]", b"aa", {"transfer-encoding": "chunked"})
    assert dict(exchange.headers.lines()) == {"content-length": "2"}


def test_bytes_that_are_no_text_stay_as_they_are_tp442() -> None:
    exchange = replaced("replacements: [{from: 'é', to: e}, {from: '.b', to: '!'}]", b"\xff\xc3\xa9\xfe ab \xc3")
    assert exchange.body == b"\xffe\xfe ! \xc3"


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("GZIP", gzip.compress),
        ("br, gzip", lambda body: gzip.compress(brotli.compress(body))),
        ("identity", bytes),
    ],
)
def test_compressed_bodies_are_passed_on_decoded_tp442(coding: str, encode: object) -> None:
    encoded = encode(b"secret " * 3_000)  # type: ignore[operator]
    exchange = replaced("replacements: [{from: secret, to: x}]", encoded, {"content-encoding": coding})
    assert exchange.body == b"x " * 3_000
    assert "content-encoding" not in exchange.headers


@pytest.mark.parametrize(
    ("coding", "body"), [("compress", b"x"), ("gzip", b"no gzip"), ("gzip", gzip.compress(b"x", mtime=0)[:-4])]
)
def test_other_codings_fail_closed_tp442(coding: str, body: bytes) -> None:
    policies = Policies()
    policy = policies.compile(action(TYPE, "replacements: [{from: x}]"))
    error = refused(policies.run(policy, policies.exchange("POST", headers={"content-encoding": coding}, body=body)))
    assert (error.code, error.status) == ("ERR_NGROK_3904", 500)


def test_an_empty_body_is_left_alone_tp442() -> None:
    exchange = replaced("replacements: [{from: '^$', to: x}]", b"")
    assert exchange.body == b""
    assert exchange.headers == {}


class TooMuch(Client):
    async def read_body(self, limit_bytes: int) -> bytes:
        error = failure(INVALID_BODY, reason="too large")
        error.status = 413
        raise error


def test_a_body_above_the_limit_is_a_413_tp441() -> None:
    policies = Policies(PolicyOptions(max_buffered_body_bytes=10))
    policy = policies.compile(action(TYPE, "replacements: [{from: x}]"))
    exchange = policies.exchange("POST")
    exchange.downstream = TooMuch()
    for one in (exchange, policies.exchange("POST", body=b"x" * 11)):
        error = refused(policies.run(policy, one))
        assert (error.code, error.status) == ("ERR_NGROK_3903", 413)


def test_a_bomb_is_a_413_tp441_p14() -> None:
    policies = Policies(PolicyOptions(max_buffered_body_bytes=100_000))
    policy = policies.compile(action(TYPE, "replacements: [{from: x}]"))
    bomb = gzip.compress(bytes(10_000_000))
    error = refused(policies.run(policy, policies.exchange("POST", headers={"content-encoding": "gzip"}, body=bomb)))
    assert (error.code, error.status) == ("ERR_NGROK_3903", 413)


def test_a_result_above_the_limit_fails_closed() -> None:
    policies = Policies(PolicyOptions(max_buffered_body_bytes=1_000))
    policy = policies.compile(action(TYPE, "replacements: [{from: x, to: yyyyyyyyyy}]"))
    exchange = policies.exchange("POST", body=b"x" * 500)
    assert refused(policies.run(policy, exchange)).code == "ERR_NGROK_3904"
    assert exchange.body == b"x" * 500, "nothing is changed in part"


def test_a_catastrophic_expression_takes_bounded_time_cl96() -> None:
    """RE2 never backtracks."""
    exchange = replaced(r"replacements: [{from: '(a|a)*$', to: x}, {from: '(a*)*b', to: y}]", b"a" * 1_000_000)
    assert exchange.body == b"x"


def test_many_long_searches_are_stopped_cl96(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each match is linear, but there may be as many as there are bytes."""
    monkeypatch.setattr(replacements, "TIME_LIMIT_S", -1.0)
    policies = Policies()
    policy = policies.compile(action(TYPE, r"replacements: [{from: '(?:a*b)|a', to: x}]"))
    error = refused(policies.run(policy, policies.exchange("POST", body=b"a" * 100_000)))
    assert error.code == "ERR_NGROK_3904"
    assert "too long" in error.cause


@pytest.mark.parametrize(
    ("entry", "headers", "code"),
    [
        ("{from: \"${req.headers['x'][0]}\"}", {"x": "("}, "ERR_NGROK_3901"),
        ("{from: \"${req.headers['x'][0] + 'a'}\"}", {}, "ERR_NGROK_3900"),
        ("{from: a, to: \"${secrets.get('v', 'none')}\"}", {}, "ERR_NGROK_3900"),
    ],
)
def test_errors_of_interpolation_tp448(entry: str, headers: dict[str, str], code: str) -> None:
    policies = Policies()
    exchange = policies.exchange("POST", headers=headers, body=b"abc")
    error = refused(policies.run(policies.compile(action(TYPE, f"replacements: [{entry}]")), exchange))
    assert (error.code, error.status) == (code, 500)
    assert exchange.body is None, "the body was not even read"


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("replacements: []", ("ERR_NGROK_2223", 4, 21)),
        ("{}", ("ERR_NGROK_2234", 4, 7)),
        ("replacements: [{to: x}]", ("ERR_NGROK_2234", 4, 22)),
        ("replacements: [{from: '(?<=a)b'}]", ("ERR_NGROK_2261", 4, 29)),
        (r"replacements: [{from: '(a)\1'}]", ("ERR_NGROK_2261", 4, 29)),
        ("replacements: [{from: a, field: data}]", ("ERR_NGROK_2203", 4, 32)),
        ("replacements: [{from: '${'}]", ("ERR_NGROK_2224", 4, 30)),
    ],
)
def test_wrong_configurations(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action(TYPE, config))) == [place]


def test_a_stalled_body_keeps_its_own_error() -> None:
    class Stalled(Client):
        async def read_body(self, limit_bytes: int) -> bytes:
            raise GatewayError(INVALID_BODY.__class__("X", 408, "slow", INVALID_BODY.source))

    policies = Policies()
    exchange = policies.exchange("POST")
    exchange.downstream = Stalled()
    assert refused(policies.run(policies.compile(action(TYPE, "replacements: [{from: a}]")), exchange)).status == 408
