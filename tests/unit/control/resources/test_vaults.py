"""Vaults (TP-600, TP-616 to TP-621, CP-12)."""

from __future__ import annotations

import pytest

from gateway.control.resources import vaults

PATH = "/vaults"


async def test_a_vault_reads_as_documented(api):
    made = await api.created(PATH, {"name": "gateway-auth"})
    assert vaults.READ.parse(made) == made
    assert (made["description"], made["metadata"]) == ("", "")
    assert made["created_by"].startswith("aigak_"), "only the id, as a string"
    assert made["created_at"].endswith("Z")
    assert "." not in made["created_at"]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (400, "23001")),
        ({"name": ""}, (400, "23001")),
        ({"name": "x" * 129}, (400, "23002")),
        ({"name": "a b"}, (400, "23000")),
        ({"name": "é"}, (400, "23000")),
        ({"name": "a\n"}, (400, "23000")),
        ({"name": None}, (400, "215")),
        ({"name": "a", "description": "x" * 256}, (422, "27606")),
        ({"name": "a", "metadata": "x" * 4097}, (422, "27606")),
    ],
)
async def test_tp_616_refusals(api, body, refusal):
    assert (await api.post(PATH, body)).refusal == refusal


async def test_tp_616_names_are_unique_and_case_sensitive(api):
    made = await api.created(PATH, {"name": "Ab/c_d.e-f"})
    assert (await api.post(PATH, {"name": "Ab/c_d.e-f"})).refusal == (409, "23004")
    other = await api.created(PATH, {"name": "ab/c_d.e-f"})
    assert (await api.patch(f"{PATH}/{other['id']}", {"name": made["name"]})).refusal == (409, "23004")
    assert (await api.patch(f"{PATH}/{other['id']}", {"name": other["name"]})).status == 200


async def test_tp_618_a_vault_goes_only_when_it_is_empty(api):
    made = await api.created(PATH, {"name": "v"})
    secret = await api.created("/vault_secrets", {"name": "s", "value": "x", "vault_id": made["id"]})
    assert (await api.delete(f"{PATH}/{made['id']}")).refusal == (409, "23003")
    await api.delete(f"/vault_secrets/{secret['id']}")
    assert (await api.delete(f"{PATH}/{made['id']}")).status == 204
    assert (await api.get(f"{PATH}/{made['id']}")).refusal == (404, "24006")


async def test_tp_602_renaming_a_vault_moves_its_secrets(api):
    made = await api.created(PATH, {"name": "old", "description": "d"})
    await api.created("/vault_secrets", {"name": "s", "value": "x", "vault_id": made["id"]})
    changed = (await api.patch(f"{PATH}/{made['id']}", {"name": "new", "description": None})).json
    assert (changed["name"], changed["description"]) == ("new", "")
    secrets = api.data_plane.view.secrets
    assert (secrets.get("new", "s"), secrets.get("old", "s")) == ("x", None)


async def test_tp_629_events_hold_the_resource(api):
    made = await api.created(PATH, {"name": "v"})
    await api.patch(f"{PATH}/{made['id']}", {"metadata": "m"})
    await api.delete(f"{PATH}/{made['id']}")
    assert [event["event_type"] for event in api.data_plane.events] == [
        "vault_created.v0", "vault_updated.v0", "vault_deleted.v0",
    ]  # fmt: skip
    assert api.data_plane.events[0]["object"] == made


async def test_tp_620_lists_are_newest_first_with_filter(api):
    for name in ("a", "b", "ab"):
        await api.created(PATH, {"name": name})
    assert [vault["name"] for vault in (await api.get(PATH)).json["vaults"]] == ["ab", "b", "a"]
    found = await api.get(PATH, params={"filter": "size(obj.name) == 1"})
    assert [vault["name"] for vault in found.json["vaults"]] == ["b", "a"]
