"""Request bodies: what is read, what is refused, where members stand (AG-70, AG-72, AG-218, AG-244)."""

from __future__ import annotations

import json

import pytest

from gateway.ai.request import MAX_NAMES, AiRequest, parse_request, scan_members, value_end
from gateway.ai.surfaces import CHAT, MESSAGES
from gateway.errors import GatewayError

#: as openai-python sends it, as requests' ``json=`` does, and pretty-printed
SPELLINGS = [
    lambda document: json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(),
    lambda document: json.dumps(document).encode(),
    lambda document: json.dumps(document, indent=2).encode(),
]
CHAT_DOCUMENT = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": 'Say "model": "x" — naïve, 你好\n'},
        {"role": "user", "content": "hi", "name": "stream"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "t", "parameters": {"properties": {"model": {"type": "string"}}}}}
    ],
    "stream": True,
    "temperature": 0.7,
    "user": "user",
}


def parse(body: bytes) -> AiRequest:
    return parse_request(CHAT, body)


def refusal(body: bytes) -> str:
    with pytest.raises(GatewayError) as caught:
        parse(body)
    assert caught.value.code == "ERR_NGROK_3801"
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize("spell", SPELLINGS)
def test_members_are_found_in_every_spelling(spell):
    """Names inside strings, tool schemas and values do not confuse the search."""
    body = spell(CHAT_DOCUMENT)
    request = parse(body)
    assert (request.model, request.models, request.stream) == ("gpt-4o", (), True)
    for name, value in CHAT_DOCUMENT.items():
        member = request.member(name)
        assert json.loads(body[member.value : member.end]) == value, name
        assert body[member.start : member.value].rstrip(b": ") == json.dumps(name).encode()


def test_names_are_model_first_then_models():
    """AG-72."""
    request = parse(b'{"models":["b"," ","c",""],"model":"a"}')
    assert request.names == ("a", "b", "c")


@pytest.mark.parametrize("model", ["null", '""', '" \\t"'])
def test_null_and_blank_equal_absent(model):
    """AG-70."""
    request = parse(b'{"model":%b,"models":null}' % model.encode())
    assert request.model is None
    assert request.names == ()


def test_a_name_keeps_its_blanks():
    assert parse(b'{"model":" gpt-4o"}').model == " gpt-4o"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'"x"', "object"),
        (b'{"model":1}', "'model' must be a string"),
        (b'{"model":["a"]}', "'model' must be a string"),
        (b'{"models":"a"}', "'models'"),
        (b'{"models":["a",1]}', "'models'"),
        (b'{"models":["a",null]}', "'models'"),
        (b'{"models":{}}', "'models'"),
        (b"{", "not valid JSON"),
        (b'{"a":1} x', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":Infinity,"b":"\\ud800"}', "not valid JSON"),
        (b'{"a":"\xff"}', "not valid JSON"),
        (b'{"a":"\xed\xa0\x80"}', "not valid JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not valid JSON"),
        ('{"a":1}'.encode("utf-16"), "not valid JSON"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_refused_bodies(body, reason):
    """AG-70: 400 3801 with a reason."""
    assert reason in refusal(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","stream":true, "model" : "b"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"mod\\u0065l":"a","model":"b"}',
        b'{"m\xc3\xb6del":1,"m\\u00f6del":2}',
        b'{"":1,"":2}',
        b'{"role": "user", "user": 1, "user" : 2}',
        b'{"m": {"a\\"user": 1}, "user" : 2, "user" : 3}',
        b'{"role": "user", "user": 1, "user"\n: 2}',
        b'{"role": "user", "user": 1, "user": 2}',
        b'{"a":"\\ud800","a":1}',
        b'{"messages":[{"a":1}],"model":"m","messages":[]}',
        b'{"x":1e400,"x":2}',
    ],
)
def test_repeated_top_level_names_are_refused(body):
    """AG-218: however they are spelt."""
    assert "given twice" in refusal(body)


def test_repeated_names_at_deeper_levels_pass():
    request = parse(b'{"a":{"b":1,"b":2},"b":3}')
    assert request.body[slice(*request.member("b")[1:])] == b"3"


def test_lone_surrogates_and_huge_numbers_pass():
    """AG-218: valid JSON that orjson refuses."""
    body = b'{"model":"m","a":"\\ud800 x","n":1e999,"i":' + b"9" * 60 + b"}"
    request = parse(body)
    member = request.member("a")
    assert body[member.value : member.end] == b'"\\ud800 x"'
    assert request.model == "m"


def test_an_escaped_name_is_found_by_its_meaning():
    body = b'{"x":"model","mod\\u0065l":"m"}'
    request = parse(body)
    assert request.model == "m"
    member = request.member("model")
    assert body[member.start : member.end] == b'"mod\\u0065l":"m"'


def test_at_most_64_names():
    """AG-72."""
    names = [f"m{i}" for i in range(MAX_NAMES)]
    assert len(parse(json.dumps({"models": names}).encode()).names) == MAX_NAMES
    assert "64" in refusal(json.dumps({"models": names, "model": "x"}).encode())
    assert len(parse(json.dumps({"models": [*names, " "]}).encode()).names) == MAX_NAMES


@pytest.mark.parametrize("end", [b"", b" ", b"\n"])
def test_a_name_that_also_stands_as_a_value(end):
    body = b'{"a": "user"%b, "b": ["user"%b], "c": {"x": "user"%b}, "user": 5}' % (end, end, end)
    member = parse(body).member("user")
    assert body[member.start : member.end] == b'"user": 5'


def test_many_members_are_walked():
    document = {f"k{i}": i for i in range(500)}
    request = parse(json.dumps(document).encode())
    assert request.member("k499").end == len(request.body) - 1


def test_a_member_that_is_not_there():
    with pytest.raises(KeyError):
        parse(b'{"a":1}').member("b")
    with pytest.raises(KeyError):
        parse(b'{"a": {"b": 1}, "user": "user"}').member("b")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("{}", False),
        ("null", False),
        ('"x"', False),
        ('{"include_usage":null}', False),
        ('{"include_usage":true}', True),
        ('{"include_usage":false}', True),
        ('{"include_obfuscation":false}', False),
    ],
)
def test_stream_options(options, *, expected):
    """AG-244: set to either value counts as set."""
    assert parse(b'{"stream_options":%b}' % options.encode()).client_set_stream_options is expected


@pytest.mark.parametrize(("stream", "expected"), [("true", True), ("false", False), ("1", False), ('"true"', False)])
def test_stream(stream, *, expected):
    assert parse_request(MESSAGES, b'{"stream":%b}' % stream.encode()).stream is expected


def test_a_deep_value_within_the_limit_is_refused_rather_than_crashing_the_walk():
    body = b'{"a": 1, "b": {"a": 2}, "deep": ' + b"[" * 1000 + b"]" * 1000 + b"}"
    assert "deep" in refusal(body)


def test_value_end_of_each_kind():
    text = b'{"a": -1.5e3 , "b":"x\\"y", "c":[1,"]"], "d":null}'
    assert text[6 : value_end(text, 6)] == b"-1.5e3"
    assert text[19 : value_end(text, 19)] == b'"x\\"y"'
    assert text[31 : value_end(text, 31)] == b'[1,"]"]'
    with pytest.raises(ValueError, match="no value"):
        value_end(b" ", 0)


def test_scan_members_of_an_empty_object():
    assert scan_members(b" {  } ") == {}


@pytest.mark.parametrize("body", [b'{"model": "a", "n": [1, {"b": "\xc3\xa9"}]}', b'{"model":"a","user":"\\ud800"}'])
def test_a_forgotten_document_is_read_again(body: bytes) -> None:
    request = parse_request(CHAT, body)
    before = request.document
    request.forget_document()
    assert request.document == before
    assert request.document is request.document
    with pytest.raises(AttributeError):
        request.documents  # type: ignore[attr-defined]  # noqa: B018
