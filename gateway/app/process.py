"""The life of the process: listen, serve, reload, drain (SV-20 to SV-23).

``run`` reads top to bottom: build everything, accept, wait for a signal, drain. A reload builds a whole new snapshot
and swaps one pointer; anything invalid keeps the old one.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.app.build import SnapshotBuilder
from gateway.app.certificates import read_certificates, report_unusable
from gateway.app.notify import Notifier
from gateway.app.watch import watch_files
from gateway.problems import Problems
from gateway.proxy.announcing import AnnouncingListener
from gateway.proxy.handler import Handler, HandlerParts
from gateway.proxy.server import HttpListener, ListenerOptions, inherited_socket, open_socket, real_address
from gateway.snapshot import Listener, Snapshot, SnapshotRef

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from gateway.ai.account import Account
    from gateway.ai.catalog import Catalog
    from gateway.ai.key_metrics import MetricsRegistry
    from gateway.app.parts import Parts
    from gateway.app.services import Services
    from gateway.exchange import Exchange
    from gateway.observability.tally import Tallies
    from gateway.proxy.tls import ListenerContext
    from gateway.settings import Settings
    from gateway.settings.address import Listen
    from gateway.settings.files import FileState
    from gateway.settings.model import EndpointSettings

log = logging.getLogger("gateway")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ConfigurationError(Exception):
    """The gateway cannot start with this configuration; ``problems`` say why."""

    def __init__(self, problems: list[Problems]) -> None:
        super().__init__("invalid configuration")
        self.problems = problems


@dataclass(slots=True, kw_only=True)
class ProcessOptions:
    """``load`` reads the settings again; ``record`` writes one finished exchange."""

    settings: Settings
    load: Callable[[], tuple[Settings | None, Problems]]
    record: Callable[[Exchange], None]
    services: Services
    #: takes the secrets that stand in the configuration, before it is used: for the log filter
    mask: Callable[[Collection[str]], None] = lambda values: None
    #: called with the process once it accepts traffic
    started: Callable[[Process], None] = lambda process: None
    #: reads the management listener's certificate again; blocks, raises OSError
    reload_tls: Callable[[], None] = lambda: None
    #: what ``load`` read last, also of a configuration that was refused: for ``--watch``
    files: Mapping[Path, FileState] = field(default_factory=dict)


class Process:
    """One running gateway."""

    def __init__(self, parts: Parts, options: ProcessOptions) -> None:
        self._parts = parts
        self._options = options
        self.settings = options.settings
        self._builder = SnapshotBuilder(parts, options.services.table)
        self._notifier = Notifier(options.settings.environment.notify_socket)
        self._stop = asyncio.Event()
        self._inherited = dict(options.settings.environment.listen_descriptors)
        self._sockets: dict[str, socket.socket] = {}
        #: by listener: what its connections begin with
        self._tls: dict[str, ListenerContext] = {}
        self.listeners: list[HttpListener] = []
        self.snapshot: SnapshotRef | None = None
        #: starting, serving, draining
        self.state = "starting"
        self._reloading = asyncio.Lock()

    @property
    def metrics(self) -> MetricsRegistry:
        """The live numbers of models and keys."""
        return self._parts.metrics

    def start_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs background work as long as the process lives."""
        self._parts.tasks.start(work)

    @property
    def tallies(self) -> Tallies:
        """How requests ended, by endpoint."""
        return self._parts.tallies

    # ---- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serves until a signal says stop, then drains."""
        loop = asyncio.get_running_loop()
        self._tls, unusable = await asyncio.to_thread(read_certificates, self.settings)
        if unusable.failed:
            raise ConfigurationError([unusable])
        self.snapshot = SnapshotRef(await self._first_snapshot())
        for endpoint in self._listening():
            await self._listen(endpoint)
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        watchdog_s = self.settings.environment.watchdog_s
        if watchdog_s:
            self._parts.tasks.start(self._watchdog(watchdog_s / 2))
        self._parts.tasks.start(self._options.services.keep_house())
        if self.settings.watch:
            self._parts.tasks.start(watch_files(lambda: self._options.files, self.reload))
        self.state = "serving"
        # what start-up made lives on: the collector need not look at it again (performance.md)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        self._notifier.ready(f"serving {len(self.listeners)} listeners")
        self._options.started(self)
        try:
            await self._stop.wait()
        finally:
            await self._drain()
            for number in (*_SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Begins the drain: from now on nobody new gets in."""
        for listener in self.listeners:
            listener.close()
        self._stop.set()

    def _signalled(self, number: int) -> None:
        if self._stop.is_set():
            log.warning("second signal: ending at once")
            for listener in self.listeners:
                for downstream in list(listener.handler.connections):
                    downstream.abort()
            return
        self.stop()
        log.info("%s: finishing requests", signal.Signals(number).name)

    def _hung_up(self) -> None:
        self._parts.tasks.start(self._reload_quietly())

    async def _reload_quietly(self) -> None:
        await self.reload()

    async def _drain(self) -> None:
        self.state = "draining"
        self._notifier.stopping()
        drain_s = self.settings.ai.drain_timeout_s
        await asyncio.gather(*(listener.stop(drain_s) for listener in self.listeners))

    async def _watchdog(self, interval_s: float) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(interval_s)

    @property
    def catalog(self) -> Catalog | None:
        """The providers and models that are served; None before the first snapshot."""
        return self._builder.catalog

    # ---- configuration --------------------------------------------------------------------------------------------

    async def _first_snapshot(self) -> Snapshot:
        addresses = {}
        for endpoint in self._listening():
            assert endpoint.listen is not None
            sock = self._socket(endpoint.listener, endpoint.listen)
            addresses[endpoint.listener] = real_address(sock)
        async with self._reloading:
            snapshot, problems = await asyncio.to_thread(self._builder.build, self.settings, addresses)
        if snapshot is None:
            for sock in self._sockets.values():
                sock.close()
            raise ConfigurationError(problems)
        self._options.mask(self._builder.inline_secrets)
        self._report(problems)
        return snapshot

    async def renew(self, account: Account) -> None:
        """Returns when requests that start from now on are served by this version of the account (CP-19)."""
        async with self._reloading:
            self._parts.account = account
            install = await asyncio.to_thread(self._builder.renew, account)
            install()

    async def reload(self) -> list[Problems]:
        """Reads everything again; swaps the snapshot if all of it is valid (SV-20). Gives what there is to say.

        Files are read and policies compiled in a thread, so that requests go on meanwhile.
        """
        async with self._reloading:
            self._notifier.reloading()
            addresses = {key: real_address(sock) for key, sock in self._sockets.items()}
            snapshot, problems = await asyncio.to_thread(self._rebuild, addresses)
            self._publish(snapshot)
            self._report(problems)
            self._notifier.ready("serving" if snapshot is not None else "serving an older configuration")
            return problems

    def _rebuild(self, addresses: Mapping[str, Listen]) -> tuple[Snapshot | None, list[Problems]]:
        settings, found = self._options.load()
        if settings is None:
            return None, [found]
        contexts, unusable = read_certificates(settings)
        try:
            self._options.reload_tls()
        except (OSError, ValueError) as error:
            report_unusable(unusable, "admin.tls", error)
        if unusable.failed:
            return None, [found, unusable]
        snapshot, problems = self._builder.build(settings, addresses)
        if snapshot is not None:
            for key in self._tls.keys() & contexts.keys():
                self._tls[key].newest = contexts[key]
        return snapshot, [found, *problems]

    def _publish(self, snapshot: Snapshot | None) -> None:
        assert self.snapshot is not None
        if snapshot is None:
            self.snapshot.stale = True
            log.error("reload failed: the running configuration stays")
            return
        self._options.mask(self._builder.inline_secrets)
        self.snapshot.current = snapshot
        self.snapshot.stale = False
        self.settings = snapshot.settings
        self._options.services.publish(snapshot.settings, self._builder.claims)
        log.info("reloaded: generation %d", snapshot.generation)

    def _report(self, problems: list[Problems]) -> None:
        for found in problems:
            for problem in found:
                log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem)

    # ---- listeners ------------------------------------------------------------------------------------------------

    def _listening(self) -> list[EndpointSettings]:
        """One endpoint per listener: several may share it."""
        seen: dict[str, EndpointSettings] = {}
        for endpoint in self.settings.endpoints:
            if endpoint.listen is not None:
                seen.setdefault(endpoint.listener, endpoint)
        return list(seen.values())

    def _socket(self, key: str, listen: Listen) -> socket.socket:
        if key not in self._sockets:
            self._sockets[key] = self._inherit() or open_socket(listen)
        return self._sockets[key]

    def _inherit(self) -> socket.socket | None:
        """The next socket that the service manager opened, in the order of the endpoints (SV-22)."""
        if not self._inherited:
            return None
        descriptor = min(self._inherited)
        del self._inherited[descriptor]
        return inherited_socket(descriptor)

    async def _listen(self, endpoint: EndpointSettings) -> None:
        assert endpoint.listen is not None
        assert self.snapshot is not None
        key = endpoint.listener
        server = self.settings.server
        parts = HandlerParts(
            snapshot=self.snapshot,
            listener=Listener(key),
            clock=self._parts.clock,
            next_id=self._parts.next_id,
            record=self._options.record,
            fault=report_fault,
            max_connections=server.max_connections,
        )
        kind = AnnouncingListener if endpoint.proxy_protocol else HttpListener
        listener = kind(
            sock=self._socket(key, endpoint.listen),
            handler=Handler(parts),
            tls=self._tls.get(key),
            options=ListenerOptions(
                loop=asyncio.get_running_loop(),
                spawn=self._parts.tasks.spawn,
                max_connections=server.max_connections,
            ),
        )
        self.listeners.append(listener)
        await listener.start()
        url = listener.address.url("https" if endpoint.tls is not None else "http")
        log.info("listening on %s (endpoint %s)", url, endpoint.name)


def report_fault(error: BaseException, exchange: Exchange | None) -> None:
    """A bug: logged with its place in the program, never with the values that were at hand."""
    where = "?"
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        where = f"{code.co_filename.rpartition('/gateway/')[2]}:{traceback.tb_lineno} in {code.co_name}"
        traceback = traceback.tb_next
    request_id = exchange.id if exchange is not None else "-"
    log.error("internal error in request %s: %s at %s", request_id, type(error).__name__, where)
