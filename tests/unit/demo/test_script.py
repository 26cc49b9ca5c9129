"""Every fault, as it looks on the wire."""

from __future__ import annotations

import zlib

import brotli
import pytest
import zstandard

from gateway.demo.script import Step, Then, _merged, _split
from tests.unit.demo.rawclient import MESSAGES, chat, connected

FAST = "delay=0ms"


def contents(seen) -> list[str]:
    """The tokens of a chat stream, the opening one left out."""
    return [e["choices"][0]["delta"]["content"] for e in seen.objects() if e and _is_token(e)]


def _is_token(event) -> bool:
    return bool(event.get("choices")) and bool(event["choices"][0]["delta"].get("content"))


async def test_a_healthy_stream_is_complete(provider):
    seen = await chat(provider, f"demo:n=20,{FAST}")
    assert (seen.status, seen.ended, len(contents(seen))) == (200, "complete", 20)
    assert seen.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert seen.events()[-1] == b"data: [DONE]"
    assert seen.objects()[-1]["choices"][0]["finish_reason"] == "stop"


async def test_one_event_is_one_chunk(provider):
    seen = await chat(provider, f"demo:n=5,{FAST}")
    assert seen.chunks == [event + b"\n\n" for event in seen.events()]


async def test_streamed_and_not_streamed_say_the_same(provider):
    streamed = await chat(provider, "demo-fast")
    whole = await chat(provider, "demo-fast", stream=False)
    assert streamed.text() == whole.json()["choices"][0]["message"]["content"]


async def test_reset_and_close_before_any_byte(provider):
    assert (await chat(provider, "demo-reset")).ended == "reset"
    closed = await chat(provider, "demo-close")
    assert (closed.ended, closed.raw) == ("eof", b"")


async def test_silence_lasts_until_the_client_leaves(provider):
    async with connected(provider) as client:
        client.send("/v1/chat/completions", {"model": "demo-silent", "messages": MESSAGES})
        assert (await client.read(stalled_after_s=0.1)).ended == "stalled"


async def test_garbage_is_not_http(provider):
    assert (await chat(provider, "demo-garbage")).ended == "not-http"


async def test_head_cut(provider):
    async with connected(provider) as client:
        client.send("/v1/chat/completions", {"model": "demo-head-cut", "messages": MESSAGES})
        with pytest.raises(ConnectionResetError):
            await client.reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize(("fault", "ended"), [("cut", "reset"), ("end", "eof"), ("stall", "stalled")])
@pytest.mark.parametrize("count", [0, 1, 5])
async def test_breaks_come_after_the_tokens_asked_for(provider, fault, ended, count):
    async with connected(provider) as client:
        client.send(
            "/v1/chat/completions", {"model": f"demo-fast-{fault}-{count}", "messages": MESSAGES, "stream": True}
        )
        seen = await client.read(stalled_after_s=0.3)
    assert seen.ended == ended
    assert len(contents(seen)) == count
    assert b"[DONE]" not in seen.body


async def test_a_break_behind_the_last_token_still_happens(provider):
    seen = await chat(provider, f"demo-cut-500:n=3,{FAST}")
    assert (seen.ended, len(contents(seen))) == ("reset", 3)
    assert b"[DONE]" not in seen.body


async def test_stop_ends_the_body_without_the_end_of_the_answer(provider):
    seen = await chat(provider, "demo-fast-stop-3")
    assert (seen.ended, len(contents(seen))) == ("complete", 3)
    assert b"[DONE]" not in seen.body
    assert all(e["choices"][0]["finish_reason"] is None for e in seen.objects())


async def test_a_malformed_event_stands_among_good_ones(provider):
    seen = await chat(provider, f"demo-malformed-3:n=6,{FAST}")
    assert (seen.ended, len(contents(seen)), seen.objects().count(None)) == ("complete", 6, 1)
    assert seen.objects().index(None) == 4  # the opening event and three tokens
    assert seen.events()[-1] == b"data: [DONE]"


async def test_a_bad_chunk_is_no_http(provider):
    seen = await chat(provider, "demo-fast-bad-chunk-2")
    assert (seen.ended, len(contents(seen))) == ("not-http", 2)


async def test_an_error_as_first_event_of_a_200(provider):
    seen = await chat(provider, "demo-error-first")
    assert (seen.status, seen.ended) == (200, "complete")
    assert [list(e) for e in seen.objects()] == [["error"]]


async def test_an_error_in_the_middle(provider):
    seen = await chat(provider, "demo-fast-error-mid-3")
    assert len(contents(seen)) == 3
    assert seen.objects()[-1]["error"]["type"] == "server_error"
    assert b"[DONE]" not in seen.body


async def test_endings(provider):
    no_done = await chat(provider, "demo-fast-no-done")
    assert no_done.ended == "complete"
    assert b"[DONE]" not in no_done.body
    assert no_done.objects()[-1]["choices"][0]["finish_reason"] == "stop"
    no_finish = await chat(provider, "demo-fast-no-finish")
    assert no_finish.events()[-1] == b"data: [DONE]"
    assert no_finish.objects()[-1]["choices"][0]["finish_reason"] is None
    reset = await chat(provider, "demo-fast-done-reset")
    assert reset.ended == "reset"
    assert reset.events()[-1] == b"data: [DONE]"
    async with connected(provider) as client:
        client.send("/v1/chat/completions", {"model": "demo-fast-done-hang", "messages": MESSAGES, "stream": True})
        hanging = await client.read(stalled_after_s=0.3)
    assert hanging.ended == "stalled"
    assert hanging.events()[-1] == b"data: [DONE]"


async def test_pings_only(provider):
    async with connected(provider) as client:
        client.send("/v1/chat/completions", {"model": "demo-fast-ping-only", "messages": MESSAGES, "stream": True})
        seen = await client.read(stalled_after_s=0.3)
    assert seen.ended == "stalled"
    assert set(seen.events()) == {b": ping"}


async def test_wrong_kinds_of_body(provider):
    json_body = await chat(provider, "demo-json-for-stream")
    assert json_body.headers["content-type"] == "application/json"
    assert json_body.json()["object"] == "chat.completion"
    events = await chat(provider, "demo-fast-sse-for-json", stream=False)
    assert events.events()[-1] == b"data: [DONE]"
    truncated = await chat(provider, "demo-truncated-json", stream=False)
    assert truncated.ended == "eof"
    assert 0 < len(truncated.body) < int(truncated.headers["content-length"])
    invalid = await chat(provider, "demo-invalid-json", stream=False)
    assert invalid.ended == "complete"
    with pytest.raises(ValueError, match=r"."):
        invalid.json()


async def test_empty_bodies(provider):
    assert (await chat(provider, "demo-empty", stream=False)).headers["content-length"] == "0"
    streamed = await chat(provider, "demo-empty")
    assert (streamed.status, streamed.ended, streamed.body) == (200, "complete", b"")


async def test_breaks_of_a_body_that_is_not_streamed(provider):
    assert (await chat(provider, "demo-cut-1", stream=False)).ended == "reset"
    assert (await chat(provider, "demo-end-1", stream=False)).ended == "eof"
    assert (await chat(provider, "demo-error-mid-1", stream=False)).status == 500


_DECODERS = {
    "gzip": lambda body: zlib.decompressobj(31).decompress(body),
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


@pytest.mark.parametrize("coding", _DECODERS)
async def test_codings_decode_to_the_plain_body(provider, coding):
    plain = await chat(provider, "demo-fast", stream=False)
    coded = await chat(provider, f"demo-fast-{coding}", stream=False)
    assert coded.headers["content-encoding"] == coding
    content = plain.json()["choices"][0]["message"]["content"].encode()
    assert content not in coded.body
    assert b'"chat.completion"' in _DECODERS[coding](coded.body)
    streamed = await chat(provider, f"demo-fast-{coding}")
    assert _DECODERS[coding](streamed.body).endswith(b"data: [DONE]\n\n")


async def test_an_unknown_coding_leaves_the_bytes_alone(provider):
    seen = await chat(provider, "demo-coding-unknown", stream=False)
    assert seen.headers["content-encoding"] == "x-demo"
    assert seen.json()["object"] == "chat.completion"


async def test_legal_wire_forms(provider):
    plain = await chat(provider, "demo-fast")
    crlf = await chat(provider, "demo-fast-crlf")
    assert crlf.body.count(b"\r\n\r\n") == plain.body.count(b"\n\n")
    comments = await chat(provider, "demo-fast-comments")
    assert comments.events()[::2] == [b": comment"] * len(plain.events())
    merged = await chat(provider, "demo-fast-merge-4")
    assert merged.text() != ""
    assert len(merged.events()) == len(plain.events())
    split = await chat(provider, "demo-fast-split-1:n=3")
    assert split.events()[-1] == b"data: [DONE]"


async def test_connection_forms(provider):
    closing = await chat(provider, "demo-fast-conn-close")
    assert closing.headers["connection"] == "close"
    unbounded = await chat(provider, "demo-fast-no-length")
    assert unbounded.ended == "closed"
    assert unbounded.body.endswith(b"data: [DONE]\n\n")
    hinted = await chat(provider, "demo-fast-early-hints")
    assert hinted.raw.startswith(b"HTTP/1.1 103 ")
    assert hinted.status == 200
    big = await chat(provider, "demo-fast-big-head-4k")
    assert sum(len(v) for n, v in big.headers.items() if n.startswith("x-demo-filler")) == 4_000


async def test_big_and_unicode(provider):
    big = await chat(provider, "demo-big-1MiB", stream=False)
    assert len(big.json()["choices"][0]["message"]["content"]) == 1_048_576
    assert len((await chat(provider, "demo-fast-big-100k")).text()) == 100_000
    assert not (await chat(provider, "demo-fast-unicode")).text().isascii()


async def test_a_redirect_names_a_place(provider):
    seen = await chat(provider, "demo-redirect")
    assert (seen.status, seen.headers["location"]) == (307, "/v1/chat/completions/elsewhere")


def test_merging_and_splitting_keep_bytes_order_and_ending():
    steps = [Step(0.5, b"abc", events=1), Step(0.0, b"de", events=1), Step(0.0, b"", Then.RESET)]
    merged = list(_merged(steps, 2))
    assert merged == [Step(0.5, b"abcde", Then.GO_ON, 2), Step(0.0, b"", Then.RESET)]
    pieces = list(_split(iter(merged), 2))
    assert [p.data for p in pieces] == [b"ab", b"cd", b"e", b""]
    assert [p.wait_s for p in pieces] == [0.5, 0.0, 0.0, 0.0]
    assert [(p.then, p.events) for p in pieces[2:]] == [(Then.GO_ON, 2), (Then.RESET, 0)]
