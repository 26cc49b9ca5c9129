"""``gateway.ai.universe``: catalog, configuration and store in one (AG-14 to AG-20, AG-52 to AG-54)."""

from __future__ import annotations

from gateway.ai.catalog import load_overlay
from gateway.ai.entities import Model, Provider
from gateway.problems import Problems
from tests.unit.ai.selection_kit import World, model, provider


def provider_of(world: World, provider_id: str) -> Provider:
    (found,) = [each for each in world.universe.providers if each.id == provider_id]
    return found


def model_of(world: World, provider_id: str, model_id: str) -> Model:
    (found,) = [each for each in provider_of(world, provider_id).models if each.id == model_id]
    return found


def test_without_configuration_it_is_the_catalog():
    world = World()
    assert len(world.universe.providers) == 11
    assert sum(len(each.models) for each in world.universe.providers) == 103
    openai = provider_of(world, "openai")
    assert str(openai.target.origin) == "https://api.openai.com"
    assert (openai.target.path, openai.stream_usage, openai.configured) == ("/v1", True, False)


def test_providers_are_in_order_of_their_id_ag_97():
    world = World(provider("Zeta", "m"), provider("alpha", "m"), provider("beta", "m"))
    ids = [each.id for each in world.universe.providers]
    assert ids == sorted(ids, key=str.lower)


def test_an_official_provider_is_overlaid_field_by_field():
    world = World(
        provider(
            "OpenAI", description="ours", id_aliases=("house",), metadata={"a": 1}, credential_header="api-key",
            supported_api_surfaces={("openai", "embeddings"): frozenset({"input"})}, keys=["k"],
        )
    )  # fmt: skip
    openai = provider_of(world, "openai")
    assert (openai.display_name, openai.description) == ("OpenAI", "ours")
    assert openai.id_aliases == ("open-ai", "house")
    assert openai.metadata == {"a": 1}
    assert openai.credential_header == "api-key"
    assert openai.surfaces == {("openai", "embeddings"): frozenset({"input"})}
    assert [text.reveal() for text in openai.key_texts] == ["k"]
    assert openai.configured
    assert openai.key_prefixes == ("sk-proj-",)


def test_a_base_url_override_keeps_models_names_and_surfaces():
    world = World(provider("anthropic", base_url="http://localhost:9/v1"))
    anthropic = provider_of(world, "anthropic")
    assert anthropic.has_base_url_override
    assert (anthropic.target.origin.host, anthropic.target.origin.port) == ("localhost", 9)
    assert ("anthropic", "messages") in anthropic.surfaces
    assert anthropic.models
    assert not anthropic.stream_usage


def test_an_overlay_s_base_url_is_no_override_ag_61():
    catalog = load_overlay("providers: [{id: openai, base_url: 'https://eu.example/v1'}]", Problems("o.yaml"))
    assert catalog is not None
    openai = provider_of(World(catalog=catalog), "openai")
    assert openai.official
    assert openai.target.origin.host == "eu.example"


def test_a_custom_provider_has_openai_surfaces_by_default_ag_16():
    mine = provider_of(World(provider("mine", "m")), "mine")
    assert {key[0] for key in mine.surfaces} == {"openai"}
    assert len(mine.surfaces) == 4
    assert mine.custom
    assert not mine.stream_usage


def test_stream_usage_of_a_custom_provider_follows_its_parameters_ag_244():
    table = {("openai", "chat-completions"): frozenset({"stream_options", "model"})}
    assert provider_of(World(provider("mine", "m", supported_api_surfaces=table)), "mine").stream_usage


def test_metadata_of_the_provider_reaches_its_models_ag_14():
    world = World(provider("mine", model("m", metadata={"b": 3}), "n", metadata={"a": 1, "b": 2}))
    assert model_of(world, "mine", "m").metadata == {"a": 1, "b": 3}
    assert model_of(world, "mine", "n").metadata == {"a": 1, "b": 2}


def test_a_catalog_model_is_overlaid_and_others_are_added_ag_19():
    world = World(
        provider(
            "openai", model("gpt-4o", author_id="", unsupported_params=("logprobs",)), model("new", author_id="Meta")
        )
    )
    known, added = model_of(world, "openai", "gpt-4o"), model_of(world, "openai", "new")
    assert known.author_id == "openai"
    assert known.unsupported_params == frozenset({"logprobs"})
    assert known.configured
    assert not known.custom
    assert (added.custom, added.author_id, added.author_id_aliases) == (True, "meta", ("meta-llama", "llama"))
    assert added.input_modalities == ("text",)
    assert model_of(world, "openai", "gpt-4.1").configured is False


def test_inherited_models_belong_to_the_custom_provider_ag_15():
    world = World(provider("openai-eu", id_aliases=("openai",)))
    mine = provider_of(world, "openai-eu")
    assert len(mine.models) == len(provider_of(world, "openai").models)
    assert {each.provider_id for each in mine.models} == {"openai-eu"}
    assert not any(each.configured for each in mine.models)


def test_models_of_one_s_own_replace_inheritance_ag_15():
    mine = provider_of(World(provider("openai-eu", "only", id_aliases=("openai",))), "openai-eu")
    assert [each.id for each in mine.models] == ["only"]


class Stored:
    """A provider of the store."""

    stored_id = "aigp_1"

    def __init__(self, provider_id: str, *models: str) -> None:
        self.config = provider(provider_id, *models)

    def __getattr__(self, name: str):
        return getattr(self.config, name)


def test_an_action_entry_hides_the_store_s_ag_54():
    world = World(provider("mine", "a"), stored=[Stored("Mine", "b"), Stored("other", "c")])
    assert [each.id for each in provider_of(world, "mine").models] == ["a"]
    other = provider_of(world, "other")
    assert (other.stored_id, other.configured, other.custom) == ("aigp_1", False, True)


def test_two_universes_share_numbers_but_no_objects():
    first = World()
    second = World(clock=first.clock, registry=first.registry)
    one, two = model_of(first, "openai", "gpt-4o"), model_of(second, "openai", "gpt-4o")
    assert one is not two
    assert one.metrics.account is two.metrics.account
