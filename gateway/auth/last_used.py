"""When keys were last used: noted on every request, written now and then (CP-67)."""

from __future__ import annotations

from collections.abc import Mapping


class LastUsed:
    """Uses that are not on disk yet, by key id; as many entries as keys were used since the last write."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: dict[str, int] = {}

    def touch(self, key_id: str, now_ms: int) -> None:
        """A request with this key was accepted, or an attempt with it began."""
        self._pending[key_id] = now_ms

    def latest(self, key_id: str, stored_ms: int | None) -> int | None:
        """The exact last use: what is pending, else what the row says."""
        return self._pending.get(key_id, stored_ms)

    def take(self) -> Mapping[str, int]:
        """Everything pending, for a write; still answered by ``latest`` until ``written``."""
        return dict(self._pending)

    def written(self, taken: Mapping[str, int]) -> None:
        """Forgets what is on disk now, except keys used again meanwhile."""
        for key_id, time_ms in taken.items():
            if self._pending.get(key_id) == time_ms:
                del self._pending[key_id]
