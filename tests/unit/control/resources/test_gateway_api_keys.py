"""Gateway keys in style B (CP-61 to CP-64, CP-68, CP-70)."""

from __future__ import annotations

import pytest

from gateway.auth.access_keys import STYLE_A
from gateway.control.resources import gateway_api_keys

PATH = "/ai_gateway_api_keys"


def provider_key(number, **more):
    return {"provider_id": "openai", "value": f"sk-{number}", **more}


UNKNOWN = provider_key(2, provider_id="no")


async def test_cp_62_creation_binds_to_an_endpoint(api):
    made = await api.created(PATH, {"endpoint_id": "ep_one", "description": "d"})
    assert gateway_api_keys.READ.parse(made) == made
    assert made["endpoint"] == {"id": "ep_one", "uri": f"{api.base}/endpoints/ep_one"}
    assert (made["metadata"], made["provider_keys"], made["last_used"]) == ("", [], None)
    keys = api.data_plane.view.access_keys
    assert keys.find(made["token"]).endpoint_id == "ep_one"
    assert keys.made_for == {"ep_one"}
    assert "token" not in (await api.get(f"{PATH}/{made['id']}")).json


async def test_cp_63_attached_keys_come_in_list_order_and_the_last_is_tried_first(api):
    keys = [provider_key(1, name="one"), provider_key(2, description="x"), provider_key(3, provider_id="open-ai")]
    made = await api.created(PATH, {"endpoint_id": "ep_one", "provider_keys": keys})
    assert [key["provider_id"] for key in made["provider_keys"]] == ["openai"] * 3
    attached = api.data_plane.view.provider_keys.attached(made["id"], "openai")
    assert [key.value.reveal() for key in attached] == ["sk-3", "sk-2", "sk-1"]
    shown = (await api.get("/provider-keys")).json["aiGatewayProviderKeys"]
    assert [key["name"] for key in shown] == ["", "", "one"]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (422, "27006")),
        ({"endpoint_id": "ep_no"}, (404, "27002")),
        ({"endpoint_id": "ep_plain"}, (422, "27003")),
        ({"endpoint_id": "ep_one", "description": "x" * 256}, (422, "27004")),
        ({"endpoint_id": "ep_one", "metadata": "x" * 4097}, (422, "27005")),
        ({"endpoint_id": "ep_one", "provider_keys": [{"value": "x"}]}, (422, "27510")),
        ({"endpoint_id": "ep_one", "provider_keys": [{"provider_id": "openai"}]}, (422, "27510")),
        ({"endpoint_id": "ep_one", "provider_keys": [provider_key(1), UNKNOWN]}, (422, "27508")),
        ({"endpoint_id": "ep_one", "provider_keys": [provider_key(1, value=" ")]}, (422, "27507")),
        ({"endpoint_id": "ep_one", "provider_keys": [provider_key(n) for n in range(16)]}, (422, "27506")),
    ],
)  # fmt: skip
async def test_cp_63_creation_is_all_or_nothing(api, body, refusal):
    assert (await api.post(PATH, body)).refusal == refusal
    assert (await api.get(PATH)).json["ai_gateway_api_keys"] == []
    assert (await api.get("/provider-keys")).json["aiGatewayProviderKeys"] == []
    assert len(api.data_plane.view.provider_keys) == 0
    assert api.data_plane.view.access_keys.made_for == frozenset()


async def test_cp_68_the_sixteenth_key_of_a_provider_is_refused(api):
    made = await api.created(PATH, {"endpoint_id": "ep_one", "provider_keys": [provider_key(n) for n in range(15)]})
    body = {"ai_gateway_api_key_id": made["id"], **provider_key(16)}
    assert (await api.post("/ai_gateway_provider_keys", body)).refusal == (422, "27506")
    await api.created("/ai_gateway_provider_keys", {**body, "provider_id": "anthropic"})


async def test_cp_17_cleared_texts_read_as_empty(api):
    made = await api.created(PATH, {"endpoint_id": "ep_one", "description": "d", "metadata": "m"})
    changed = (await api.patch(f"{PATH}/{made['id']}", {"description": None, "endpoint_id": "ep_two"})).json
    assert (changed["description"], changed["metadata"], changed["endpoint"]["id"]) == ("", "m", "ep_two")
    assert api.data_plane.view.access_keys.find(made["token"]).endpoint_id == "ep_two"
    assert (await api.patch(f"{PATH}/{made['id']}", {"endpoint_id": None})).refusal == (400, "215")


async def test_cp_64_deletion_takes_the_attached_keys_along_with_a_plain_request(api):
    """CP-143: no version header, no body."""
    made = await api.created(PATH, {"endpoint_id": "ep_one", "provider_keys": [provider_key(1)]})
    assert (await api.delete(f"{PATH}/{made['id']}")).status == 204
    assert len(api.data_plane.view.provider_keys) == 0
    assert api.data_plane.view.access_keys.find(made["token"]) is None
    assert (await api.delete(f"{PATH}/{made['id']}")).refusal == (404, "27509")
    kinds = [event["event_type"] for event in api.data_plane.events[-2:]]
    assert kinds == ["ai_gateway_provider_key_deleted.v0", "ai_gateway_api_key_deleted.v0"]


async def test_cp_61_a_key_of_style_a_has_no_endpoint(api):
    made = await api.created("/access-keys", {"name": "a"})
    assert (await api.get(f"{PATH}/{made['id']}")).json["endpoint"] is None
    assert api.data_plane.view.access_keys.made_for == {STYLE_A}
    assert (await api.delete(f"{PATH}/{made['id']}")).status == 204
    assert (await api.get(f"/access-keys/{made['id']}")).status == 404


async def test_cp_73_lists_take_a_filter(api):
    for text in ("a", "b", "a"):
        await api.created(PATH, {"endpoint_id": "ep_one", "description": text})
    found = await api.get(PATH, params={"filter": "obj.description == 'a'", "limit": "1"})
    assert len(found.json["ai_gateway_api_keys"]) == 1
    rest = await api.get(found.json["next_page_uri"].removeprefix(api.base))
    assert len(rest.json["ai_gateway_api_keys"]) == 1
    assert rest.json["next_page_uri"] is None
    assert (await api.get(PATH, params={"filter": "obj."})).refusal == (400, "250")
