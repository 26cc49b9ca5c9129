"""Attached provider keys (CP-68 to CP-70)."""

from __future__ import annotations

import pytest

from gateway.control.resources import attached_keys

PATH = "/ai_gateway_provider_keys"


@pytest.fixture
async def owner(api):
    return (await api.created("/ai_gateway_api_keys", {"endpoint_id": "ep_one"}))["id"]


async def test_cp_68_an_attached_key_never_shows_its_value(api, owner):
    body = {"ai_gateway_api_key_id": owner, "provider_id": "anthropic", "value": " sk-ant-hidden-value-0001 "}
    made = await api.created(PATH, body)
    assert attached_keys.READ.parse(made) == made
    assert made["ai_gateway_api_key"] == {"id": owner, "uri": f"{api.base}/ai_gateway_api_keys/{owner}"}
    assert made["display_name"] == "sk-ant-hid***0001"
    assert (
        api.data_plane.view.provider_keys.attached(owner, "anthropic")[0].value.reveal() == "sk-ant-hidden-value-0001"
    )
    assert b"hidden-value" not in (await api.get(f"{PATH}/{made['id']}")).text
    assert (await api.patch(f"{PATH}/{made['id']}", {"value": "x"})).refusal == (400, "214")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"ai_gateway_api_key_id": "aigk_no"}, (404, "27509")),
        ({"provider_id": "no"}, (422, "27508")),
        ({"value": ""}, (422, "27507")),
        ({"description": "x" * 256}, (422, "27502")),
        ({"metadata": "x" * 4097}, (422, "27503")),
    ],
)
async def test_cp_70_refusals(api, owner, change, refusal):
    body = {"ai_gateway_api_key_id": owner, "provider_id": "openai", "value": "v", **change}
    assert (await api.post(PATH, body)).refusal == refusal
    missing = {name: value for name, value in body.items() if name != next(iter(change))}
    assert change.keys() & {"description", "metadata"} or (await api.post(PATH, missing)).refusal == (422, "27510")


async def test_cp_60_the_list_holds_attached_keys_only(api, owner):
    other = (await api.created("/access-keys", {}))["id"]
    await api.created("/provider-keys", {"providerId": "openai", "name": "free", "value": "v"})
    made = [await api.created(PATH, {"ai_gateway_api_key_id": key_id, "provider_id": "openai", "value": "v"})
            for key_id in (owner, other)]  # fmt: skip
    listed = (await api.get(PATH)).json["ai_gateway_provider_keys"]
    assert [key["id"] for key in listed] == [made[1]["id"], made[0]["id"]]
    mine = (await api.get(f"{PATH}?ai_gateway_api_key_id={owner}")).json["ai_gateway_provider_keys"]
    assert [key["id"] for key in mine] == [made[0]["id"]]
    free = (await api.get("/provider-keys")).json["aiGatewayProviderKeys"][2]
    assert (await api.get(f"{PATH}/{free['id']}")).status == 404


async def test_cp_68_custom_providers_are_allowed(api, owner):
    await api.created("/providers", {"providerId": "vLLM", "name": "n", "baseUrl": "http://vllm:8000"})
    made = await api.created(PATH, {"ai_gateway_api_key_id": owner, "provider_id": "vllm", "value": "v"})
    assert made["provider_id"] == "vLLM", "stored as primary id"


async def test_changes_and_deletion(api, owner):
    made = await api.created(PATH, {"ai_gateway_api_key_id": owner, "provider_id": "openai", "value": "v"})
    path = f"{PATH}/{made['id']}"
    assert (await api.patch(path, {"description": "d", "metadata": None})).json["description"] == "d"
    assert (await api.patch(path, {"description": None})).json["description"] == ""
    assert (await api.delete(path)).status == 204
    assert (await api.delete(path)).status == 404
    assert api.data_plane.view.provider_keys.attached(owner, "openai") == ()
