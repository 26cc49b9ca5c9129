"""Vault secrets (TP-601, TP-605, TP-615 to TP-629, CP-72)."""

from __future__ import annotations

import pytest

from gateway.control.resources import secrets
from gateway.secrets.sources import SecretTable

PATH = "/vault_secrets"


@pytest.fixture
async def vault(api):
    return await api.created("/vaults", {"name": "v"})


async def test_tp_615_the_value_is_never_shown(api, vault):
    made = await api.created(PATH, {"name": "s", "value": "canary-0123456789", "vault_id": vault["id"]})
    assert secrets.READ.parse(made) == made
    assert (made["vault"], made["vault_name"]) == ({"id": vault["id"], "uri": vault["uri"]}, "v")
    assert made["created_by"]["id"].startswith("aigak_")
    answers = [
        await api.get(PATH),
        await api.get(f"{PATH}/{made['id']}"),
        await api.patch(f"{PATH}/{made['id']}", {"value": "canary-9876543210"}),
        await api.get(f"/vaults/{vault['id']}/secrets"),
        await api.get("/secrets"),
    ]
    assert all(answer.status == 200 for answer in answers)
    assert not any(b"canary" in answer.text for answer in answers)
    assert "canary" not in str(api.data_plane.events)


async def test_tp_605_a_change_is_effective_at_the_answer(api, vault):
    made = await api.created(PATH, {"name": "s", "value": "one", "vault_name": "v"})
    assert SecretTable([api.data_plane.view.secrets]).get("v", "s") == "one"
    changed = (await api.patch(f"{PATH}/{made['id']}", {"value": "two"})).json
    assert api.data_plane.view.secrets.get("v", "s") == "two"
    assert changed["updated_at"] >= made["updated_at"]
    await api.patch(f"{PATH}/{made['id']}", {"name": "t"})
    assert (api.data_plane.view.secrets.get("v", "s"), api.data_plane.view.secrets.get("v", "t")) == (None, "two")
    assert (await api.delete(f"{PATH}/{made['id']}")).status == 204
    assert api.data_plane.view.secrets.get("v", "t") is None


async def test_tp_601_a_key_value_secret(api, vault):
    await api.created(PATH, {"name": "openai", "value": '{"key-one": "sk-1"}', "vault_id": vault["id"]})
    assert SecretTable([api.data_plane.view.secrets]).get("openai", "key-one") == "sk-1"


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"value": "x", "vault_name": "v"}, (400, "24001")),
        ({"name": "", "value": "x", "vault_name": "v"}, (400, "24001")),
        ({"name": "x" * 129, "value": "x", "vault_name": "v"}, (400, "24002")),
        ({"name": "a b", "value": "x", "vault_name": "v"}, (400, "24000")),
        ({"name": "s", "vault_name": "v"}, (400, "24003")),
        ({"name": "s", "value": "", "vault_name": "v"}, (400, "24003")),
        ({"name": "s", "value": "é" * 32_769, "vault_name": "v"}, (400, "24004")),
        ({"name": "s", "value": "x"}, (400, "24008")),
        ({"name": "s", "value": "x", "vault_id": "vault_no"}, (404, "24006")),
        ({"name": "s", "value": "x", "vault_name": "no"}, (404, "24009")),
        ({"name": "s", "value": 1, "vault_name": "v"}, (400, "215")),
    ],
)
async def test_tp_621_refusals(api, vault, body, refusal):
    assert (await api.post(PATH, body)).refusal == refusal
    assert len(api.data_plane.view.secrets) == 0


async def test_tp_616_names_are_unique_in_their_vault(api, vault):
    await api.created("/vaults", {"name": "w"})
    await api.created(PATH, {"name": "s", "value": "x", "vault_name": "v"})
    made = await api.created(PATH, {"name": "s", "value": "y", "vault_name": "w"})
    assert (await api.post(PATH, {"name": "s", "value": "x", "vault_name": "v"})).refusal == (409, "24005")
    both = {"name": "z", "value": "x", "vault_name": "w", "vault_id": vault["id"]}
    assert (await api.post(PATH, both)).refusal == (422, "27606")
    assert (await api.patch(f"{PATH}/{made['id']}", {"vault_name": "v"})).refusal == (400, "214")
    for body, refusal in (
        ({"value": ""}, (400, "24003")),
        ({"name": ""}, (400, "24001")),
        ({"name": "?"}, (400, "24000")),
    ):
        assert (await api.patch(f"{PATH}/{made['id']}", body)).refusal == refusal


async def test_tp_617_the_largest_value(api, vault):
    value = "x" * 65_536
    await api.created(PATH, {"name": "s", "value": value, "vault_name": "v"})
    assert api.data_plane.view.secrets.get("v", "s") == value


async def test_cp_72_both_paths_are_one_resource(api, vault):
    made = await api.created("/secrets", {"name": "s", "value": "x", "vault_name": "v"})
    assert (await api.get(f"{PATH}/{made['id']}")).json == made
    assert (await api.delete(f"/secrets/{made['id']}")).status == 204
    assert (await api.get(f"{PATH}/{made['id']}")).refusal == (404, "27611")


async def test_the_list_of_a_vault(api, vault):
    await api.created("/vaults", {"name": "w"})
    for name, owner in (("a", "v"), ("b", "w"), ("c", "v")):
        await api.created(PATH, {"name": name, "value": "x", "vault_name": owner})
    listed = (await api.get(f"/vaults/{vault['id']}/secrets?limit=1")).json
    assert [secret["name"] for secret in listed["secrets"]] == ["c"]
    rest = (await api.get(listed["next_page_uri"].removeprefix(api.base))).json
    assert [secret["name"] for secret in rest["secrets"]] == ["a"]
    assert (await api.get("/vaults/vault_no/secrets")).refusal == (404, "24006")


async def test_tp_629_an_update_of_the_value_alone_is_an_event_without_it(api, vault):
    made = await api.created(PATH, {"name": "s", "value": "x", "vault_name": "v"})
    await api.patch(f"{PATH}/{made['id']}", {"value": "y"})
    await api.patch(f"{PATH}/{made['id']}", {})
    kinds = [event["event_type"] for event in api.data_plane.events]
    assert kinds == ["vault_created.v0", "secret_created.v0", "secret_updated.v0"]
    assert api.data_plane.events[-1]["changed"] == ["value"]
    assert "value" not in api.data_plane.events[-1]["object"]
