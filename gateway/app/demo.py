"""``gateway demo``: the gateway in front of the built-in demo provider, useful without any account.

Official providers whose usual environment variable holds a key work too, but only while nobody else can connect: on
an address that is not loopback their keys stay out, since the demo asks no caller who it is.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.app.run import serve_process
from gateway.demo.banner import render_banner
from gateway.demo.policy import render_policy
from gateway.demo.server import DemoProvider
from gateway.secrets.sources import MemorySource
from gateway.settings.address import Listen
from gateway.settings.model import PolicySource

if TYPE_CHECKING:
    from gateway.app.management import Management
    from gateway.app.process import Process
    from gateway.observability.logs import LogSink
    from gateway.settings import Settings

#: provider id → variables that its own SDK reads, first one wins
KEY_VARIABLES = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "moonshotai": ("MOONSHOT_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
}
_VAULT = "demo"


def found_keys(settings: Settings) -> dict[str, str]:
    """Provider id → key, for the providers whose variable is set."""
    keys = {}
    for provider, names in KEY_VARIABLES.items():
        value = next((value for name in names if (value := settings.environment.get(name))), None)
        if value is not None:
            keys[provider] = value
    return keys


async def serve_demo(settings: Settings, sink: LogSink) -> int:
    """Runs both until a signal ends them."""
    local = all(endpoint.listen is None or endpoint.listen.loopback for endpoint in settings.endpoints)
    keys = found_keys(settings) if local else {}
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as data_dir:
        # nothing of a trial stays behind, and a gateway that runs beside it is not disturbed
        server = replace(settings.server, data_dir=Path(data_dir))
        admin = replace(settings.admin, listen=Listen("127.0.0.1", 0))
        return await _serve(replace(settings, server=server, admin=admin), sink, keys)


async def _serve(settings: Settings, sink: LogSink, keys: dict[str, str]) -> int:
    async with DemoProvider() as provider:
        others = {name: f"${{secrets.get('{_VAULT}', '{name}')}}" for name in keys}
        text = render_policy(f"{provider.url}/v1", others=others)
        endpoints = tuple(
            replace(endpoint, policy=PolicySource(file="<demo>", text=text)) for endpoint in settings.endpoints
        )

        def started(process: Process, management: Management) -> None:
            url = process.listeners[0].address.url()
            listen = management.server.listen if management.server is not None else settings.admin.listen
            watch = f"gateway top --api-url http://{listen} --data-dir {settings.server.data_dir}"
            banner = render_banner(url, provider_url=provider.url, watch=watch, others=tuple(keys))
            print(banner, file=sys.stdout, flush=True)  # noqa: T201 - the demo speaks to people

        source = MemorySource({(_VAULT, name): value for name, value in keys.items()})
        return await serve_process(replace(settings, endpoints=endpoints), sink, started, sources=(source,))
