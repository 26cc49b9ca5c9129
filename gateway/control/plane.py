"""ControlPlane: what every handler works with, and the one way in which anything is changed.

Invariants
    1. Changes are serialised from the transaction to the publication, so a later view never comes before an earlier.
    2. A change that is committed but was not published (a cancelled caller, another process) is found by ``refresh``
       within a second, by the store's change counter (CP-89, P15).
    3. Effects run on the event loop, in the order they were given, after the commit and only then.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from gateway.auth.budgets import Ledger
from gateway.auth.last_used import LastUsed
from gateway.auth.tokens import Hasher
from gateway.auth.usage import UsageQueue
from gateway.clock import Clock
from gateway.control.render import time_text
from gateway.control.request import Call, Style
from gateway.control.view import Publisher, View, load_view
from gateway.secrets.crypto import SealBox
from gateway.store.db import CHANGES, Store, Transaction, read_fact
from gateway.store.rows import SYSTEM

Result = TypeVar("Result")
Effect = Callable[[View], View]
Event = Mapping[str, Any]

log = logging.getLogger("gateway.control")
_SECRET_MEMBERS: Final = frozenset({"token", "value"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointInfo:
    """An endpoint of the server's configuration, as the API shows it (CP-75)."""

    id: str
    url: str
    description: str = ""
    metadata: str = ""
    ai_gateway: bool = True
    gateway_keys: str = "auto"


@dataclass(frozen=True, slots=True)
class UrlFault:
    """Why a base URL is not taken. ``refused``: by AG-45 or AG-46; else it does not parse."""

    reason: str
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """The outcome of a reload (SV-20): ``errors`` and ``warnings`` in the form of TP-22."""

    ok: bool
    errors: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[Mapping[str, Any]] = ()


class Surroundings(Protocol):
    """What the management side asks the rest of the process; the composition root implements it."""

    def primary_provider(self, name: str) -> str | None:
        """The id of the built-in provider with this id or alias, in any case."""
        ...

    def base_url_fault(self, url: str) -> UrlFault | None:
        """AG-45, AG-46."""
        ...

    def endpoints(self) -> Sequence[EndpointInfo]:
        """The configured endpoints, in order of their ids."""
        ...

    def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        """(ready, what /readyz shows) without the store's part (SV-23)."""
        ...

    async def metrics(self) -> bytes:
        """The Prometheus exposition (AG-331)."""
        ...

    async def live(self) -> Mapping[str, Any]:
        """What is going on right now, for people who watch."""
        ...

    async def reload(self) -> Reloaded:
        """SV-20; returns after the swap or the refusal."""
        ...

    def emit(self, event: Event) -> None:
        """Takes an event to the configured destinations; must not block."""
        ...


@dataclass(slots=True, kw_only=True)
class ControlPlane:
    """Built by ``bootstrap.open_plane``."""

    store: Store
    box: SealBox
    hasher: Hasher
    clock: Clock
    publisher: Publisher
    surroundings: Surroundings
    account_id: str
    view: View
    ledger: Ledger
    last_used: LastUsed = field(default_factory=LastUsed)
    usage: UsageQueue = field(default_factory=UsageQueue)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def now_ms(self) -> int:
        return int(self.clock.now() * 1_000)

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self.store.read(work)

    async def change(self, call: Call, work: Callable[[Change], Result]) -> Result:
        """Runs ``work`` in a transaction; durable and effective on return (CP-19)."""

        def transact(tx: Transaction) -> tuple[Result, Change, int]:
            change = Change(tx, call, self)
            result = work(change)
            tx.changed = True
            return result, change, int(tx.fact(CHANGES) or 0) + 1

        async with self._turn:
            result, change, version = await self.store.write(transact)
            view = self.view
            for effect in change.effects:
                view = effect(view)
            # With another process's change in between, the number does not match and ``refresh`` reads everything.
            if version == view.version + 1:
                await self._publish(replace(view, version=version))
            else:
                await self._reload()
        for event in change.events:
            self.surroundings.emit(event)
        return result

    async def refresh(self) -> bool:
        """Catches up with changes that this process did not publish; True if there were any."""
        version = await self.store.read(lambda db: int(read_fact(db, CHANGES) or 0))
        if version == self.view.version:
            return False
        async with self._turn:
            await self._reload()
        return True

    async def note(self, call: Call, event_type: str, details: Mapping[str, Any]) -> None:
        """An audit event that belongs to no change."""

        def write(tx: Transaction) -> Event:
            event = {**envelope(tx, call, event_type), **details}
            tx.events.append(event)
            return event

        self.surroundings.emit(await self.store.write(write))

    async def _reload(self) -> None:
        await self._publish(await self.store.read(lambda db: load_view(db, self.hasher, self.box)))

    async def _publish(self, view: View) -> None:
        self.view = view
        await self.publisher.publish(view)


class Change:
    """One change while its transaction runs, on the writer's thread."""

    __slots__ = ("call", "db", "effects", "plane", "tx")

    def __init__(self, tx: Transaction, call: Call, plane: ControlPlane) -> None:
        self.tx = tx
        self.db = tx.db
        self.call = call
        self.plane = plane
        self.effects: list[Effect] = []

    @property
    def events(self) -> Sequence[Event]:
        return self.tx.events

    @property
    def created(self) -> dict[str, Any]:
        """The members of a new row that say when and by whom."""
        now, actor = self.tx.now_ms, self.call.principal
        return {"created_at": now, "updated_at": now, "created_by": actor, "updated_by": actor}

    @property
    def updated(self) -> dict[str, Any]:
        return {"updated_at": self.tx.now_ms, "updated_by": self.call.principal}

    def effect(self, effect: Effect) -> None:
        """What the change does to the view."""
        self.effects.append(effect)

    def audit(self, event_type: str, shown: Mapping[str, Any], changed: Sequence[str] = ()) -> None:
        """One event (CP-116). ``shown`` is the resource; what must not be stored is left out here as well."""
        resource = {name: value for name, value in shown.items() if name not in _SECRET_MEMBERS}
        event = envelope(self.tx, self.call, event_type)
        self.tx.events.append({**event, "object": resource, "changed": list(changed)})


def envelope(tx: Transaction, call: Call, event_type: str) -> dict[str, Any]:
    """The members that every audit event begins with (CP-116)."""
    return {
        "event_id": tx.new_id("ev_"),
        "event_type": f"{event_type}.v0",
        "event_timestamp": time_text(tx.now_ms, Style.A),
        "principal": call.principal,
        "source_ip": call.source_ip,
        "operation_id": call.operation_id,
    }


SYSTEM_CALL: Final = Call(style=Style.A, path="", base="", operation_id="", principal=SYSTEM)
"""The server acting by itself."""
