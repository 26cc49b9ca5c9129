"""Values as JSON, without secrets: TP-426, TP-628."""

from __future__ import annotations

import pytest

from gateway.cel.errors import Failure
from gateway.cel.values import Duration, Timestamp
from gateway.headers import ValueList
from gateway.policy.action import ActionError
from gateway.policy.plain import json_value, masked


def test_json_values() -> None:
    value = {"a": ValueList(["x"]), "b": (1, 1.5, True, None), "c": Timestamp(0), "d": Duration(90 * 10**9), "e": b"\0"}
    assert json_value(value) == {
        "a": ["x"], "b": [1, 1.5, True, None], "c": "1970-01-01T00:00:00Z", "d": "90s", "e": "AA==",
    }  # fmt: skip
    with pytest.raises(Failure):
        json_value({"a": object()})
    assert json_value(ActionError("c", "m")) == {"code": "c", "message": "m"}


def test_masking() -> None:
    value = {"a topsecret": ["Bearer topsecret", {"b": "topsecrettopsecret2"}], "c": 5}
    assert masked(value, {"topsecret", "topsecret2", ""}) == {"a ***": ["Bearer ***", {"b": "******"}], "c": 5}
    assert masked(value, set()) is value
