"""The grammar of model names and keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.behaviour import PLAIN, Behaviour, Break, Refusal, Transport
from gateway.demo.faults import (
    FAULTS,
    SETTINGS,
    Argument,
    UnknownBehaviourError,
    parse_duration,
    parse_key,
    parse_model,
    parse_size,
    render_faults,
)

_SAMPLES = {
    Argument.NONE: "",
    Argument.COUNT: "-3",
    Argument.OPTIONAL_COUNT: "-2",
    Argument.DURATION: "-1.5s",
    Argument.SIZE: "-1MiB",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demo", PLAIN),
        ("demo-fast", Behaviour(delay_s=0.0)),
        ("demo:n=20,delay=50ms", Behaviour(n=20, delay_s=0.05)),
        ("demo-429", Behaviour(status=429)),
        ("demo-429-retry-after-7", Behaviour(status=429, retry_after_s=7)),
        ("demo-503-retry-after-ms-250", Behaviour(status=503, retry_after_ms=250)),
        ("demo-late-2s", Behaviour(late_s=2.0)),
        ("demo-late-token-10ms", Behaviour(late_token_s=0.01)),
        ("demo-cut-5", Behaviour(break_kind=Break.CUT, break_at=5)),
        ("demo-late-1s-cut-5:n=7,gzip", Behaviour(late_s=1, break_kind=Break.CUT, break_at=5, n=7, coding="gzip")),
        ("demo-error-first", Behaviour(break_kind=Break.ERROR, break_at=-1)),
        ("demo-content-filter", Behaviour(refusal=Refusal.CONTENT_FILTER)),
        ("demo-content-filter-finish", Behaviour(filtered=True)),
        ("demo-flap-3", Behaviour(flap=3, status=503)),
        ("demo-flap-3-429", Behaviour(flap=3, status=429)),
        ("demo-big-1MiB", Behaviour(big_bytes=1_048_576)),
        ("demo-tools", Behaviour(tools=1)),
        ("demo-tools-2-fast", Behaviour(tools=2, delay_s=0.0)),
    ],
)
def test_names_say_what_they_do(name, expected):
    assert parse_model(name) == expected


@pytest.mark.parametrize("name", ["429", "n=20,delay=50ms", "cut-5,n=8", "demo/429", "demo:demo-429"])
def test_the_rest_of_a_provider_prefixed_name_means_the_same(name):
    """AG-74 step 2 sends ``429`` upstream for the client's ``demo:429``."""
    rest = name.removeprefix("demo:").removeprefix("demo/").removeprefix("demo-")
    assert parse_model(name) == parse_model("demo:" + rest) != PLAIN


@pytest.mark.parametrize("name", ["gpt-4o", "claude-sonnet-4-20250514", "meta-llama/Llama-3.2-8B", "demonstration"])
def test_other_names_are_served_plainly(name):
    assert parse_model(name) == PLAIN


@pytest.mark.parametrize(
    "name", ["demo-", "demo-nonsense", "demo-cut", "demo-cut-x", "demo:n=", "demo:q=1", "demo-late-9"]
)
def test_a_demo_name_outside_the_grammar_is_refused(name):
    with pytest.raises(UnknownBehaviourError):
        parse_model(name)


def test_keys_speak_the_same_grammar():
    assert parse_key("demo-key-429-retry-after-1") == parse_model("demo-429-retry-after-1")
    assert parse_key("demo-key:remaining=3") == Behaviour(remaining_requests=3)
    assert parse_key("demo-key") == parse_key("demo-other") == parse_key("sk-live-429") == PLAIN
    assert parse_key("demo-key-second") == PLAIN


def test_a_key_overlays_the_model():
    overlaid = parse_model("demo-cut-5:n=9").overlaid(parse_key("demo-key-reset"))
    assert overlaid == Behaviour(n=9, break_kind=Break.CUT, break_at=5, transport=Transport.RESET)


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.name != "STATUS"], ids=lambda f: f.name)
def test_every_row_of_the_table_parses_and_changes_something(fault):
    assert parse_model(f"demo-{fault.name}{_SAMPLES[fault.argument]}") != PLAIN


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda s: s.name)
def test_every_setting_parses(setting):
    sample = _SAMPLES[setting.argument].removeprefix("-")
    assert parse_model(f"demo:{setting.name}={sample}") != PLAIN


def test_the_documentation_lists_every_row():
    text = render_faults()
    assert all(f"| `{f.usage}` | {f.description} |" in text for f in FAULTS.values())
    assert all(f"`{s.name}=" in text for s in SETTINGS.values())


def test_units():
    assert parse_duration("250ms") == 0.25
    assert parse_duration("2m") == 120.0
    assert parse_duration("2") is parse_duration("-1s") is parse_duration("s") is None
    assert (parse_size("10"), parse_size("4k"), parse_size("2KiB")) == (10, 4_000, 2_048)
    assert parse_size("999999999MiB") is None


@given(st.text(max_size=40))
def test_any_name_gives_a_behaviour_or_the_one_error(name):
    for prefix in ("", "demo-", "demo:"):
        try:
            assert isinstance(parse_model(prefix + name), Behaviour)
        except UnknownBehaviourError as error:
            assert str(error)  # noqa: PT017
