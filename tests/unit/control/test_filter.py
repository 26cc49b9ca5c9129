"""Filters on lists (CP-73, TP-620)."""

from __future__ import annotations

import pytest

from gateway.control.errors import ApiError
from gateway.control.filter import compile_filter
from gateway.store.vaults import VaultRow

DAY_MS = 86_400_000
NOW = 30 * DAY_MS


def vault(name, age_days=0):
    at = NOW - int(age_days * DAY_MS)
    return VaultRow(id="vault_1", name=name, created_at=at, updated_at=at, created_by="", updated_by="")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("obj.name == 'prod'", {"prod"}),
        ("obj.name != 'prod' && size(obj.name) < 4", {"dev"}),
        ("obj.name in ['dev', 'prod'] || obj.id == ''", {"dev", "prod"}),
        ("obj.created_at > timestamp(time.now).subtract('7d')", {"dev"}),
        ("timestamp(obj.created_at) <= timestamp('1970-01-21T00:00:00Z')", {"prod", "stage"}),
        ("obj.created_at < timestamp(time.now).add('1m')", {"dev", "prod", "stage"}),
        ("!(obj.description == '')", set()),
    ],
)
def test_cp_73_what_matches(text, names):
    matches = compile_filter(text, NOW)
    rows = [vault("dev", 1), vault("prod", 10), vault("stage", 20)]
    assert {row.name for row in rows if matches(row)} == names


@pytest.mark.parametrize(
    "text",
    ["", "obj.", "name == 'x'", "obj.name", "obj.sealed == ''", "obj.name == 'x' &&", "1",
     "secrets.get('a', 'b') == ''", "x" * 5_000],
)  # fmt: skip
def test_cp_73_what_is_no_filter(text):
    with pytest.raises(ApiError, match="ERR_NGROK_250"):
        compile_filter(text, NOW)


@pytest.mark.parametrize("moment", ["timestamp(obj.name)", "timestamp(time.now).add(obj.name)"])
def test_cp_73_what_fails_on_a_row(moment):
    matches = compile_filter(f"obj.created_at > {moment}", NOW)
    with pytest.raises(ApiError, match="ERR_NGROK_250"):
        matches(vault("dev"))
