"""Provider keys in style A (CP-32 to CP-34)."""

from __future__ import annotations

import pytest

from gateway.control.provider_keys import checked_value
from gateway.control.resources import provider_keys

PATH = "/provider-keys"


def body(**more):
    return {"providerId": "openai", "name": "k", "value": "sk-proj-0123456789-abcd", **more}


async def test_cp_33_the_value_is_sealed_redacted_and_never_shown(api):
    made = await api.created(PATH, body(value="  sk-proj-0123456789-abcd\n", providerId="Open-AI", description="d"))
    assert provider_keys.READ.parse(made) == made
    assert (made["keyRedacted"], made["providerId"]) == ("sk-proj-01***abcd", "openai")
    [key] = api.data_plane.view.provider_keys.account("openai")
    assert (key.value.reveal(), key.rotation) == ("sk-proj-0123456789-abcd", 0)
    for answer in (await api.get(PATH), await api.get(f"{PATH}/{made['id']}")):
        assert b"0123456789-abcd" not in answer.text
    sealed = await api.plane.read(lambda db: db.execute("SELECT sealed FROM provider_keys").fetchone()[0])
    assert b"0123456789" not in sealed


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"value": ""}, (422, "27507")),
        ({"value": " \t\n"}, (422, "27507")),
        ({"value": "sk-\x00"}, (422, "27606")),
        ({"value": "schlüssel"}, (422, "27606")),
        ({"value": "x" * 8193}, (422, "27606")),
        ({"providerId": "unknown"}, (422, "27508")),
        ({"name": "x" * 256}, (422, "27501")),
        ({"description": "x" * 256}, (422, "27502")),
        ({"metadata": "x" * 4097}, (422, "27503")),
        ({"keyRedacted": "x"}, (400, "214")),
        ({"value": None}, (400, "215")),
    ],
)
async def test_cp_33_refusals(api, change, refusal):
    answer = await api.post(PATH, body(**change))
    assert answer.refusal == refusal
    assert (
        "value" not in change
        or not change["value"]
        or len(change["value"]) < 4
        or (change["value"].encode() not in answer.text)
    )


@pytest.mark.parametrize("member", ["providerId", "name", "value"])
async def test_cp_70_required_members(api, member):
    sent = {name: value for name, value in body().items() if name != member}
    answer = await api.post(PATH, sent)
    assert (answer.refusal, answer.json["details"]["field"]) == ((422, "27510"), member)


def test_cp_33_the_longest_value_and_its_edges():
    assert checked_value(f" {'~' * 8192} ") == "~" * 8192


async def test_cp_34_rotation_keeps_id_and_references_and_starts_anew(api):
    made = await api.created(PATH, body())
    router = {"rules": [{"provider": "openai", "steps": [{"type": "user", "keys": [{"id": made["id"]}]}]}]}
    await api.created("/access-key-configurations", {"name": "c", "router": router})
    rotated = (await api.post(f"{PATH}/{made['id']}/rotate", {"name": "new", "value": "sk-new-0123456789-wxyz"})).json
    assert (rotated["id"], rotated["name"], rotated["keyRedacted"]) == (made["id"], "new", "sk-new-012***wxyz")
    key = api.data_plane.view.provider_keys.get(made["id"])
    assert (key.value.reveal(), key.rotation) == ("sk-new-0123456789-wxyz", 1)
    [configuration] = (await api.get("/access-key-configurations")).json["aiGatewayAccessKeyConfigurations"]
    assert configuration["router"]["rules"][0]["steps"][0]["keys"][0]["name"] == "new"
    assert (await api.post(f"{PATH}/{made['id']}/rotate", {"name": "n"})).refusal == (422, "27510")
    assert (await api.post(f"{PATH}/aigpk_no/rotate", {"name": "n", "value": "v"})).refusal == (404, "27611")
    assert api.data_plane.events[-1]["event_type"] == "ai_gateway_provider_key_rotated.v0"


async def test_cp_34_a_key_that_a_rule_names_cannot_be_deleted(api):
    made = await api.created(PATH, body())
    router = {"rules": [{"provider": "openai", "steps": [{"type": "user", "keys": [{"id": made["id"]}]}]}]}
    configuration = await api.created("/access-key-configurations", {"name": "c", "router": router})
    assert (await api.delete(f"{PATH}/{made['id']}")).refusal == (409, "27511")
    await api.patch(f"/access-key-configurations/{configuration['id']}", {"router": None})
    assert (await api.delete(f"{PATH}/{made['id']}")).status == 204
    assert api.data_plane.view.provider_keys.get(made["id"]) is None


async def test_cp_17_a_cleared_name_reads_as_empty(api):
    made = await api.created(PATH, body(description="d"))
    changed = (await api.patch(f"{PATH}/{made['id']}", {"name": None, "description": None})).json
    assert changed["name"] == ""
    assert "description" not in changed


async def test_the_list_can_be_narrowed_to_a_provider_by_any_of_its_names(api):
    for provider in ("openai", "anthropic", "openai"):
        await api.created(PATH, body(providerId=provider))
    for name, count in (("openai", 2), ("OPEN-AI", 2), ("anthropic", 1), ("nobody", 0)):
        assert len((await api.get(f"{PATH}?provider={name}")).json["aiGatewayProviderKeys"]) == count
