"""Rules about keys that no resource owns alone, and texts shared by resources (CP-17, CP-33, CP-61)."""

from __future__ import annotations

import pytest

from gateway.control import gateway_keys, provider_keys, render, texts, urls
from gateway.control.errors import NOT_FOUND, ApiError
from gateway.control.plane import SYSTEM_CALL
from gateway.control.request import Call, Style


async def test_an_update_without_columns_writes_nothing(api):
    made = await api.created("/access-keys", {"name": "n"})

    def work(change):
        row = gateway_keys.find_key(change, made["id"], NOT_FOUND)
        return row is gateway_keys.update_key(change, row, {}) and not change.effects

    assert await api.plane.change(SYSTEM_CALL, work)


async def test_a_built_in_name_wins_over_a_custom_one(api):
    await api.created("/providers", {"providerId": "vllm", "name": "n", "baseUrl": "http://vllm:8000"})
    names = {"Open-AI": "openai", "VLLM": "vllm", "nobody": None}
    find = provider_keys.primary_provider
    assert await api.plane.read(lambda db: {name: find(api.plane, db, name) for name in names}) == names


@pytest.mark.parametrize("value", ["", "  ", "a\x7fb", "é"])
def test_cp_33_values_that_are_no_key(value):
    with pytest.raises(ApiError) as caught:
        provider_keys.checked_value(value, "there")
    assert caught.value.field == "there"


def test_cp_17_optional_texts_that_are_not_set_are_absent():
    assert render.given(name=None, metadata="") == {"metadata": ""}
    assert texts.picked({"name": None, "other": 1}, ("name", "metadata")) == {"name": None}


def test_cp_12_references():
    call = Call(style=Style.A, path="/x", base="https://h", operation_id="op_1")
    assert render.actor(call, "aigak_1") == {"id": "aigak_1", "uri": "https://h/api-keys/aigak_1"}
    assert render.actor(call, "system") == {"id": "system", "uri": ""}


def test_cp_36_what_does_not_parse_comes_before_what_is_refused():
    fault = urls.base_url_fault("nonsense", (), ())
    assert fault is not None
    assert not fault.refused
    fault = urls.base_url_fault("http://example.com", (), ())
    assert fault is not None
    assert fault.refused
    assert urls.base_url_fault("http://example.com", ("example.com",), ()) is None
