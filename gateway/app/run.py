"""What the commands run: ``serve``, ``check`` and ``demo``. Each takes settings and gives an exit status."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import uvloop

from gateway.ai.catalog import load_shipped
from gateway.app.build import SnapshotBuilder
from gateway.app.certificates import read_certificates
from gateway.app.exposure import forbid_dumps
from gateway.app.huge_pages import use_huge_pages
from gateway.app.management import Management, ManagementError
from gateway.app.masking import Masking
from gateway.app.parts import Parts, Tasks, build_parts
from gateway.app.process import ConfigurationError, Process, ProcessOptions
from gateway.app.services import build_services
from gateway.clock import SystemClock
from gateway.observability.logs import LogSink, connect_logging, json_chosen
from gateway.observability.mask import Masker
from gateway.observability.record import build_recorder
from gateway.problems import Problems
from gateway.secrets.sources import SecretSource, SecretTable, build_sources, keep_fresh
from gateway.settings.load import load_settings

if TYPE_CHECKING:
    from gateway.settings import Settings

OK, USAGE = 0, 2
#: called with the process and its management side once it accepts traffic
Started = Callable[[Process, Management], None]


def serve(settings: Settings) -> int:
    """Runs the gateway until a signal ends it."""
    return _with_log(settings, lambda sink: _serve(settings, sink))


def check(settings: Settings) -> Problems:
    """Everything that would be wrong with running these settings; nothing listens, nothing connects (SV-2)."""
    found = Problems("<settings>")

    async def build() -> None:
        async with asyncio.TaskGroup() as group:
            parts = await _parts(settings, Tasks(group))
            try:
                _, unusable = await asyncio.to_thread(read_certificates, settings)
                _, problems = await asyncio.to_thread(SnapshotBuilder(parts, {}).build, settings, {})
            finally:
                await parts.close()
        for each in (unusable, *problems):
            found.extend(each)

    uvloop.run(build())
    return found


def demo(settings: Settings) -> int:
    """Runs the gateway in front of the built-in demo provider."""
    from gateway.app.demo import serve_demo

    return _with_log(settings, lambda sink: serve_demo(settings, sink))


def _with_log(settings: Settings, work: Callable[[LogSink], Awaitable[int]]) -> int:
    terminal = sys.stderr.isatty()
    sink = LogSink(masker=Masker())
    as_json = json_chosen(settings.log.format, terminal=terminal)
    handler = connect_logging(sink, json=as_json, level=settings.log.level, colour=terminal)

    async def run() -> int:
        return await work(sink)

    try:
        forbid_dumps()
        return uvloop.run(run())
    except ConfigurationError as error:
        for problems in error.problems:
            for problem in problems:
                sink.write_now(f"{problem}\n".encode())
        return USAGE
    except ManagementError as error:
        sink.write_now(f"gateway: {error}\n".encode())
        return USAGE
    finally:
        logging.getLogger().removeHandler(handler)
        sink.close()


async def _serve(settings: Settings, sink: LogSink) -> int:
    return await serve_process(settings, sink, lambda process, management: None)


async def serve_process(
    settings: Settings, sink: LogSink, started: Started, *, sources: Sequence[SecretSource] = ()
) -> int:
    """One process from start to drained. ``sources`` are asked for secrets before those of SV-12."""
    terminal = sys.stderr.isatty()
    as_json = json_chosen(settings.log.format, terminal=terminal)
    refused: ConfigurationError | ManagementError | None = None

    def begun(process: Process) -> None:
        tasks.start(_settle_memory())
        started(process, management)

    async with asyncio.TaskGroup() as group:
        tasks = Tasks(group)
        management = Management(settings, SystemClock(), await asyncio.to_thread(load_shipped))
        parts = await _parts(settings, tasks, [*sources, management.secrets])
        masking = Masking(sink, parts.secrets, settings)
        record = build_recorder(sink, SystemClock(), as_json=as_json, colour=terminal)
        files = dict(settings.files)
        options = ProcessOptions(
            settings=settings,
            load=lambda: load_settings(settings.flags, settings.environment, watch=settings.watch, files=files),
            files=files,
            record=record,
            services=build_services(parts, settings, record=record),
            mask=masking.configured,
            reload_tls=management.reload_tls,
            started=begun,
        )
        try:
            await management.open(parts, masking.stored)
            process = Process(parts, options)
            await management.start(process)
            tasks.start(management.run())
            tasks.start(management.watch_keys())
            tasks.start(keep_fresh(parts.secrets, changed=masking.renew))
            await process.run()
        except (ConfigurationError, ManagementError) as error:
            refused = error
        finally:
            await management.stop()
            tasks.cancel()
            await parts.close()
    if refused is not None:  # raised here: the group would wrap it
        raise refused
    return OK


async def _settle_memory() -> None:
    await asyncio.to_thread(use_huge_pages)


async def _parts(settings: Settings, tasks: Tasks, first: Sequence[SecretSource] = ()) -> Parts:
    environment = settings.environment
    # in a thread: it reads the files
    found = await asyncio.to_thread(
        build_sources, settings.secrets.dir, environment.credentials_directory, environment.variables
    )
    # without a store a key's id is stable while the process lives; `Management.open` brings a lasting key
    return build_parts(
        settings, secrets=SecretTable([*first, *found]), installation_key=secrets.token_bytes(32), tasks=tasks
    )
