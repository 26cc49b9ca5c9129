"""Admin keys (CP-30)."""

from __future__ import annotations

from gateway.control.resources import admin_keys


async def test_cp_30_a_new_key_works_and_shows_its_token_once(api):
    made = await api.created("/api-keys", {"name": "ci", "metadata": "m"})
    assert admin_keys.READ.parse(made) == made
    first, _, mark, secret = made["token"].split("-")
    assert (first, mark, len(secret)) == ("ng", "a1", 43)
    assert (await api.get("/vaults", headers={"authorization": f"Bearer {made['token']}"})).status == 200
    assert secret.encode() not in (await api.get("/api-keys")).text


async def test_cp_30_the_last_key_stays(api):
    [key] = (await api.get("/api-keys")).json["aiGatewayApiKeys"]
    assert (await api.delete(f"/api-keys/{key['id']}")).refusal == (409, "27615")
    await api.created("/api-keys", {})
    assert (await api.delete(f"/api-keys/{key['id']}")).status == 204


async def test_cp_12_the_acting_key_is_named(api):
    made = await api.created("/api-keys", {"name": "second"})
    headers = {"authorization": f"Bearer {made['token']}"}
    vault = (await api.post("/vaults", {"name": "v"}, headers=headers)).json
    assert (vault["created_by"], vault["last_updated_by"]) == (made["id"], made["id"])
    path = f"/access-keys/{(await api.created('/access-keys', {}))['id']}"
    changed = (await api.patch(path, {"name": "x"}, headers=headers)).json
    assert changed["lastUpdatedBy"] == {"id": made["id"], "uri": made["uri"]}
    assert changed["createdBy"]["id"] != made["id"]


async def test_cp_12_the_server_itself_has_no_resource(api):
    [key] = (await api.get("/api-keys")).json["aiGatewayApiKeys"]
    assert key["createdBy"] == {"id": "system", "uri": ""}


async def test_changes(api):
    made = await api.created("/api-keys", {"name": "a", "description": "d"})
    path = f"/api-keys/{made['id']}"
    changed = (await api.patch(path, {"name": None, "description": "e"})).json
    assert "name" not in changed
    assert changed["description"] == "e"
    assert (await api.patch(path, {})).json["updatedAt"] == changed["updatedAt"]
    assert (await api.get("/api-keys/aigk_1")).refusal == (404, "27611")
