"""The management side of the process: store, control plane, its listener, and what they change in the data plane.

``open_management`` blocks on disk and runs in a thread before anything is served. Afterwards the request path reads
only memory: ``GatewayKeys`` and ``LiveSecrets`` hold the view that was published last (CP-19, CP-66, SV-24).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.ai.account import NO_ACCOUNT
from gateway.ai.rate_alerts import RateAlerts
from gateway.app.account import account_of
from gateway.app.destinations import Destinations
from gateway.app.live import live_document
from gateway.app.scrape import render_metrics
from gateway.control.alerts import RateLimitSender
from gateway.control.bootstrap import TOKEN_FILE, BootstrapError, build_plane, ensure_admin_key, open_installation
from gateway.control.plane import ControlPlane, EndpointInfo, Reloaded, UrlFault
from gateway.control.server import AdminServer, UnsafeListenError
from gateway.control.upkeep import Upkeep
from gateway.control.urls import base_url_fault
from gateway.secrets.crypto import SealError
from gateway.secrets.master_key import KeySource, MasterKeyError, key_id_key
from gateway.secrets.sources import key_values
from gateway.secrets.table import StoredSecrets
from gateway.store.db import StoreMismatchError, StoreUnavailable
from gateway.store.lock import DirectoryInUseError, DirectoryLock

if TYPE_CHECKING:
    from gateway.ai.catalog import Catalog
    from gateway.app.gateway_keys import GatewayKeys
    from gateway.app.parts import Parts
    from gateway.app.process import Process
    from gateway.clock import Clock
    from gateway.control.plane import Event
    from gateway.control.view import View
    from gateway.settings import Settings

#: how often keys are looked at for rate limits (AG-332)
ALERT_TURN_S = 1.0
log = logging.getLogger("gateway")


class ManagementError(Exception):
    """The management side cannot start; the text is for the operator."""


class LiveSecrets:
    """The store's vaults as a source of the secret table; the next evaluation sees a published change (TP-605)."""

    def __init__(self) -> None:
        self.current = StoredSecrets()

    def get(self, vault: str, name: str) -> str | None:
        return self.current.get(vault, name)

    def named(self, name: str) -> Iterable[tuple[str, str]]:
        return self.current.named(name)

    def values(self) -> Iterable[str]:
        return self.current.values()

    def refresh(self) -> bool:
        """Nothing to look for: the control plane publishes."""
        return False


def stored_values(view: View) -> set[str]:
    """Every secret of a view, for the log filter (P18)."""
    values = {value.reveal() for value in view.provider_keys.values()}
    for text in view.secrets.values():
        values.add(text)
        values.update(key_values(text).values())
    return values


class Management:
    """One control plane with its listener. Also its ``Surroundings`` and its ``Publisher``."""

    def __init__(self, settings: Settings, clock: Clock, catalog: Catalog) -> None:
        self._settings = settings
        self._clock = clock
        self._catalog = catalog
        self._keys: GatewayKeys | None = None
        self._account = NO_ACCOUNT
        self._published: View | None = None
        self._mask: Callable[[Collection[str]], None] = lambda values: None
        self._process: Process | None = None
        self._lock: DirectoryLock | None = None
        self._plane: ControlPlane | None = None
        self._upkeep: Upkeep | None = None
        self._destinations: Destinations | None = None
        #: what ids of provider keys are made with (AG-120)
        self._key_ids = b""
        self.secrets = LiveSecrets()
        self.server: AdminServer | None = None

    @property
    def plane(self) -> ControlPlane | None:
        """None before ``open``."""
        return self._plane

    # ---- life -----------------------------------------------------------------------------------------------------

    async def open(self, parts: Parts, mask: Callable[[Collection[str]], None] = lambda values: None) -> None:
        """Opens or makes the installation; raises ManagementError, which says what to mend (CP-101, CP-105).

        ``mask`` is told the values of the store before requests can meet them; it runs in a thread.
        """
        self._mask = mask
        self._keys = parts.keys
        try:
            token = await asyncio.to_thread(self._open)
        except (
            BootstrapError,
            DirectoryInUseError,
            MasterKeyError,
            SealError,
            StoreMismatchError,
            StoreUnavailable,
        ) as error:
            raise ManagementError(str(error)) from None
        plane = self._plane
        assert plane is not None
        parts.installation_key = self._key_ids
        parts.keys.last_used = plane.last_used
        parts.accounting.connect(usage=plane.usage, ledger=plane.ledger)
        parts.account = self._account = account_of(plane.view)
        await asyncio.to_thread(mask, stored_values(plane.view))
        self._take(plane.view)
        if token is not None and sys.stderr.isatty():
            where = self._settings.server.data_dir / TOKEN_FILE
            sys.stderr.write(f"admin key (shown once, also in {where}): {token}\n")

    def _open(self) -> str | None:
        settings = self._settings
        data_dir: Path = settings.server.data_dir
        self._lock = DirectoryLock(data_dir)
        environment = settings.environment
        source = KeySource(data_dir, environment.get("GATEWAY_MASTER_KEY"), settings.security.master_key_file)
        installation = open_installation(source, self._clock)
        if installation.keys.made:
            made = " and ".join(map(str, installation.keys.made))
            log.warning("made %s: move them away from the store (security.master_key_file) and keep a copy", made)
        self._key_ids = key_id_key(installation.keys.pepper)
        self._plane = build_plane(installation, self._clock, self, self)
        return ensure_admin_key(self._plane, data_dir, environment.get("GATEWAY_BOOTSTRAP_API_KEY"))

    async def start(self, process: Process) -> None:
        """Listens. ``process`` is what readiness and reloads are about."""
        assert self._plane is not None
        self._process = process
        self._destinations = Destinations(process.start_task)
        self._upkeep = Upkeep(self._plane, retention_s=self._settings.usage.retention_s)
        try:
            self.server = AdminServer(self._plane, self._settings.admin)
            await self.server.start()
        except UnsafeListenError as error:
            raise ManagementError(str(error)) from None
        log.info("management listens on %s", self.server.listen)

    async def watch_keys(self) -> None:
        """Tells of keys that are being rate limited, as long as the process runs (AG-332)."""
        assert self._process is not None
        alerts = RateAlerts(self._process.metrics)
        sender = RateLimitSender(self.emit, self._clock)
        while True:
            await asyncio.sleep(ALERT_TURN_S)
            for alert in alerts.turn(self._process.settings.ai.alert_rate_limit):
                sender.send(alert)

    def reload_tls(self) -> None:
        """Reads the listener's certificate again; blocks. Raises OSError and keeps the old one."""
        if self.server is not None:
            self.server.reload_tls()

    async def run(self) -> None:
        """The background work: usage, last uses, retention."""
        assert self._upkeep is not None
        await self._upkeep.run()

    async def stop(self) -> None:
        """Stops listening and writes what is pending."""
        if self._upkeep is not None:
            self._upkeep.stop()
            try:
                await self._upkeep.flush()
            except StoreUnavailable as unavailable:
                log.warning("usage of the last moments is lost: %s", unavailable)
        if self.server is not None:
            await self.server.stop()
        if self._destinations is not None:
            await self._destinations.stop()
        if self._plane is not None:
            await asyncio.to_thread(self._plane.store.close)
        if self._lock is not None:
            self._lock.release()

    # ---- control.view.Publisher -----------------------------------------------------------------------------------

    async def publish(self, view: View) -> None:
        """Effective with the return: requests that start from now on see it (CP-66)."""
        before = self._published
        if before is None or view.secrets is not before.secrets or view.provider_keys is not before.provider_keys:
            await asyncio.to_thread(self._mask, stored_values(view))
        self._take(view)
        account = account_of(view)
        if self._process is not None and account != self._account:
            await self._process.renew(account)
        self._account = account

    def _take(self, view: View) -> None:
        self._published = view
        self.secrets.current = view.secrets
        if self._keys is not None:
            self._keys.publish(view)

    # ---- control.plane.Surroundings -------------------------------------------------------------------------------

    def primary_provider(self, name: str) -> str | None:
        process = self._process
        catalog = process.catalog if process is not None else None
        entry = (catalog or self._catalog).provider(name)
        return None if entry is None else entry.id

    def base_url_fault(self, url: str) -> UrlFault | None:
        listen = self._settings.admin.listen
        return base_url_fault(url, self._settings.ai.allow_http_hosts, ((listen.host, listen.port),))

    def endpoints(self) -> Sequence[EndpointInfo]:
        process = self._process
        if process is None or process.snapshot is None:
            return ()
        settings = {endpoint.id: endpoint for endpoint in process.settings.endpoints}
        return [
            EndpointInfo(
                id=endpoint.id,
                url=endpoint.url,
                description=settings[endpoint.id].description,
                metadata=settings[endpoint.id].metadata,
                ai_gateway=settings[endpoint.id].ai_gateway,
                gateway_keys=settings[endpoint.id].gateway_keys,
            )
            for endpoint in sorted(process.snapshot.current.endpoints.values(), key=lambda endpoint: endpoint.id)
        ]

    def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        """SV-23."""
        process = self._process
        if process is None or process.snapshot is None:
            return False, {"state": "starting"}
        config = "stale" if process.snapshot.stale else "current"
        return process.state == "serving", {"state": process.state, "config": config}

    async def metrics(self) -> bytes:
        """AG-331."""
        usage_dropped = self._plane.usage.dropped if self._plane is not None else 0
        events_dropped = self._destinations.dropped if self._destinations is not None else 0
        return await render_metrics(self._process, usage_dropped=usage_dropped, events_dropped=events_dropped)

    async def live(self) -> Mapping[str, Any]:
        """``GET /ext/live``."""
        assert self._process is not None  # set before the listener is
        return await live_document(self._process, self._clock)

    async def reload(self) -> Reloaded:
        """SV-20."""
        if self._process is None:
            return Reloaded(ok=False)
        found = [problem for problems in await self._process.reload() for problem in problems]
        errors = [problem.details() for problem in found if problem.severity == "error"]
        warnings = [problem.details() for problem in found if problem.severity != "error"]
        return Reloaded(ok=not errors, errors=errors, warnings=warnings)

    def emit(self, event: Event) -> None:
        """Events go to the log and to the destinations that are configured now."""
        name = event.get("event_type", "")
        log.info("event %s", name, extra={"event": name, "fields": {"object": event.get("object")}})
        if self._destinations is not None and self._process is not None:
            self._destinations.send(event, self._process.settings.events)
