"""The store's secrets as a source (TP-600 to TP-605)."""

from __future__ import annotations

from gateway.secrets.secret import Secret
from gateway.secrets.sources import SecretTable
from gateway.secrets.table import StoredSecrets, VaultSecret


def secret(number, vault, name, text):
    return VaultSecret(f"secret_{number}", f"vault_{vault}", vault, name, Secret(text))


def test_tp_602_and_603_look_ups_through_the_secret_table():
    stored = StoredSecrets(
        [
            secret(1, "gateway-auth", "access-token", "t-1"),
            secret(2, "ai-keys", "openai", '{"key-one": "sk-1"}'),
            secret(3, "other", "access-token", "t-2"),
        ]
    )
    table = SecretTable([stored])
    assert table.get("gateway-auth", "access-token") == "t-1"
    assert table.get("openai", "key-one") == "sk-1"
    assert not table.has("gateway-auth", "openai")
    assert table.get_single("openai") == '{"key-one": "sk-1"}'
    assert {"t-1", "t-2", "sk-1"} <= table.values()


def test_tp_605_every_change_is_a_new_source():
    one = StoredSecrets([secret(1, "v", "a", "1"), secret(2, "v", "b", "2")])
    swapped = one.with_secrets([secret(1, "v", "b", "1"), secret(2, "v", "a", "2")])
    gone = swapped.without("secret_1")
    assert [source.get("v", "a") for source in (one, swapped, gone)] == ["1", "2", "2"]
    assert [source.get("v", "b") for source in (one, swapped, gone)] == ["2", "1", None]
    assert list(gone.named("b")) == []
    assert len(gone.without("secret_9")) == 1
    assert [found.id for found in swapped.of_vault("vault_v")] == ["secret_1", "secret_2"]


def test_tp_628_no_value_shows():
    stored = StoredSecrets([secret(1, "v", "a", "hidden-value")])
    assert "hidden-value" not in repr(stored)
    assert "hidden-value" not in repr(stored.of_vault("vault_v"))
