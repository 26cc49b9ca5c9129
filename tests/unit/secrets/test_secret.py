"""``gateway.secrets.secret``: a value that does not print."""

from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest

from gateway.secrets.secret import Secret

CANARY = "sk-proj-canary-0123456789abcdef"


@pytest.mark.parametrize(
    "render", [str, repr, "{}".format, "{!r:>40}".format, lambda s: f"{s}", lambda s: "".join(map(str, [s]))]
)
def test_no_rendering_shows_the_value(render):
    assert CANARY not in render(Secret(CANARY))
    assert "***" in render(Secret(CANARY))


def test_containers_and_logs_do_not_show_it(caplog):
    with caplog.at_level(logging.INFO):
        logging.getLogger("t").info("key %s in %r", Secret(CANARY), {"k": [Secret(CANARY)]})
    assert CANARY not in caplog.text


@pytest.mark.parametrize("leak", [pickle.dumps, copy.deepcopy, json.dumps, vars])
def test_it_is_not_serialised(leak):
    with pytest.raises(TypeError) as caught:
        leak(Secret(CANARY))
    assert CANARY not in str(caught.value)


def test_reveal_gives_the_value():
    assert Secret(CANARY).reveal() == CANARY


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (CANARY, "sk-proj...cdef"),
        ("0123456789abcdef", "0123456...cdef"),
        ("0123456789abcde", "***"),
        ("", "***"),
    ],
)
def test_trimmed_ag_208(value, shown):
    assert Secret(value).trimmed() == shown


def test_equality_and_hash_follow_the_value():
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) == CANARY
    assert Secret(CANARY) != Secret(CANARY + "x")
    assert Secret("ü\ud800") == Secret("ü\ud800")
    assert Secret("1") != 1
    assert len({Secret(CANARY), Secret(CANARY), Secret("other")}) == 2
    assert Secret(CANARY) in {CANARY}


def test_an_empty_secret_is_false():
    assert not Secret("")
    assert Secret("0")
