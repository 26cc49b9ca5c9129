"""Secrets of the store's vaults, opened, as a source that the secret table asks first (TP-602, SV-12)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.secrets.secret import Secret


@dataclass(frozen=True, slots=True)
class VaultSecret:
    """One secret with its vault's name. For a key-value secret the text is a JSON object of strings (TP-601)."""

    id: str
    vault_id: str
    vault: str
    name: str
    value: Secret


class StoredSecrets:
    """A ``SecretSource`` that never changes; every change makes a new one, and no cache outlives it (TP-605)."""

    __slots__ = ("_by_id", "_by_name", "_by_place")

    def __init__(self, secrets: Iterable[VaultSecret] = ()) -> None:
        self._by_id: dict[str, VaultSecret] = {}
        self._by_place: dict[tuple[str, str], VaultSecret] = {}
        self._by_name: dict[str, tuple[VaultSecret, ...]] = {}
        for secret in secrets:
            self._add(secret)

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"StoredSecrets({len(self)} secrets)"

    def get(self, vault: str, name: str) -> str | None:
        secret = self._by_place.get((vault, name))
        return None if secret is None else secret.value.reveal()

    def named(self, name: str) -> Iterable[tuple[str, str]]:
        for secret in self._by_name.get(name, ()):
            yield secret.vault, secret.value.reveal()

    def values(self) -> Iterable[str]:
        return [secret.value.reveal() for secret in self._by_id.values()]

    def refresh(self) -> bool:
        return False

    def with_secrets(self, secrets: Iterable[VaultSecret]) -> StoredSecrets:
        """With new or changed secrets."""
        twin = self._copy()
        changed = list(secrets)
        # Two names may change places, so all go before any comes.
        for secret in changed:
            twin._remove(secret.id)
        for secret in changed:
            twin._add(secret)
        return twin

    def without(self, secret_id: str) -> StoredSecrets:
        twin = self._copy()
        twin._remove(secret_id)
        return twin

    def of_vault(self, vault_id: str) -> Iterable[VaultSecret]:
        return [secret for secret in self._by_id.values() if secret.vault_id == vault_id]

    def _copy(self) -> StoredSecrets:
        twin = StoredSecrets()
        twin._by_id, twin._by_place, twin._by_name = dict(self._by_id), dict(self._by_place), dict(self._by_name)
        return twin

    def _add(self, secret: VaultSecret) -> None:
        self._by_id[secret.id] = secret
        self._by_place[secret.vault, secret.name] = secret
        self._by_name[secret.name] = (*self._by_name.get(secret.name, ()), secret)

    def _remove(self, secret_id: str) -> None:
        secret = self._by_id.pop(secret_id, None)
        if secret is None:
            return
        del self._by_place[secret.vault, secret.name]
        rest = tuple(other for other in self._by_name.pop(secret.name) if other is not secret)
        if rest:
            self._by_name[secret.name] = rest
