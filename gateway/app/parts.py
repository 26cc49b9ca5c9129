"""What lives as long as the process and survives every reload (design rule 5)."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from gateway.ai.account import NO_ACCOUNT, Account
from gateway.ai.accounting import Accounting
from gateway.ai.estimates import Estimator
from gateway.ai.inbound import parse_head
from gateway.ai.key_metrics import MetricsRegistry
from gateway.ai.providers import is_refused_address
from gateway.app.gateway_keys import GatewayKeys
from gateway.clock import Clock, SystemClock
from gateway.observability.tally import Tallies
from gateway.policy.action import RuntimeRegistry
from gateway.upstream.plain import parse_plain_head
from gateway.upstream.pool import Pool, PoolOptions
from gateway.upstream.session import RoutedTransport, SessionTransport, build_session
from gateway.upstream.transport import PoolTransport, Transport

if TYPE_CHECKING:
    from gateway.secrets.sources import SecretTable
    from gateway.settings import Settings
    from gateway.upstream.origin import Origin


def request_ids() -> Callable[[], str]:
    """``req_`` ids: unique per process by a random prefix, cheap by a counter; a call runs no Python code."""
    return map(f"req_{os.urandom(8).hex()}%08x".__mod__, itertools.count(1)).__next__


class Tasks:
    """The process's background tasks; a task that fails takes the process down, loudly."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a coroutine beside everything else."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """The same for work that nobody waits for."""
        self._tasks.add(self.spawn(work))

    def cancel(self) -> None:
        """Ends them all."""
        for task in list(self._tasks):
            task.cancel()


@dataclass(slots=True, kw_only=True)
class Parts:
    """Built once by ``build_parts``; closed by ``close``."""

    clock: Clock
    metrics: MetricsRegistry
    runtime: RuntimeRegistry
    pool: Pool
    session: aiohttp.ClientSession
    transport: Transport
    #: to services that are no model providers (TP-50 (1)); ``head_transport`` for HEAD
    plain_pool: Pool
    plain_transport: Transport
    head_transport: Transport
    secrets: SecretTable
    next_id: Callable[[], str]
    #: names this process in ``x-ai-gateway-hop`` (AG-56)
    instance_id: str
    #: makes key ids that mean nothing elsewhere (AG-120)
    installation_key: bytes
    tasks: Tasks = field(repr=False)
    #: how the requests of each endpoint ended
    tallies: Tallies
    #: gateway keys; knows none until the management side publishes its view
    keys: GatewayKeys
    #: budgets and usage; keeps neither until the management side connects it
    accounting: Accounting
    #: custom providers and limits of shared mode, as they were published last
    account: Account = NO_ACCOUNT

    #: counts tokens
    estimator: Estimator = field(default_factory=Estimator)

    async def close(self) -> None:
        """Ends upstream connections."""
        self.pool.close()
        self.plain_pool.close()
        await self.session.close()


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Certificates are verified against the system's roots and ``ai.ca_file`` (AG-55)."""
    context = ssl.create_default_context()
    if settings.ai.ca_file is not None:
        context.load_verify_locations(cafile=settings.ai.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # what is written never waits for the other side (tls_transport)
    return context


def build_parts(settings: Settings, *, secrets: SecretTable, installation_key: bytes, tasks: Tasks) -> Parts:
    """Needs the running loop: connections and timers belong to it."""
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    tls = tls_context(settings)
    pool = Pool(
        loop=loop,
        clock=clock,
        parse_head=parse_head,
        options=PoolOptions(tls=tls, connect_timeout_s=settings.ai.connect_timeout_s, refused=is_refused_address),
    )
    session = build_session(tls, settings.ai.connect_timeout_s)

    @functools.lru_cache(maxsize=1_024)
    def proxy_for(origin: Origin) -> str | None:
        return settings.environment.proxy_for(origin.scheme, origin.host)

    plain_pool = Pool(loop=loop, clock=clock, parse_head=parse_plain_head, options=pool.options)
    plain_session = SessionTransport(session, tasks.spawn, parse_plain_head, proxy_for)

    def routed(direct: Transport, proxied: Transport) -> Transport:
        return RoutedTransport(direct, proxied, proxy_for) if settings.environment.has_proxies else direct

    return Parts(
        clock=clock,
        metrics=MetricsRegistry(clock),
        runtime=RuntimeRegistry(),
        pool=pool,
        session=session,
        transport=routed(PoolTransport(pool, loop), SessionTransport(session, tasks.spawn, parse_head, proxy_for)),
        plain_pool=plain_pool,
        plain_transport=routed(PoolTransport(plain_pool, loop), plain_session),
        head_transport=plain_session,
        secrets=secrets,
        next_id=request_ids(),
        instance_id=os.urandom(8).hex(),
        installation_key=installation_key,
        tasks=tasks,
        tallies=Tallies(),
        keys=GatewayKeys(clock),
        accounting=Accounting(clock),
    )
