"""``compress-response`` (TP-530 … TP-532, CL-70, P13)."""

from __future__ import annotations

import gzip
import zlib

import pytest

from gateway.exchange import Exchange, ResponseHead
from gateway.headers import HeaderMap
from gateway.policy.model import Phase
from gateway.policy.transform import TransformChain
from tests.unit.actions.policies import Policies, action, report, result

TYPE = "compress-response"
BODY = b"again and again " * 100


def answer(body: bytes | None = BODY, status: int = 200, /, **headers: str) -> ResponseHead:
    return ResponseHead(status, HeaderMap.of((name.replace("_", "-"), value) for name, value in headers.items()), body)


def run(
    head: ResponseHead, accept: str | None = "gzip", config: str = "{}", method: str = "GET", rest: str = ""
) -> Exchange:
    policies = Policies()
    exchange = policies.exchange(method, headers={} if accept is None else {"accept-encoding": accept}, response=head)
    policy = policies.compile(action(TYPE, config, "on_http_response") + rest)
    assert policies.run(policy, exchange, Phase.RESPONSE) is None
    return exchange


def test_a_whole_body_is_compressed_tp530() -> None:
    head = answer(content_length=str(len(BODY)))
    exchange = run(head)
    assert head.body is not None
    assert gzip.decompress(head.body) == BODY
    assert dict(head.headers.lines()) == {
        "content-length": str(len(head.body)), "content-encoding": "gzip", "vary": "accept-encoding",
    }  # fmt: skip
    shown = result(exchange, "compress")
    assert (shown.already_compressed, shown.negotiated_algorithm) == (False, "gzip")


def test_a_large_body_is_compressed_off_the_loop() -> None:
    head = answer(BODY * 100)
    run(head, "deflate")
    assert head.body is not None
    assert zlib.decompress(head.body) == BODY * 100


def test_a_relayed_body_is_compressed_as_it_streams_tp530() -> None:
    head = answer(None, content_length="1600", content_type="application/json")
    run(head)
    assert "content-length" not in head.headers
    assert gzip.decompress(TransformChain(head.transforms).whole(BODY)) == BODY


def test_event_streams_are_flushed_after_every_message_tp531() -> None:
    head = answer(None, content_type="text/event-stream")
    run(head)
    reader = zlib.decompressobj(zlib.MAX_WBITS | 32)
    for n in range(3):
        assert reader.decompress(head.transforms[0].feed(b"data: %d\n\n" % n)) == b"data: %d\n\n" % n


@pytest.mark.parametrize("accept", [None, "", "identity", "zstd", "compress", "gzip;q=0"])
def test_without_a_common_algorithm_nothing_changes_tp530(accept: str | None) -> None:
    head = answer(content_length="5")
    exchange = run(head, accept)
    assert (head.body, dict(head.headers.lines())) == (BODY, {"content-length": "5"})
    assert result(exchange, "compress").negotiated_algorithm == ""


def test_encoded_answers_are_left_alone_cl70() -> None:
    head = answer(content_encoding="br")
    shown = result(run(head), "compress")
    assert (head.body, head.transforms, shown.already_compressed) == (BODY, [], True)
    assert shown.negotiated_algorithm == ""


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 206), ("GET", 304)])
def test_where_it_does_not_apply_tp531(method: str, status: int) -> None:
    head = answer(None, status)
    run(head, method=method)
    assert (head.transforms, head.headers) == ([], {})


@pytest.mark.parametrize("headers", [{"content_length": "0"}, {"cache_control": "private, No-Transform"}])
def test_empty_bodies_and_no_transform_p13(headers: dict[str, str]) -> None:
    head = answer(None, 200, **headers)
    run(head)
    assert head.transforms == []


@pytest.mark.parametrize(
    ("before", "after"),
    [("origin", ["origin", "accept-encoding"]), ("*", ["*"]), ("Origin, Accept-Encoding", ["Origin, Accept-Encoding"])],
)
def test_vary(before: str, after: list[str]) -> None:
    head = answer(vary=before)
    run(head)
    assert head.headers["vary"] == after


def test_a_strong_tag_becomes_weak() -> None:
    for tag, expected in (('"a"', 'W/"a"'), ('W/"a"', 'W/"a"')):
        head = answer(etag=tag)
        run(head)
        assert head.headers.first("etag") == expected


def test_the_order_of_the_list_decides_among_equals_tp530() -> None:
    assert result(run(answer(), "gzip, br", "algorithms: [br, gzip]"), "compress").negotiated_algorithm == "br"


def test_replacing_after_compressing_sees_the_text() -> None:
    head = answer(None, content_type="text/plain")

    async def read(limit_bytes: int) -> bytes:
        return BODY

    head.read = read
    rest = "  - type: response-body-find-replace\n    config: {replacements: [{from: again, to: once}]}\n"
    run(head, rest=rest)
    assert head.body == BODY.replace(b"again", b"once")
    assert (head.transforms, "content-encoding" in head.headers) == ([], False)


def test_compressing_after_replacing() -> None:
    policies = Policies()
    policy = policies.compile(
        action("response-body-find-replace", "replacements: [{from: again, to: once}]", "on_http_response")
        + f"  - type: {TYPE}\n"
    )
    head = answer()
    policies.run(policy, policies.exchange(headers={"accept-encoding": "gzip"}, response=head), Phase.RESPONSE)
    assert head.body is not None
    assert gzip.decompress(head.body) == BODY.replace(b"again", b"once")


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("algorithms: [gzip, zstd]", ("ERR_NGROK_2214", 4, 26)),
        ("algorithms: [gzip, gzip]", ("ERR_NGROK_2231", 4, 26)),
        ("algorithms: gzip", ("ERR_NGROK_2203", 4, 19)),
        ("level: 9", ("ERR_NGROK_2203", 4, 7)),
    ],
)
def test_wrong_configurations(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action(TYPE, config, "on_http_response"))) == [place]


def test_it_needs_no_configuration_cl70() -> None:
    assert not Policies().problems(f"on_http_response:\n  - type: {TYPE}\n").failed
    assert not Policies().problems(action(TYPE, "algorithms: [compress]", "on_http_response")).failed
