"""Access key configurations and their routers (CP-25 to CP-28)."""

from __future__ import annotations

import pytest

from gateway.auth.scopes import StepKind
from gateway.control.resources import configurations
from gateway.control.router import KEYS_MAXIMUM, RULES_MAXIMUM, STEPS_MAXIMUM

PATH = "/access-key-configurations"
NGROK = {"type": "ngrok"}


def user(*keys):
    return {"type": "user", "keys": list(keys)}


def new(name="n", value="sk-inline-0123456789-abcd"):
    return {"name": name, "value": value}


def rules(*entries):
    return {"name": "c", "router": {"rules": list(entries)}}


def rule(provider=None, model=None, steps=(NGROK,)):
    found = {"provider": provider, "model": model, "steps": list(steps)}
    return {name: value for name, value in found.items() if value is not None}


async def test_cp_25_a_configuration_reads_back_as_written(api):
    access = {"providers": {"allow": ["openai", "Nobody"]}, "models": {}}
    made = await api.created(PATH, {"name": "c", "description": "d", "access": access, "router": {}})
    assert configurations.READ.parse(made) == made
    assert (made["access"], made["router"]) == (access, {})
    compiled = api.data_plane.view.access_keys.configurations[made["id"]]
    assert (compiled.providers, compiled.models, compiled.rules) == (frozenset({"openai", "nobody"}), None, ())
    assert (await api.get(f"{PATH}/{made['id']}")).json == made


async def test_cp_27_keys_written_inside_a_rule_are_created_and_never_shown(api):
    made = await api.created(PATH, rules(rule("open-ai", steps=[user(new("one"), new("two")), NGROK])))
    steps = made["router"]["rules"][0]["steps"]
    assert [key["name"] for key in steps[0]["keys"]] == ["one", "two"]
    assert steps[0]["keySelectionStrategy"] == "ordered"
    assert steps[1] == {"type": "ngrok"}
    assert all("value" not in key for key in steps[0]["keys"])
    assert len(api.data_plane.view.provider_keys.account("openai")) == 2
    [compiled] = api.data_plane.view.access_keys.configurations[made["id"]].rules
    assert [step.kind for step in compiled.steps] == [StepKind.USER, StepKind.MANAGED]
    assert compiled.steps[0].key_ids == tuple(key["id"] for key in steps[0]["keys"])
    assert "0123456789" not in str(api.data_plane.events)


@pytest.mark.parametrize(
    "entries",
    [
        [rule()],
        [rule("")],
        [rule("nobody")],
        [rule("openai"), rule("open-ai")],
        [rule(model="openai:gpt-4o"), rule("openai", "OpenAI:GPT-4o")],
        [rule(model="gpt-4o")],
        [rule(model="meta-llama/llama-3")],
        [rule(model="nobody:gpt-4o")],
        [rule("openai", steps=[])],
        [rule("openai", steps=[{"type": "other"}])],
        [rule("openai", steps=[user()])],
        [rule("openai", steps=[{"type": "user"}])],
        [rule("openai", steps=[{"type": "ngrok", "keys": [new()]}])],
        [rule("openai", steps=[{**user(new()), "keySelectionStrategy": "random"}])],
        [rule("vllm", steps=[NGROK])],
        [rule("openai", steps=[user({"id": "aigpk_no"})])],
        [rule("openai", steps=[user({})])],
        [rule("openai", steps=[user({"name": "n"})])],
        [rule("openai", steps=[user({"value": "v"})])],
        [rule("openai", steps=[user({"id": "x", **new()})])],
        [rule("openai", steps=[NGROK] * (STEPS_MAXIMUM + 1))],
        [rule("openai", steps=[user(*[new()] * (KEYS_MAXIMUM + 1))])],
        [rule(model=f"openai:m{number}") for number in range(RULES_MAXIMUM + 1)],
    ],
)
async def test_cp_26_routers_that_are_refused_leave_nothing_behind(api, entries):
    await api.created("/providers", {"providerId": "vllm", "name": "n", "baseUrl": "http://vllm:8000"})
    assert (await api.post(PATH, rules(*entries))).refusal == (422, "27605")
    assert (await api.get("/provider-keys")).json["aiGatewayProviderKeys"] == []
    assert (await api.get(PATH)).json["aiGatewayAccessKeyConfigurations"] == []


async def test_cp_26_a_key_of_another_provider_and_one_of_no_value(api):
    key = await api.created("/provider-keys", {"providerId": "anthropic", "name": "k", "value": "v"})
    assert (await api.post(PATH, rules(rule("openai", steps=[user({"id": key["id"]})])))).refusal == (422, "27605")
    assert (await api.post(PATH, rules(rule("openai", steps=[user(new(value=" "))])))).refusal == (422, "27507")
    await api.created(PATH, rules(rule("anthropic", steps=[user({"id": key["id"]})])))


@pytest.mark.parametrize(
    "model", ["openai:gpt-4o", "openai:openai/gpt-4o", "openai/gpt-4o", "openrouter/openai/gpt-4o"]
)
async def test_cp_26_models_with_a_provider_part(api, model):
    made = await api.created(PATH, rules(rule(model=model), rule("openai")))
    ranked = api.data_plane.view.access_keys.configurations[made["id"]].rules
    assert [(found.provider, found.model) for found in ranked] == [(None, model), ("openai", None)]


async def test_cp_26_a_custom_provider_by_either_id(api):
    provider = await api.created("/providers", {"providerId": "vllm", "name": "n", "baseUrl": "http://vllm:8000"})
    made = await api.created(
        PATH, rules(rule(provider["id"], steps=[user(new())]), rule(model="vllm:m", steps=[user(new())]))
    )
    assert made["router"]["rules"][0]["provider"] == provider["id"], "as written"
    assert len(api.data_plane.view.provider_keys.account("vllm")) == 2


@pytest.mark.parametrize("member", ["name", "description", "metadata", "access", "router"])
async def test_cp_17_null_clears(api, member):
    full = {"description": "d", "metadata": "m", "access": {"providers": {"allow": []}}, **rules(rule("openai"))}
    made = await api.created(PATH, full)
    changed = (await api.patch(f"{PATH}/{made['id']}", {member: None})).json
    assert changed.get(member, "") == ""
    assert changed.keys() | {member} == made.keys() | {"name"}
    compiled = api.data_plane.view.access_keys.configurations[made["id"]]
    assert (compiled.providers is None) is (member == "access")
    assert (compiled.rules == ()) is (member == "router")


async def test_cp_28_a_configuration_in_use_stays(api):
    made = await api.created(PATH, {"name": "c"})
    key = await api.created("/access-keys", {"accessKeyConfigurationId": made["id"]})
    assert (await api.delete(f"{PATH}/{made['id']}")).refusal == (409, "27615")
    await api.delete(f"/access-keys/{key['id']}")
    assert (await api.delete(f"{PATH}/{made['id']}")).status == 204
    assert made["id"] not in api.data_plane.view.access_keys.configurations


async def test_ag_202_a_key_that_went_with_its_gateway_key_is_skipped(api):
    owner = await api.created("/ai_gateway_api_keys", {"endpoint_id": "ep_one",
                              "provider_keys": [{"provider_id": "openai", "value": "v"}]})  # fmt: skip
    attached = owner["provider_keys"][0]["id"]
    made = await api.created(PATH, rules(rule("openai", steps=[user({"id": attached})])))
    await api.delete(f"/ai_gateway_api_keys/{owner['id']}")
    shown = (await api.get(f"{PATH}/{made['id']}")).json
    assert shown["router"]["rules"][0]["steps"][0]["keys"] == []


async def test_required_name_and_lengths(api):
    assert (await api.post(PATH, {})).refusal == (422, "27602")
    assert (await api.post(PATH, {"name": "x" * 256})).refusal == (422, "27603")
    assert (await api.post(PATH, {"name": "x", "access": {"models": {"allow": [1]}}})).refusal == (400, "215")
    assert (await api.post(PATH, {"name": "x", "access": None})).refusal == (400, "215")
