"""The gateway configuration (CP-45, CP-46)."""

from __future__ import annotations

import pytest

from gateway.control.resources import gateway_config

PATH = "/gateway-config"


async def test_cp_45_defaults(api):
    found = (await api.get(PATH)).json
    assert gateway_config.READ.parse(found) == found
    assert found == {
        "accountId": api.plane.account_id, "uri": f"{api.base}{PATH}", "totalTimeout": "120s",
        "perRequestTimeout": "60s", "maxInputTokens": None, "maxOutputTokens": None, "metadata": None,
    }  # fmt: skip
    assert found["accountId"].startswith("ac_")


async def test_cp_46_durations_read_as_written_and_are_effective(api):
    body = {"totalTimeout": "1h30m", "perRequestTimeout": "1500ms", "maxInputTokens": 500_000, "metadata": "m"}
    changed = (await api.patch(PATH, body)).json
    assert changed.items() >= body.items()
    assert (await api.get(PATH)).json == changed
    config = api.data_plane.view.gateway_config
    assert (config.total_timeout_s, config.per_request_timeout_s, config.max_input_tokens) == (5400.0, 1.5, 500_000)
    cleared = (await api.patch(PATH, {"maxInputTokens": None, "metadata": None})).json
    assert (cleared["maxInputTokens"], cleared["metadata"], cleared["totalTimeout"]) == (None, None, "1h30m")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"totalTimeout": "0s"}, (422, "27606")),
        ({"totalTimeout": "24h1s"}, (422, "27606")),
        ({"perRequestTimeout": "10"}, (422, "27606")),
        ({"perRequestTimeout": "-1s"}, (422, "27606")),
        ({"totalTimeout": None}, (400, "215")),
        ({"maxInputTokens": 0}, (422, "27606")),
        ({"maxOutputTokens": 500_001}, (422, "27606")),
        ({"maxOutputTokens": "1"}, (400, "215")),
        ({"metadata": "x" * 4097}, (422, "27604")),
        ({"accountId": "x"}, (400, "214")),
        ({"uri": "x"}, (400, "214")),
    ],
)
async def test_cp_45_refusals(api, body, refusal):
    assert (await api.patch(PATH, body)).refusal == refusal


async def test_cp_115_a_change_is_an_event(api):
    await api.patch(PATH, {"totalTimeout": "90s"})
    assert api.data_plane.events[-1]["event_type"] == "ai_gateway_config_updated.v0"
    assert api.data_plane.events[-1]["changed"] == ["totalTimeout"]
    await api.patch(PATH, {})
    assert len(api.data_plane.events) == 1
