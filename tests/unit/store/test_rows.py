"""Tables: rows go in and come out as they were, by page (CP-15)."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from gateway.store.budgets import BUDGETS, BudgetRow, Spend, write_spends
from gateway.store.configurations import CONFIGURATIONS, ConfigurationRow, is_linked, link_keys
from gateway.store.keys import (
    ADMIN_KEYS,
    GATEWAY_KEYS,
    AdminKeyRow,
    GatewayKeyRow,
    endpoints_with_keys,
    note_endpoint_key,
    write_last_used,
)
from gateway.store.migrations import MIGRATIONS
from gateway.store.provider_keys import PROVIDER_KEYS, ProviderKeyRow
from gateway.store.providers import PROVIDERS, ProviderRow
from gateway.store.vaults import SECRETS, VAULTS, SecretRow, VaultRow

OWNED: dict[str, Any] = {"created_at": 1, "updated_at": 2, "created_by": "aigak_1", "updated_by": "system"}


@pytest.fixture
def db():
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("PRAGMA foreign_keys = ON")
    for step in MIGRATIONS:
        for statement in step:
            db.execute(statement)
    yield db
    db.close()


def gateway_key(row_id, **more):
    return GatewayKeyRow(id=row_id, public=row_id, digest=b"d", redacted="r", **OWNED, **more)


def provider_key(row_id, **more):
    return ProviderKeyRow(id=row_id, provider_id="openai", sealed=b"s", redacted="r", **OWNED, **more)


ROWS: list[tuple[Any, Any]] = [
    (GATEWAY_KEYS, gateway_key("aigk_1", name="é\x00", last_used=3)),
    (ADMIN_KEYS, AdminKeyRow(id="aigak_1", public="p", digest=b"\x00", redacted="r", **OWNED)),
    (CONFIGURATIONS, ConfigurationRow(id="aigac_1", name="c", access="{}", **OWNED)),
    (PROVIDER_KEYS, provider_key("aigpk_1", metadata="m", rotation=4)),
    (PROVIDERS, ProviderRow(id="aigp_1", provider_id="own", base_url="http://x", **OWNED)),
    (VAULTS, VaultRow(id="vault_1", name="v", **OWNED)),
    (BUDGETS, BudgetRow(id="aigb_1", scope="account", period="day", limit_usd=5, **OWNED)),
]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[table.name for table, _ in ROWS])
def test_a_row_comes_back_as_it_went_in(db, table, row):
    table.insert(db, row)
    assert table.get(db, row.id) == row
    assert table.all(db) == [row]
    assert table.delete(db, row.id)
    assert not table.delete(db, row.id)
    assert table.get(db, row.id) is None


def test_secrets_belong_to_a_vault_and_keep_it_from_going(db):
    VAULTS.insert(db, VaultRow(id="vault_1", name="v", **OWNED))
    SECRETS.insert(db, SecretRow(id="secret_1", vault_id="vault_1", name="s", sealed=b"x", **OWNED))
    with pytest.raises(sqlite3.IntegrityError):
        VAULTS.delete(db, "vault_1")
    with pytest.raises(sqlite3.IntegrityError):
        SECRETS.insert(db, SecretRow(id="secret_2", vault_id="vault_1", name="s", sealed=b"x", **OWNED))


def test_cp_15_pages_are_newest_first_and_a_cursor_need_not_exist(db):
    for number in (1, 2, 4, 5):
        GATEWAY_KEYS.insert(db, gateway_key(f"aigk_{number}"))
    assert [row.id for row in GATEWAY_KEYS.page(db, None, 3)] == ["aigk_5", "aigk_4", "aigk_2"]
    assert [row.id for row in GATEWAY_KEYS.page(db, "aigk_3", 3)] == ["aigk_2", "aigk_1"]
    assert GATEWAY_KEYS.page(db, "aigk_1", 3) == []
    assert [row.id for row in GATEWAY_KEYS.page(db, None, 9, "public = ?", ["aigk_4"])] == ["aigk_4"]


def test_cp_64_deleting_a_gateway_key_takes_its_attached_keys_along(db):
    GATEWAY_KEYS.insert(db, gateway_key("aigk_1"))
    PROVIDER_KEYS.insert(db, provider_key("aigpk_1", gateway_key_id="aigk_1"))
    PROVIDER_KEYS.insert(db, provider_key("aigpk_2"))
    GATEWAY_KEYS.delete(db, "aigk_1")
    assert [row.id for row in PROVIDER_KEYS.all(db)] == ["aigpk_2"]


def test_cp_34_links_are_replaced_as_a_whole(db):
    CONFIGURATIONS.insert(db, ConfigurationRow(id="aigac_1", **OWNED))
    for number in (1, 2):
        PROVIDER_KEYS.insert(db, provider_key(f"aigpk_{number}"))
    link_keys(db, "aigac_1", ["aigpk_1", "aigpk_1"])
    link_keys(db, "aigac_1", ["aigpk_2"])
    assert (is_linked(db, "aigpk_1"), is_linked(db, "aigpk_2")) == (False, True)


def test_cp_67_last_use_never_goes_back(db):
    GATEWAY_KEYS.insert(db, gateway_key("aigk_1", last_used=10))
    write_last_used(db, "gateway_keys", {"aigk_1": 5, "aigk_gone": 7})
    assert GATEWAY_KEYS.all(db)[0].last_used == 10
    write_last_used(db, "gateway_keys", {"aigk_1": 15})
    assert GATEWAY_KEYS.all(db)[0].last_used == 15


def test_ag_187_an_endpoint_that_once_had_a_key_is_remembered(db):
    note_endpoint_key(db, "ep_1", 1)
    note_endpoint_key(db, "ep_1", 2)
    note_endpoint_key(db, "", 3)
    assert endpoints_with_keys(db) == {"ep_1", ""}


def test_cp_56_counters_are_written_by_budget(db):
    BUDGETS.insert(db, ROWS[-1][1])
    write_spends(db, [Spend("aigb_1", 9, 8, 7, 80), Spend("aigb_gone", 1, 1, 1, 1)])
    row = BUDGETS.all(db)[0]
    assert (row.period_start, row.spent_usd, row.spent_tokens, row.alerted) == (9, 8, 7, 80)
