"""Upstream bodies: the steps of AG-211, byte for byte elsewhere (AG-218, P26)."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.ai.request import parse_request
from gateway.ai.splice import BodyPlan, build_body, compile_plan, encode_overrides
from gateway.ai.surfaces import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES, Surface

ODD = (
    b'{ "model" : "a" ,\n\t"n": 1.0e+2, "big": 123456789012345678901234567890, '
    b'"s":"\\ud83d \\u00e9\\/" , "x" : {"model":"a"} }'
)


def plan(model: str = "a", **fields: Any) -> BodyPlan:
    fields.setdefault("plain", not fields)
    return BodyPlan(model=model, model_text=json.dumps(model).encode(), **fields)


def built(body: bytes, how: BodyPlan, surface: Surface = CHAT, **overrides: Any) -> bytes:
    return build_body(parse_request(surface, body), how, encode_overrides(overrides)).data


def candidate(
    *, provider_id: str = "openai", custom: bool = False, stream_usage: bool = True, params: set[str] | None = None,
    unsupported: frozenset[str] | None = frozenset(), surface: Surface = CHAT, upstream: str = "a",
) -> Any:  # fmt: skip
    """A stand-in with the attributes that compile_plan reads."""
    return SimpleNamespace(
        provider=SimpleNamespace(
            id=provider_id,
            official=not custom,
            stream_usage=stream_usage,
            surfaces={surface.key: None if params is None else frozenset(params)},
        ),
        model=None if unsupported is None else SimpleNamespace(unsupported_params=unsupported),
        upstream_model=upstream,
    )


def test_nothing_to_change_gives_the_clients_own_bytes():
    """AG-218: the same object, on the short way and on the long one."""
    request = parse_request(CHAT, ODD)
    assert build_body(request, plan()).data is ODD
    assert build_body(request, plan(deny=frozenset({"other"}))).data is ODD
    assert build_body(request, plan(), encode_overrides({"x": {"model": "a"}})).data is ODD


def test_only_the_models_value_is_replaced():
    assert built(ODD, plan("provider/b")) == ODD.replace(b'"a" ,', b'"provider/b" ,')


def test_models_is_removed_and_model_added():
    """AG-211 (1) and (2)."""
    assert built(b'{"models":["a","b"],"n":1}', plan()) == b'{"n":1,"model":"a"}'
    assert built(b'{"n":1 , "models" : ["a"] }', plan()) == b'{"n":1 ,"model":"a" }'
    assert built(b"{}", plan()) == b'{"model":"a"}'
    assert built(b' { "models" : null } ', plan()) == b' {"model":"a" } '
    assert built(b'{"model":null,"x":2}', plan()) == b'{"model":"a","x":2}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":1,"b":2,"c":3,"d":4}', b'{"a":1,"d":4}'),
        (b'{"b":2,"c":3,"a":1}', b'{"a":1}'),
        (b'{"a":1,"b":2,"c":3}', b'{"a":1}'),
        (b'{"b":2,"a":1,"c":3}', b'{"a":1}'),
        (b'{"c":[1,{"b":2}],"b":"}"}', b"{}"),
        (b'{\n  "a": 1,\n  "b": 2,\n  "c": 3\n}', b'{\n  "a": 1\n}'),
        (b'{\n  "b": 1,\n  "a": 2,\n  "c": 3\n}', b'{\n  "a": 2\n}'),
    ],
)
def test_removals_keep_the_commas_right(body, expected):
    result = built(body, plan(deny=frozenset({"b", "c"})))
    added = b',"model":"a"' if expected != b"{}" else b'"model":"a"'
    end = len(expected.rstrip(b"\n}"))
    assert result == expected[:end] + added + expected[end:]


def test_overrides_replace_whole_values_in_place_and_add_at_the_end():
    """AG-211 (3)."""
    body = b'{"model":"a","metadata":{"x":1,"y":2},"t":1.0}'
    assert built(body, plan(), metadata={"z": 3}, extra=[1]) == b'{"model":"a","metadata":{"z":3},"t":1.0,"extra":[1]}'


def test_overrides_may_hold_what_orjson_refuses():
    result = built(b'{"model":"a"}', plan(), big=10**30, text="\ud800")
    assert json.loads(result) == {"model": "a", "big": 10**30, "text": "\ud800"}


@pytest.mark.parametrize(
    ("surface", "provider", "body", "expected"),
    [
        (CHAT, "openai", b'{"model":"a"}', b'{"model":"a","max_completion_tokens":100}'),
        (CHAT, "groq", b'{"model":"a"}', b'{"model":"a","max_tokens":100}'),
        (CHAT, "openai", b'{"model":"a","max_tokens":500}', b'{"model":"a","max_tokens":100}'),
        (CHAT, "openai", b'{"model":"a","max_tokens":100.5}', b'{"model":"a","max_tokens":100}'),
        (CHAT, "openai", b'{"model":"a","max_tokens":1e2}', b'{"model":"a","max_tokens":1e2}'),
        (CHAT, "openai", b'{"model":"a","max_tokens":7,"max_completion_tokens":900}',
         b'{"model":"a","max_tokens":7,"max_completion_tokens":100}'),
        (CHAT, "openai", b'{"model":"a","max_tokens":"900"}', b'{"model":"a","max_tokens":"900"}'),
        (CHAT, "openai", b'{"model":"a","max_completion_tokens":null}', b'{"model":"a","max_completion_tokens":100}'),
        (CHAT, "openai", b'{"model":"a","max_tokens":true}', b'{"model":"a","max_tokens":true}'),
        (COMPLETIONS, "openai", b'{"model":"a"}', b'{"model":"a","max_tokens":100}'),
        (MESSAGES, "anthropic", b'{"model":"a","max_tokens":4096}', b'{"model":"a","max_tokens":100}'),
        (RESPONSES, "openai", b'{"model":"a","max_tokens":900}',
         b'{"model":"a","max_tokens":900,"max_output_tokens":100}'),
        (EMBEDDINGS, "openai", b'{"model":"a"}', b'{"model":"a"}'),
        (COUNT_TOKENS, "anthropic", b'{"model":"a"}', b'{"model":"a"}'),
    ],
)  # fmt: skip
def test_output_cap(surface, provider, body, expected):
    """AG-236: lowered, never raised; added where none is present."""
    how = compile_plan(candidate(provider_id=provider, surface=surface), surface, max_output_tokens=100)
    assert built(body, how, surface) == expected


def test_output_cap_applies_after_body():
    how = compile_plan(candidate(), CHAT, max_output_tokens=100)
    assert built(b'{"model":"a"}', how, max_tokens=500) == b'{"model":"a","max_tokens":100}'


def test_usage_is_injected_into_streams():
    """AG-244."""
    how = compile_plan(candidate(), CHAT)
    result = build_body(parse_request(CHAT, b'{"model":"a","stream":true}'), how)
    assert result == (b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}', True, True)


@pytest.mark.parametrize(
    ("options", "expected", "injected"),
    [
        (b"null", b'{"include_usage":true}', True),
        (b'{"include_obfuscation":false}', b'{"include_obfuscation":false,"include_usage":true}', True),
        (b'{"include_usage":false}', b'{"include_usage":false}', False),
        (b'{"include_usage": true}', b'{"include_usage": true}', False),
        (b'"x"', b'"x"', False),
    ],
)
def test_stream_options_of_the_client(options, expected, *, injected):
    body = b'{"model":"a","stream":true,"stream_options":%b}'
    result = build_body(parse_request(CHAT, body % options), compile_plan(candidate(), CHAT))
    assert result.data == body % expected
    assert result.injects_usage is injected


@pytest.mark.parametrize(
    ("arguments", "surface", "setting"),
    [
        ({"stream_usage": False}, CHAT, True),
        ({"custom": True}, CHAT, True),
        ({"custom": True, "params": {"stream", "messages"}}, CHAT, True),
        ({"params": {"stream", "messages"}}, CHAT, True),
        ({"unsupported": frozenset({"stream_options"})}, CHAT, True),
        ({"surface": RESPONSES}, RESPONSES, True),
        ({"surface": MESSAGES}, MESSAGES, True),
        ({}, CHAT, False),
    ],
)
def test_usage_is_not_injected(arguments, surface, *, setting):
    how = compile_plan(candidate(**arguments), surface, inject_stream_usage=setting)
    result = build_body(parse_request(surface, b'{"model":"a","stream":true}'), how)
    assert result == (b'{"model":"a","stream":true}', True, False)


def test_a_custom_provider_that_lists_stream_options_gets_them():
    how = compile_plan(candidate(custom=True, stream_usage=False, params={"stream", "stream_options"}), CHAT)
    assert build_body(parse_request(CHAT, b'{"model":"a","stream":true}'), how).injects_usage


def test_whether_it_streams_is_judged_on_the_forwarded_body():
    """AG-261."""
    request = parse_request(CHAT, b'{"model":"a","stream":true}')
    assert build_body(request, plan(), encode_overrides({"stream": False})) == (
        b'{"model":"a","stream":false}',
        False,
        False,
    )
    removed = compile_plan(candidate(params={"stream_options", "messages"}), CHAT)
    assert build_body(request, removed) == (b'{"model":"a"}', False, False)
    quiet = parse_request(CHAT, b'{"model":"a"}')
    assert build_body(quiet, compile_plan(candidate(), CHAT), encode_overrides({"stream": True})).injects_usage


def test_an_override_may_settle_stream_options():
    request = parse_request(CHAT, b'{"model":"a","stream":true}')
    result = build_body(
        request, compile_plan(candidate(), CHAT), encode_overrides({"stream_options": {"include_usage": False}})
    )
    assert not result.injects_usage
    assert result.data.endswith(b'"stream_options":{"include_usage":false}}')


def test_allowlist():
    """AG-212: what is not listed goes, ``model`` never; an empty list allows everything."""
    body = b'{"model":"a","messages":[],"logit_bias":{},"user":"u"}'
    how = compile_plan(candidate(params={"messages"}), CHAT)
    assert built(body, how, extra=1) == b'{"model":"a","messages":[]}'
    assert built(body, compile_plan(candidate(params=set()), CHAT)) is body


def test_denylist_wins_over_the_allowlist():
    """AG-213."""
    how = compile_plan(candidate(params={"messages", "user"}, unsupported=frozenset({"user", "model"})), CHAT)
    assert built(b'{"user":"u","model":"a","messages":[]}', how) == b'{"model":"a","messages":[]}'


def test_the_denylist_comes_after_the_cap():
    how = compile_plan(candidate(unsupported=frozenset({"max_completion_tokens"})), CHAT, max_output_tokens=5)
    assert built(b'{"model":"a"}', how) == b'{"model":"a"}'


def test_pass_through_models_have_no_denylist():
    assert compile_plan(candidate(unsupported=None), CHAT).plain


def test_a_replacement_that_names_other_members_does_not_confuse():
    body = b'{"metadata":1,"model":"x","models":[]}'
    assert (
        built(body, plan("b"), metadata={"model": 1, "models": 2}) == b'{"metadata":{"model":1,"models":2},"model":"b"}'
    )


def test_plans_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan().model = "b"  # type: ignore[misc]


def test_long_white_space_costs_no_loop():
    body = b'{"models":["x"]' + b" " * 200_000 + b"," + b"\n" * 200_000 + b'"model":"a"' + b" " * 200_000 + b"}"
    assert json.loads(built(body, plan())) == {"model": "a"}
