"""``gateway.ai.keys``: the order of keys (AG-12, AG-126 to AG-128, AG-151, AG-157, AG-190)."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.ai.credentials import AUTHORIZATION, ClientCredential, PassthroughRules, TokenKind
from gateway.ai.entities import Candidate, KeySource
from gateway.ai.keys import KeyOptions, Keyring
from gateway.ai.measure import Measure, Outcome
from gateway.ai.surfaces import CHAT, Format
from gateway.cel.template import compile_template
from gateway.headers import HeaderMap
from gateway.secrets.secret import Secret
from gateway.secrets.stored_keys import StoredKey
from tests.unit.ai.selection_kit import ENVIRONMENT, Asks, World, exchange, provider, quota_headers, values

A, B, C = "sk-key-a-0123456789", "sk-key-b-0123456789", "sk-key-c-0123456789"
NONE = HeaderMap()
QUOTA = "ai.keys.filter(k, k.quota.remaining_requests > 100)"


def made(*strategies: str, keys=(A, B, C), **options) -> tuple[World, Candidate]:
    world = World(provider("mine", "m", keys=keys), key_strategies=strategies, **options)
    (candidate,) = world.universe.plan("mine:m", (), CHAT).candidates
    return world, candidate


def passthrough(world: World, token: str = "client-token", header: str = AUTHORIZATION, **found) -> Asks:
    credential = ClientCredential(Secret(token), header, TokenKind.OTHER)
    rules = PassthroughRules(
        credential, secrets_seen=found.get("seen", ()), consumed_tokens=(), prefixes=world.universe.prefixes
    )
    return Asks(exchange(), credential, rules)


def candidate_of(world: World, name: str) -> Candidate:
    (candidate,) = world.universe.plan(name, (), CHAT).candidates
    return candidate


class TestListedKeys:
    def test_listed_order_without_strategies_ag_126(self):
        world, candidate = made()
        order = world.order(candidate)
        assert values(order.keys) == [A, B, C]
        assert order.error is None
        assert {key.source for key in order.keys} == {KeySource.POLICY}

    def test_the_order_is_built_once(self):
        world, candidate = made()
        assert world.order(candidate) is world.order(candidate)

    def test_the_same_value_twice_is_tried_once_ag_151(self):
        world, candidate = made(keys=(A, B, A))
        assert values(world.order(candidate).keys) == [A, B]

    def test_default_record_ag_280(self):
        world, candidate = made(keys=(A,))
        (record,) = [selection.as_map() for selection in world.order(candidate).selections]
        assert record == {"strategy": "ai.keys", "error": "", "keys_to_try": [f"{A[:7]}...{A[-4:]}"]}

    def test_a_literal_that_cannot_be_sent_is_dropped_ag_12(self):
        world, candidate = made(keys=("  ", A))
        order = world.order(candidate)
        assert values(order.keys) == [A]
        assert [dropped.position for dropped in order.dropped] == [0]


class TestKeyIds:
    def test_form_and_stability_ag_120(self):
        world, candidate = made()
        ids = [key.id for key in world.order(candidate).keys]
        assert all(len(each) == 19 and each.startswith("kh_") and int(each[3:], 16) >= 0 for each in ids)
        assert len(set(ids)) == 3
        assert [key.id for key in made()[0].order(made()[1]).keys] == ids

    def test_another_installation_has_other_ids(self):
        world, _ = made()
        other = Keyring(
            world.universe.providers, world.registry, KeyOptions(b"elsewhere"),
            compile_text=lambda text: compile_template(text, ENVIRONMENT), scope_of=lambda ex: ex.scope,
        )  # fmt: skip
        assert other.key_id(A) != world.ring.key_id(A)

    def test_no_representation_shows_a_value(self):
        world, candidate = made("ai.keys")
        order = world.order(candidate)
        for shown in (order.keys, order.selections, candidate.keys.choice.scope.ai.keys):
            assert A not in repr(shown)


class TestInterpolation:
    """AG-12."""

    KEYS = ("${secrets.get('v', 'one')}", "${vars.two}", C)

    def test_values_are_computed_once_per_request(self):
        asked = []

        def get(vault: str, name: str) -> str:
            asked.append((vault, name))
            return A

        world, candidate = made(keys=self.KEYS)
        request = Asks(exchange(get, two=B))
        assert values(world.order(candidate, request).keys) == [A, B, C]
        assert values(world.order(candidate, request).keys) == [A, B, C]
        assert asked == [("v", "one")]

    def test_a_secret_of_a_key_is_no_secret_of_the_policy_ag_195_b(self):
        world, candidate = made(keys=self.KEYS)
        request = Asks(exchange(lambda vault, name: A, two=B))
        world.order(candidate, request)
        assert request.exchange.secrets_seen == set()

    def test_a_failing_or_empty_value_drops_that_key_only(self):
        world, candidate = made(keys=self.KEYS)
        order = world.order(candidate, Asks(exchange(two="")))
        assert values(order.keys) == [C]
        assert [dropped.position for dropped in order.dropped] == [0, 1]
        assert order.error is None

    def test_none_left_is_3802_and_never_passthrough(self):
        world, candidate = made(keys=self.KEYS[:1])
        request = passthrough(world)
        order = world.order(candidate, request)
        assert order.keys == ()
        assert order.error is not None
        assert (order.error.code, order.error.status) == ("ERR_NGROK_3802", 400)
        assert order.error is not order.error

    def test_values_that_cannot_be_sent_are_dropped(self):
        world, candidate = made(keys=("${vars.two}",))
        assert world.order(candidate, Asks(exchange(two="a\r\nx: y"))).keys == ()

    def test_equal_values_are_tried_once_ag_151(self):
        world, candidate = made(keys=("${vars.two}", C))
        assert values(world.order(candidate, Asks(exchange(two=C))).keys) == [C]

    def test_numbers_follow_the_value_and_memory_is_bounded_p01(self):
        world, candidate = made(keys=("${vars.two}",))
        (first,) = world.order(candidate, Asks(exchange(two=A))).keys
        for number in range(300):
            world.order(candidate, Asks(exchange(two=f"sk-{number}")))
        assert len(candidate.keys.by_value) <= 64
        (again,) = world.order(candidate, Asks(exchange(two=A))).keys
        assert again.quota is first.quota

    def test_strategies_see_them(self):
        world, candidate = made("ai.keys.filter(k, k.value == vars.two)", keys=self.KEYS)
        order = world.order(candidate, Asks(exchange(lambda vault, name: A, two=B)))
        assert values(order.keys) == [B]

    def test_strategies_without_any_key_left_are_3802(self):
        world, candidate = made("ai.keys", keys=("${vars.two}",))
        error = world.order(candidate, Asks(exchange(two=""))).error
        assert error is not None
        assert error.code == "ERR_NGROK_3802"


class TestUndecided:
    """The table of AG-128: strategies QUOTA, then ai.keys."""

    @pytest.mark.parametrize(
        ("remaining", "tried"),
        [
            ((None, None, None), [A, B, C]),
            ((4999, None, None), [A, B, C]),
            ((50, 4999, None), [B, C]),
            ((50, 60, 70), [A, B, C]),
            ((50, None, None), [A, B, C]),
            ((None, 4999, None), [B, A, C]),
            ((50, 60, 4999), [C]),
        ],
    )
    def test_quota_then_all(self, remaining, tried):
        world, candidate = made(QUOTA, "ai.keys")
        for key, value in zip(world.order(candidate).keys, remaining, strict=True):
            if value is not None:
                key.observe(200, quota_headers(value))
        assert values(world.order(candidate).keys) == tried

    def test_followed_by_randomize_it_is_a_shuffle_of_all(self):
        world, candidate = made(f"{QUOTA}.randomize()", "ai.keys")
        world.order(candidate).keys[0].observe(200, quota_headers(4999))
        first = [values(world.order(candidate).keys) for _ in range(200)]
        assert all(sorted(order) == [A, B, C] for order in first)
        assert {order[0] for order in first} == {A, B, C}

    def test_an_explicit_guard_decides(self):
        world, candidate = made(
            "ai.keys.filter(k, k.quota.remaining_requests == null || k.quota.remaining_requests > 9)"
        )
        assert values(world.order(candidate).keys) == [A, B, C]

    def test_another_error_drops_the_key_ag_107(self):
        world, candidate = made("ai.keys.filter(k, k.id == vars.none.deeper)", "[ai.keys[1]]")
        assert values(world.order(candidate).keys) == [B]


class TestStrategies:
    def test_error_rates_and_first_wins_ag_126(self):
        world, candidate = made("ai.keys.filter(k, k.error_rate.total < 0.5)")
        first = world.order(candidate).keys[0]
        for outcome in (Outcome.SERVER, Outcome.SUCCESS, Outcome.SERVER):
            first.window.record(Measure(outcome))
        assert values(world.order(candidate).keys) == [B, C]
        world.clock.advance(400)
        assert values(world.order(candidate).keys) == [A, B, C]

    def test_single_key_and_duplicates(self):
        world, candidate = made("[ai.keys[2], ai.keys[0], ai.keys[2]]")
        assert values(world.order(candidate).keys) == [C, A]
        world, candidate = made("ai.keys[1]")
        assert values(world.order(candidate).keys) == [B]

    @pytest.mark.parametrize("strategies", [["ai.keys[9]"], ["ai.keys.filter(k, false)"], ["vars.text"]])
    def test_nothing_is_3808_ag_127(self, strategies):
        world, candidate = made(*strategies)
        order = world.order(candidate, Asks(exchange(text="x")))
        assert order.keys == ()
        assert order.error is not None
        assert (order.error.code, order.error.status) == ("ERR_NGROK_3808", 422)
        assert len(order.selections) == 1

    def test_every_evaluated_strategy_is_recorded_ag_280(self):
        world, candidate = made("ai.keys[9]", "ai.keys.filter(k, false)", "ai.keys[0]", "ai.keys")
        records = [selection.as_map() for selection in world.order(candidate).selections]
        assert [record["keys_to_try"] for record in records] == [[], [], [f"{A[:7]}...{A[-4:]}"]]
        assert "index out of bounds" in records[0]["error"]
        assert records[1]["error"] == ""

    def test_they_decide_even_over_cooling_ag_157(self):
        world, candidate = made("ai.keys")
        world.order(candidate).keys[0].observe(429, NONE)
        assert values(world.order(candidate).keys) == [A, B, C]

    def test_they_do_not_touch_other_rows_ag_126(self):
        world, candidate = made("ai.keys.filter(k, false)", keys=())
        assert world.order(candidate).error is None

    def test_a_decision_stands_until_a_number_changes(self):
        world, candidate = made(QUOTA, "ai.keys.filter(k, k.error_rate.total < 0.5)")
        first = world.order(candidate)
        first.keys[0].window.record(Measure(Outcome.SUCCESS))
        assert world.order(candidate) is first
        first.keys[0].window.record(Measure(Outcome.SERVER))
        second = world.order(candidate)
        assert second is not first
        first.keys[1].observe(200, quota_headers(4999))
        third = world.order(candidate)
        assert third is not second
        assert values(third.keys) == [B, A, C]
        first.keys[1].observe(200, quota_headers(4999))
        assert world.order(candidate) is third
        world.clock.advance(61)
        assert world.order(candidate).keys[0].quota.remaining_requests == 5_000

    @pytest.mark.parametrize("strategy", ["ai.keys.randomize()", "ai.keys.filter(k, k.quota.exhausted_in_s == null)"])
    def test_chance_and_forecasts_are_never_kept(self, strategy):
        world, candidate = made(strategy)
        assert world.order(candidate) is not world.order(candidate)

    def test_a_forecast_is_a_routing_input_p40(self):
        soon = "ai.keys.filter(k, k.quota.exhausted_in_s == null || k.quota.exhausted_in_s > 10.0)"
        world, candidate = made(soon)
        keys = world.order(candidate).keys
        for step in range(5):
            keys[0].observe(200, quota_headers(100 - 20 * step))
            keys[1].observe(200, quota_headers(4_000 - step))
            world.clock.advance(1)
            world.registry.settle()
        assert values(world.order(candidate).keys) == [B, C]


class TestCooling:
    """AG-157."""

    def test_a_429_moves_a_key_back_until_retry_after(self):
        world, candidate = made()
        keys = world.order(candidate).keys
        keys[0].observe(429, HeaderMap.of([("retry-after", "20")]))
        order = world.order(candidate)
        assert values(order.keys) == [B, C, A]
        assert order.cooling == (keys[0].id,)
        assert [selection.strategy for selection in order.selections] == ["ai.keys"]
        world.clock.advance(19.9)
        assert values(world.order(candidate).keys) == [B, C, A]
        world.clock.advance(0.2)
        assert values(world.order(candidate).keys) == [A, B, C]

    def test_a_429_cools_until_the_exhausted_quota_resets(self):
        world, candidate = made()
        world.order(candidate).keys[0].observe(429, quota_headers(0, reset="7s"))
        world.clock.advance(6.9)
        assert values(world.order(candidate).keys) == [B, C, A]
        world.clock.advance(0.2)
        assert values(world.order(candidate).keys) == [A, B, C]

    @pytest.mark.parametrize("status", [401, 403, 429])
    def test_sixty_seconds_otherwise(self, status):
        world, candidate = made()
        world.order(candidate).keys[1].observe(status, NONE)
        world.clock.advance(59.9)
        assert values(world.order(candidate).keys) == [A, C, B]
        world.clock.advance(0.2)
        assert values(world.order(candidate).keys) == [A, B, C]

    @pytest.mark.parametrize("status", [200, 400, 404, 408, 500, 503])
    def test_other_answers_do_not_cool(self, status):
        world, candidate = made()
        world.order(candidate).keys[0].observe(status, HeaderMap.of([("retry-after", "20")]))
        assert values(world.order(candidate).keys) == [A, B, C]

    def test_if_all_are_cooling_the_listed_order_holds(self):
        world, candidate = made()
        for key in reversed(world.order(candidate).keys):
            key.observe(429, NONE)
        assert values(world.order(candidate).keys) == [A, B, C]

    def test_it_can_be_turned_off(self):
        world, candidate = made(cooling=False)
        world.order(candidate).keys[0].observe(429, NONE)
        assert values(world.order(candidate).keys) == [A, B, C]

    def test_health_is_per_key_and_model_p16(self):
        world = World(provider("mine", "m", "n", keys=(A, B)))
        world.order(candidate_of(world, "mine:m")).keys[0].observe(429, NONE)
        assert values(world.order(candidate_of(world, "mine:m")).keys) == [B, A]
        assert values(world.order(candidate_of(world, "mine:n")).keys) == [A, B]

    def test_an_odd_header_never_writes_a_key_off_p16(self):
        world, candidate = made()
        world.order(candidate).keys[0].observe(429, HeaderMap.of([("retry-after", "999999999999")]))
        world.clock.advance(86_401)
        assert values(world.order(candidate).keys) == [A, B, C]

    def test_it_survives_a_reload(self):
        world, candidate = made()
        world.order(candidate).keys[0].observe(429, NONE)
        again = World(provider("mine", "m", keys=(C, A)), clock=world.clock, registry=world.registry)
        assert values(again.order(candidate_of(again, "mine:m")).keys) == [C, A]
        later = World(provider("mine", "m", keys=(A, C)), clock=world.clock, registry=world.registry)
        assert values(later.order(candidate_of(later, "mine:m")).keys) == [C, A]


class TestPrecedence:
    """AG-190."""

    def test_row_4_goes_before_passthrough(self):
        world, candidate = made()
        assert values(world.order(candidate, passthrough(world)).keys) == [A, B, C]

    def test_row_7_passthrough(self):
        world = World()
        request = passthrough(world, header="x-api-key")
        (key,) = world.order(candidate_of(world, "gpt-4o"), request).keys
        assert (key.source, key.value.reveal(), key.client_header) == (
            KeySource.PASSTHROUGH,
            "client-token",
            "x-api-key",
        )
        assert key.id == ""

    def test_row_7_goes_to_the_first_provider_only_ag_195_d(self):
        world = World()
        request = passthrough(world)
        assert world.order(candidate_of(world, "gpt-4o"), request).error is None
        assert world.order(candidate_of(world, "gpt-4.1"), request).error is None
        error = world.order(candidate_of(world, "claude-sonnet-4-5"), request).error
        assert error is not None
        assert error.code == "ERR_NGROK_3802"

    def test_row_7_does_not_apply_to_consumed_tokens_ag_196(self):
        world = World()
        request = passthrough(world, seen={"client-token"})
        assert world.order(candidate_of(world, "gpt-4o"), request).error is not None

    def test_excluded_from_row_7_continues_with_row_8(self):
        world = World(provider("mine", "m"))
        request = passthrough(world, seen={"client-token"})
        (key,) = world.order(candidate_of(world, "mine:m"), request).keys
        assert key.source is KeySource.NONE

    def test_row_8_custom_and_overridden_providers_need_no_key(self):
        world = World(provider("mine", "m"), provider("openai", base_url="https://proxy.example/v1"))
        for name in ("mine:m", "openai:gpt-4o"):
            (key,) = world.order(candidate_of(world, name)).keys
            assert (key.source, key.value.reveal()) == (KeySource.NONE, "")

    def test_row_9(self):
        world = World()
        order = world.order(candidate_of(world, "gpt-4o"))
        assert order.error is not None
        assert order.error.code == "ERR_NGROK_3802"

    def test_passthrough_can_be_denied_ag_197(self):
        world = World()
        request = passthrough(world)
        request.rules = None
        assert world.order(candidate_of(world, "gpt-4o"), request).error is not None

    def test_a_gateway_key_is_never_passed_through_ag_186(self):
        world = World()
        credential = ClientCredential(Secret("ng-x-g1-y"), AUTHORIZATION, TokenKind.GATEWAY)
        rules = PassthroughRules(credential, secrets_seen=(), consumed_tokens=(), prefixes=world.universe.prefixes)
        request = Asks(exchange(), credential, rules)
        assert world.order(candidate_of(world, "gpt-4o"), request).error is not None


class TestStoreRows:
    """The seams for rows 1 to 3 and 5 and 6."""

    def ring(self, world: World, before=(), after=()) -> Keyring:
        return Keyring(
            world.universe.providers, world.registry, KeyOptions(b"installation", rows_before=before, rows_after=after),
            compile_text=lambda text: compile_template(text, ENVIRONMENT), scope_of=lambda ex: ex.scope,
        )  # fmt: skip

    def test_rows_before_replace_policy_keys_and_only_for_gateway_keys(self):
        world, candidate = made()
        attached = world.ring.key(candidate, Secret("attached"), KeySource.ATTACHED, "aigpk_1")
        ring = self.ring(world, before=[lambda ring, c, r: None, lambda ring, c, r: [[attached]]])
        assert values(ring.order(candidate, Asks(exchange(), gateway_key="aigk_1")).keys) == ["attached"]
        assert values(ring.order(candidate, Asks(exchange())).keys) == [A, B, C]
        assert attached.id == attached.stored_id == "aigpk_1"

    def test_an_exclusive_row_without_keys_is_3802_ag_202(self):
        world, candidate = made()
        ring = self.ring(world, before=[lambda ring, c, r: []])
        assert ring.order(candidate, Asks(exchange(), gateway_key="aigk_1")).error is not None

    def test_rows_after_add_up_and_cool_within_themselves_ag_193(self):
        world, candidate = made(keys=())
        account = [world.ring.key(candidate, Secret(name), KeySource.ACCOUNT, f"aigpk_{name}") for name in ("n", "o")]
        managed = [world.ring.key(candidate, Secret(name), KeySource.MANAGED) for name in ("x", "n")]
        ring = self.ring(world, after=[lambda ring, c, r: [account], lambda ring, c, r: [managed]])
        request = Asks(exchange(), gateway_key="aigk_1")
        assert values(ring.order(candidate, request).keys) == ["n", "o", "x"]
        account[0].observe(429, NONE)
        assert values(ring.order(candidate, request).keys) == ["o", "n", "x"]

    def test_steps_of_a_rule_cool_within_themselves_ag_193(self):
        world, candidate = made()
        first, second, third = (
            world.ring.key(candidate, Secret(name), KeySource.ROUTED, f"aigpk_{name}") for name in ("a", "b", "c")
        )
        ring = self.ring(world, before=[lambda ring, c, r: [[first, second], [third, first]]])
        first.observe(429, NONE)
        order = ring.order(candidate, Asks(exchange(), gateway_key="aigk_1"))
        assert values(order.keys) == ["b", "a", "c"], "and no value twice (AG-151)"
        assert set(order.cooling) == {"aigpk_a"}

    def test_a_stored_key_is_one_object_until_it_is_rotated_cp_34(self):
        world, candidate = made()
        stored = StoredKey("aigpk_1", candidate.provider.id, "n", Secret("old"), "***")
        key = world.ring.stored_key(candidate, stored, KeySource.ACCOUNT)
        assert world.ring.stored_key(candidate, stored, KeySource.ACCOUNT) is key
        assert world.ring.stored_key(candidate, stored, KeySource.ATTACHED).source is KeySource.ATTACHED
        key.observe(429, NONE)
        rotated = dataclasses.replace(stored, value=Secret("new"), rotation=1)
        fresh = world.ring.stored_key(candidate, rotated, KeySource.ACCOUNT)
        assert (fresh.value.reveal(), fresh.id, fresh.state.cool_until_s) == ("new", "aigpk_1", 0.0)
        assert key.state.cool_until_s > 0

    def test_managed_keys_come_last_and_only_for_gateway_keys_ag_192(self):
        """Literal, from a secret, or missing (AG-12)."""
        world, candidate = made(keys=())
        candidate.provider.managed_texts = (
            Secret("managed-1"), Secret("${secrets.get('v', 'gone')}"), Secret("${secrets.get('v', 'n')}"),
        )  # fmt: skip
        account = [world.ring.key(candidate, Secret("own"), KeySource.ACCOUNT, "aigpk_1")]
        ring = self.ring(world, after=[lambda ring, c, r: [account]])
        assert ring.has_managed_keys
        assert not world.ring.has_managed_keys
        request = Asks(exchange(lambda vault, name: {"n": "managed-2"}[name]), gateway_key="aigk_1")
        keys = ring.order(candidate, request).keys
        assert values(keys) == ["own", "managed-1", "managed-2"]
        assert [key.source for key in keys[1:]] == [KeySource.MANAGED] * 2
        assert not set(values(ring.order(candidate, Asks(exchange())).keys)) & {"managed-1", "managed-2"}

    def test_without_stored_keys_rows_8_and_9_follow(self):
        world, candidate = made(keys=())
        ring = self.ring(world, after=[lambda ring, c, r: None])
        (key,) = ring.order(candidate, Asks(exchange(), gateway_key="aigk_1")).keys
        assert key.source is KeySource.NONE


class TestCredential:
    def test_header_by_format_and_provider_ag_42(self):
        world, candidate = made(keys=(A,))
        (key,) = world.order(candidate).keys
        openai = world.ring.credential(key, candidate.provider, Format.OPENAI)
        anthropic = world.ring.credential(key, candidate.provider, Format.ANTHROPIC)
        assert openai is not None
        assert anthropic is not None
        assert (openai.header, anthropic.header) == ("authorization", "x-api-key")
        assert openai.server_side
        assert world.ring.credential(key, candidate.provider, Format.OPENAI) is openai

    def test_passthrough_keeps_its_header_ag_206(self):
        world = World()
        candidate = candidate_of(world, "claude-sonnet-4-5")
        (key,) = world.order(candidate, passthrough(world, header="x-api-key")).keys
        credential = world.ring.credential(key, candidate.provider, Format.ANTHROPIC)
        assert credential is not None
        assert (credential.header, credential.server_side) == ("x-api-key", False)

    def test_none_for_a_provider_without_keys(self):
        world, candidate = made(keys=())
        (key,) = world.order(candidate).keys
        assert world.ring.credential(key, candidate.provider, Format.OPENAI) is None
        key.observe(429, NONE)
        assert world.order(candidate).cooling == ()
