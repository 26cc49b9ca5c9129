"""The table of keys: public part of a token → identity with the token's hash.

Invariants
    1. A lookup costs the same for every token of the right form, known or not: one hash, one comparison (CP-101).
    2. A table never changes; every change makes a new one, and whoever publishes it ends the old keys at once (CP-66).
    3. A key with a configuration that is missing may use nothing.

At most 250 bytes per key beside its strings and its hash; measured by ``tests/unit/auth/test_access_keys.py``.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.auth.scopes import ALLOW_NOTHING, KeyConfiguration
from gateway.auth.tokens import LONGEST, Hasher

STYLE_A: Final = ""
"""The endpoint of keys that belong to none (CP-61)."""

_RECENT_MAXIMUM: Final = 1_024


class Identity:
    """A gateway or admin key on the request path; read only."""

    __slots__ = ("configuration_id", "digest", "endpoint_id", "id", "public")

    def __init__(
        self,
        key_id: str,
        public: str,
        digest: bytes,
        endpoint_id: str | None = None,
        configuration_id: str | None = None,
    ) -> None:
        self.id = key_id
        self.public = public
        self.digest = digest
        #: the only endpoint it works on; None: all (AG-186)
        self.endpoint_id = endpoint_id
        self.configuration_id = configuration_id

    def __repr__(self) -> str:
        return f"<Identity {self.id}>"


class AccessKeyTable:
    """Keys of one kind, their configurations, and where keys were ever made."""

    __slots__ = ("_hasher", "_keys", "_mark", "_nobody", "_recent", "configurations", "made_for")

    def __init__(
        self,
        hasher: Hasher,
        mark: str,
        identities: Iterable[Identity] = (),
        configurations: Mapping[str, KeyConfiguration] | None = None,
        made_for: frozenset[str] = frozenset(),
    ) -> None:
        self._hasher = hasher
        self._mark = mark
        self._keys = {identity.public: identity for identity in identities}
        # A random hash: no token has it, so the comparison below needs no second question.
        self._nobody = Identity("", "", os.urandom(32))
        # Valid tokens seen by this very table: 0.1 µs instead of 2 µs. A change of any key starts with an empty one.
        self._recent: dict[str, Identity] = {}
        self.configurations: Mapping[str, KeyConfiguration] = configurations or {}
        #: endpoints that a key was ever made for; STYLE_A for keys of none (AG-187)
        self.made_for = made_for

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, text: str) -> Identity | None:
        """Whose token this is; None if it is malformed, of another kind, unknown or deleted."""
        known = self._recent.get(text)
        if known is not None:
            return known
        # Not ``parse_token``: its pattern alone costs as much as the hash, and the hash settles the form as well.
        parts = text.split("-", 3)
        if len(parts) != 4 or parts[2] != self._mark or len(text) > LONGEST:
            return None
        identity = self._keys.get(parts[1], self._nobody)
        if not hmac.compare_digest(self._hasher.digest(text), identity.digest):
            return None
        if len(self._recent) >= _RECENT_MAXIMUM:
            self._recent.clear()
        self._recent[text] = identity
        return identity

    def configuration_of(self, identity: Identity) -> KeyConfiguration | None:
        """None: everything is allowed and the account's keys serve it (AG-203)."""
        if identity.configuration_id is None:
            return None
        return self.configurations.get(identity.configuration_id, ALLOW_NOTHING)

    def with_key(self, identity: Identity) -> AccessKeyTable:
        """The table with a new or changed key; a new key's endpoint is remembered for good."""
        twin = self._twin()
        twin._keys = self._keys.copy()
        twin._keys[identity.public] = identity
        twin.made_for = self.made_for | {identity.endpoint_id or STYLE_A}
        return twin

    def without_key(self, public: str) -> AccessKeyTable:
        twin = self._twin()
        twin._keys = self._keys.copy()
        twin._keys.pop(public, None)
        return twin

    def with_configurations(self, configurations: Mapping[str, KeyConfiguration]) -> AccessKeyTable:
        twin = self._twin()
        twin.configurations = configurations
        return twin

    def _twin(self) -> AccessKeyTable:
        twin = AccessKeyTable(self._hasher, self._mark, (), self.configurations, self.made_for)
        twin._keys = self._keys
        return twin
