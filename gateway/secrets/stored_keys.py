"""Provider keys of the store, opened: what a router rule, a gateway key or the account brings along (AG-190).

Invariants
    1. A table never changes; every change makes a new one (CP-66).
    2. Values are held as ``Secret`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.secrets.secret import Secret


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One provider key. ``rotation`` counts changes of the value: numbers of an older one do not apply (CP-34)."""

    id: str
    #: primary id of the provider (CP-33)
    provider_id: str
    name: str
    value: Secret
    redacted: str
    #: the gateway key it is attached to; None: the account's
    gateway_key_id: str | None = None
    rotation: int = 0


class StoredKeyTable:
    """All stored provider keys, by id and by who brings them."""

    __slots__ = ("_account", "_attached", "_attached_providers", "_by_id")

    def __init__(self, keys: Iterable[StoredKey] = ()) -> None:
        #: gateway key id → providers, once somebody asked
        self._attached_providers: dict[str, frozenset[str]] | None = None
        self._by_id: dict[str, StoredKey] = {}
        self._attached: dict[tuple[str, str], tuple[StoredKey, ...]] = {}
        self._account: dict[str, tuple[StoredKey, ...]] = {}
        # Ids sort by creation, so the newest key is the one with the highest id (CP-69, AG-190 row 5).
        for key in sorted(keys, key=lambda key: key.id):
            self._add(key)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, key_id: str) -> StoredKey | None:
        """A key named by a router rule; None if it was deleted (AG-202)."""
        return self._by_id.get(key_id)

    def attached(self, gateway_key_id: str, provider_id: str) -> tuple[StoredKey, ...]:
        """Row 3: most recently attached first."""
        return self._attached.get((gateway_key_id, provider_id), ())

    def account(self, provider_id: str) -> tuple[StoredKey, ...]:
        """Row 5: keys that belong to no gateway key, newest first."""
        return self._account.get(provider_id, ())

    def account_providers(self) -> frozenset[str]:
        """Providers that row 5 has keys for (AG-98)."""
        return frozenset(provider_id for provider_id, keys in self._account.items() if keys)

    def attached_providers(self, gateway_key_id: str) -> frozenset[str]:
        """Providers that row 3 has keys for (AG-98)."""
        if self._attached_providers is None:
            found: dict[str, set[str]] = {}
            for key_id, provider_id in self._attached:
                found.setdefault(key_id, set()).add(provider_id)
            self._attached_providers = {key_id: frozenset(ids) for key_id, ids in found.items()}
        return self._attached_providers.get(gateway_key_id, frozenset())

    def values(self) -> Iterable[Secret]:
        """Every value, for the filters of logs and errors."""
        return (key.value for key in self._by_id.values())

    def with_keys(self, keys: Iterable[StoredKey]) -> StoredKeyTable:
        """The table with new or changed keys; copies, but sorts only the groups that change."""
        twin = self._copy()
        for key in keys:
            twin._remove(key.id)
            twin._add(key)
        return twin

    def without(self, key_ids: Iterable[str]) -> StoredKeyTable:
        twin = self._copy()
        for key_id in key_ids:
            twin._remove(key_id)
        return twin

    def _copy(self) -> StoredKeyTable:
        twin = StoredKeyTable()
        twin._by_id, twin._attached, twin._account = dict(self._by_id), dict(self._attached), dict(self._account)
        return twin

    def _add(self, key: StoredKey) -> None:
        self._by_id[key.id] = key
        if key.gateway_key_id is None:
            self._account[key.provider_id] = _newest_first((key, *self._account.get(key.provider_id, ())))
        else:
            place = (key.gateway_key_id, key.provider_id)
            self._attached[place] = _newest_first((key, *self._attached.get(place, ())))

    def _remove(self, key_id: str) -> None:
        key = self._by_id.pop(key_id, None)
        if key is None:
            return
        if key.gateway_key_id is None:
            self._account[key.provider_id] = tuple(
                other for other in self._account[key.provider_id] if other is not key
            )
        else:
            place = (key.gateway_key_id, key.provider_id)
            rest = tuple(other for other in self._attached.pop(place) if other is not key)
            if rest:
                self._attached[place] = rest


def _newest_first(keys: tuple[StoredKey, ...]) -> tuple[StoredKey, ...]:
    """Almost always in order already: sorting is one pass then."""
    return tuple(sorted(keys, key=lambda key: key.id, reverse=True))
