"""Custom providers (CP-35 to CP-38)."""

from __future__ import annotations

import pytest

from gateway.control.resources import providers
from gateway.control.view import CustomSurface

PATH = "/providers"


def body(**more):
    return {"providerId": "vllm", "name": "vLLM", "baseUrl": "http://vllm:8000/v1", **more}


async def test_cp_37_defaults_and_what_selection_gets(api):
    made = await api.created(PATH, body(models=[{"modelId": "llama3.2:1b"}]))
    assert providers.READ.parse(made) == made
    assert made["supportedApiSurfaces"] == [{"format": "openai"}]
    found = api.data_plane.view.provider_named("VLLM")
    assert found is api.data_plane.view.providers[made["id"]]
    assert (found.base_url, found.model_ids) == ("http://vllm:8000/v1", ("llama3.2:1b",))
    assert found.surfaces == (CustomSurface("openai"),)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"providerId": ""}, (422, "27701")),
        ({"providerId": "x" * 256}, (422, "27701")),
        ({"providerId": "-x"}, (422, "27606")),
        ({"providerId": "a b"}, (422, "27606")),
        ({"providerId": "OpenAI"}, (422, "27705")),
        ({"providerId": "open-ai"}, (422, "27705")),
        ({"providerId": "ngrok"}, (422, "27705")),
        ({"name": ""}, (422, "27702")),
        ({"name": "x" * 256}, (422, "27702")),
        ({"baseUrl": ""}, (422, "27703")),
        ({"baseUrl": "http://h/" + "x" * 2048}, (422, "27703")),
        ({"metadata": "x" * 4097}, (422, "27706")),
        ({"models": [{"modelId": ""}]}, (422, "27709")),
        ({"models": [{"modelId": "m"}, {"modelId": "m"}]}, (422, "27711")),
        ({"models": [{"id": "x", "modelId": "m"}]}, (400, "214")),
        ({"supportedApiSurfaces": [{}]}, (422, "27704")),
        ({"supportedApiSurfaces": [{"format": "grpc"}]}, (422, "27707")),
        ({"supportedApiSurfaces": [{"format": "openai", "surface": "messages"}]}, (422, "27708")),
        ({"supportedApiSurfaces": [{"format": "openai"}, {"format": "openai"}]}, (422, "27606")),
        ({"supportedApiSurfaces": [{"format": "openai", "supportedParams": [{"name": "n"}]}]}, (422, "27717")),
    ],
)
async def test_cp_36_refusals(api, change, refusal):
    assert (await api.post(PATH, body(**change))).refusal == refusal


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ([{"name": ""}], "27714"),
        ([{"name": "n"}, {"name": "n"}], "27715"),
        ([{"name": str(n)} for n in range(101)], "27716"),
    ],
)
async def test_cp_36_supported_params(api, params, code):
    surface = {"format": "openai", "surface": "chat-completions", "supportedParams": params}
    assert (await api.post(PATH, body(supportedApiSurfaces=[surface]))).refusal == (422, code)


@pytest.mark.parametrize("member", ["providerId", "name", "baseUrl"])
async def test_cp_36_required_members(api, member):
    sent = {name: value for name, value in body().items() if name != member}
    assert (await api.post(PATH, sent)).refusal == (422, "27704")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://h", "27606"), ("not a url", "27606"), ("/v1", "27606"), ("https://user:pw@h", "27718"),
        ("http://example.com", "27718"), ("http://169.254.169.254/latest", "27718"),
        ("https://[::ffff:169.254.169.254]", "27718"), ("https://metadata.google.internal", "27718"),
        ("http://2852039166", "27718"), ("http://0x7f.1", "27718"), ("http://127.0.0.1:4041", "27718"),
    ],
)  # fmt: skip
async def test_p19_base_urls_that_are_refused(api, url, code):
    answer = await api.post(PATH, body(baseUrl=url))
    assert (answer.refusal, answer.json["details"]["field"]) == ((422, code), "baseUrl")
    made = await api.created(PATH, body())
    assert (await api.patch(f"{PATH}/{made['id']}", {"baseUrl": url})).refusal == (422, code)


async def test_cp_36_ids_are_taken_whatever_their_case(api):
    made = await api.created(PATH, body())
    assert (await api.post(PATH, body(providerId="VLLM"))).refusal == (409, "27712")
    assert (await api.patch(f"{PATH}/{made['id']}", {"providerId": "other"})).refusal == (400, "214")


async def test_cp_37_replacing_models_keeps_the_ids_of_those_that_stay(api):
    made = await api.created(PATH, body(models=[{"modelId": "a"}, {"modelId": "b"}]))
    path = f"{PATH}/{made['id']}"
    changed = (await api.patch(path, {"models": [{"modelId": "b"}, {"modelId": "c"}]})).json
    ids = {model["modelId"]: model["id"] for model in made["models"]}
    assert changed["models"][0] == {"id": ids["b"], "modelId": "b"}
    assert changed["models"][1]["id"] not in ids.values()
    assert (await api.patch(path, {"models": []})).json["models"] == []
    assert (await api.patch(path, {"models": None})).json["models"] == []


async def test_cp_17_null_clears(api):
    surface = {"format": "anthropic", "surface": "messages", "supportedParams": [{"name": "system"}]}
    made = await api.created(PATH, body(metadata="m", supportedApiSurfaces=[surface]))
    assert api.data_plane.view.providers[made["id"]].surfaces == (CustomSurface("anthropic", "messages", ("system",)),)
    path = f"{PATH}/{made['id']}"
    changed = (await api.patch(path, {"name": None, "metadata": None, "supportedApiSurfaces": None})).json
    assert (changed["name"], changed["supportedApiSurfaces"]) == ("", [{"format": "openai"}])
    assert "metadata" not in changed
    assert (await api.patch(path, {"baseUrl": None})).refusal == (400, "215")


@pytest.mark.parametrize(
    "configuration",
    [
        {"access": {"providers": {"allow": ["VLLM"]}}},
        {"access": {"models": {"allow": ["vllm:m"]}}},
        {"access": {"models": {"allow": ["vllm/m"]}}},
        {
            "router": {
                "rules": [{"model": "vllm:m", "steps": [{"type": "user", "keys": [{"name": "n", "value": "v"}]}]}]
            }
        },
    ],
)
async def test_cp_38_a_provider_that_is_named_stays(api, configuration):
    made = await api.created(PATH, body())
    named = await api.created("/access-key-configurations", {"name": "c", **configuration})
    assert (await api.delete(f"{PATH}/{made['id']}")).refusal == (409, "27710")
    await api.delete(f"/access-key-configurations/{named['id']}")
    for key in (await api.get("/provider-keys")).json["aiGatewayProviderKeys"]:
        assert (await api.delete(f"{PATH}/{made['id']}")).refusal == (409, "27710"), "a provider key names it, too"
        await api.delete(f"/provider-keys/{key['id']}")
    assert (await api.delete(f"{PATH}/{made['id']}")).status == 204
    assert api.data_plane.view.providers == {}


async def test_cp_38_its_aigp_id_counts_as_its_name(api):
    made = await api.created(PATH, body())
    await api.created("/access-key-configurations", {"name": "c", "access": {"providers": {"allow": [made["id"]]}}})
    assert (await api.delete(f"{PATH}/{made['id']}")).refusal == (409, "27710")
