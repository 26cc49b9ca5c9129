"""Gateway keys in style A (CP-17, CP-18, CP-22, CP-60, CP-61, CP-66, CP-103)."""

from __future__ import annotations

import pytest

from gateway.auth.tokens import redact
from gateway.control.resources import access_keys


async def test_cp_22_the_token_is_shown_once_and_works_at_the_answer(api):
    made = await api.created("/access-keys", {"name": "web", "description": "d", "metadata": "m"})
    token = made.pop("token")
    assert api.data_plane.view.access_keys.find(token).id == made["id"]
    assert made["keyRedacted"] == redact(token)
    assert (made["lastUsed"], made["accessKeyConfiguration"]) == (None, None)
    assert made["createdBy"] == made["lastUpdatedBy"]
    answers = [
        await api.get(f"/access-keys/{made['id']}"),
        await api.get("/access-keys"),
        await api.patch(f"/access-keys/{made['id']}", {"name": "web"}),
        await api.get("/ai_gateway_api_keys"),
    ]
    assert answers[0].json == made
    secret = token.rpartition("-")[2].encode()
    assert not any(secret in answer.text for answer in answers)
    assert not any(secret in str(event).encode() for event in api.data_plane.events)


async def test_cp_22_an_empty_body_is_enough(api):
    made = await api.created("/access-keys", {})
    assert not {"name", "description", "metadata"} & made.keys()
    assert access_keys.READ.parse(made) == made


@pytest.mark.parametrize("member", ["name", "description", "metadata"])
async def test_cp_17_null_clears_and_a_missing_member_stays(api, member):
    made = await api.created("/access-keys", {"name": "n", "description": "d", "metadata": "m"})
    path = f"/access-keys/{made['id']}"
    changed = (await api.patch(path, {member: None})).json
    assert member not in changed
    assert {"name", "description", "metadata"} - {member} <= changed.keys()
    assert (await api.patch(path, {member: ""})).json[member] == ""
    assert (await api.patch(path, {})).json == (await api.get(path)).json


@pytest.mark.parametrize(
    ("member", "longest", "code"), [("name", 255, "27603"), ("description", 255, "27606"), ("metadata", 4096, "27604")]
)
async def test_cp_7_lengths_count_code_points(api, member, longest, code):
    await api.created("/access-keys", {member: "🔑" * longest})
    answer = await api.post("/access-keys", {member: "x" * (longest + 1)})
    assert answer.refusal == (422, code)
    assert answer.json["details"]["field"] == member


async def test_cp_25_linking_to_a_configuration(api):
    configuration = await api.created("/access-key-configurations", {"name": "c", "access": {"models": {"allow": []}}})
    made = await api.created("/access-keys", {"accessKeyConfigurationId": configuration["id"]})
    assert made["accessKeyConfiguration"] == {"id": configuration["id"], "uri": configuration["uri"], "name": "c"}
    keys = api.data_plane.view.access_keys
    assert keys.configuration_of(keys.find(made["token"])).models == frozenset()
    cleared = await api.patch(f"/access-keys/{made['id']}", {"accessKeyConfigurationId": None})
    assert cleared.json["accessKeyConfiguration"] is None
    keys = api.data_plane.view.access_keys
    assert keys.configuration_of(keys.find(made["token"])) is None
    assert (await api.post("/access-keys", {"accessKeyConfigurationId": "aigac_no"})).refusal == (404, "27611")


async def test_cp_66_a_deleted_key_is_gone_everywhere_at_the_answer(api):
    made = await api.created("/access-keys", {})
    path = f"/access-keys/{made['id']}"
    assert (await api.delete(path)).status == 204
    assert api.data_plane.view.access_keys.find(made["token"]) is None
    for answer in (await api.delete(path), await api.get(path), await api.patch(path, {"name": "x"})):
        assert answer.refusal == (404, "27611")


async def test_cp_67_last_use_is_exact_on_reading(api):
    made = await api.created("/access-keys", {})
    api.plane.last_used.touch(made["id"], 1_500)
    for _ in range(2):
        assert (await api.get(f"/access-keys/{made['id']}")).json["lastUsed"] == "1970-01-01T00:00:01.500Z"
        await api.upkeep.write_last_used()


async def test_cp_61_a_key_of_style_b_is_seen_and_linked_here(api):
    made = await api.created("/ai_gateway_api_keys", {"endpoint_id": "ep_one", "description": "d"})
    shown = (await api.get(f"/access-keys/{made['id']}")).json
    assert "name" not in shown
    assert shown["description"] == "d"
    assert (await api.delete(f"/access-keys/{made['id']}")).status == 204
    assert (await api.get(f"/ai_gateway_api_keys/{made['id']}")).refusal == (404, "27509")


async def test_cp_115_changes_are_events(api):
    made = await api.created("/access-keys", {"name": "n"})
    await api.patch(f"/access-keys/{made['id']}", {"name": "o", "metadata": None})
    await api.delete(f"/access-keys/{made['id']}")
    created, updated, deleted = api.data_plane.events
    assert [event["event_type"] for event in (created, updated, deleted)] == [
        f"ai_gateway_api_key_{word}.v0" for word in ("created", "updated", "deleted")
    ]
    assert updated["changed"] == ["name", "metadata"]
    assert (updated["object"]["name"], updated["object"]["id"]) == ("o", made["id"])
    assert updated["principal"] == made["createdBy"]["id"]
    assert updated["source_ip"] == "127.0.0.1"
    assert len({event["operation_id"] for event in (created, updated, deleted)}) == 3
