"""The life of a real process: start, reload, drain, sockets, the service manager (SV-1 to SV-22, AG-267)."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.demo.server import DemoProvider
from tests.e2e.serving_process import PATIENCE_S, ServingProcess, run, serving
from tests.wire.running import ai_policy
from tests.wire.serving import CHAT_PATH, chat_body, provider_entry, until

ANY = "127.0.0.1:0"


def reply(text: str) -> str:
    """A policy that answers with a text."""
    return f"on_http_request:\n  - actions:\n      - type: custom-response\n        config: {{body: '{text}'}}\n"


def written(folder: Path, policy: str, name: str = "policy.yaml") -> str:
    file = folder / name
    file.write_text(policy)
    return str(file)


def configured(folder: Path, policy: str, *, drain: str) -> str:
    """A configuration with one endpoint and this drain time."""
    written(folder, policy)
    endpoint = {"name": "default", "listen": ANY, "traffic_policy_file": str(folder / "policy.yaml")}
    return written(folder, json.dumps({"endpoints": [endpoint], "ai": {"drain_timeout": drain}}), "gateway.json")


async def get(url: str, connector: aiohttp.BaseConnector | None = None) -> str:
    async with aiohttp.ClientSession(connector=connector) as client, client.get(url) as answer:
        return await answer.text()


class Stream:
    """A chat stream of some tokens, read on request."""

    def __init__(self, client: aiohttp.ClientSession, answer: aiohttp.ClientResponse) -> None:
        self._client = client
        self._answer = answer

    @classmethod
    async def begun(cls, url: str, model: str) -> Stream:
        """Once its first event is here."""
        client = aiohttp.ClientSession()
        answer = await client.post(url + CHAT_PATH, data=chat_body(model, stream=True))
        assert answer.status == 200
        await answer.content.readuntil(b"\n\n")
        return cls(client, answer)

    async def rest(self) -> bytes:
        """Everything that is still to come; what there was if the connection breaks."""
        received = bytearray()
        try:
            async with asyncio.timeout(PATIENCE_S):
                async for part in self._answer.content.iter_any():
                    received += part
        except aiohttp.ClientError:
            received += b"<broken>"
        finally:
            self._answer.close()
            await self._client.close()
        return bytes(received)


# ---- start and reload ----------------------------------------------------------------------------------------------


async def test_reload(tmp_path: Path) -> None:
    """SV-4, SV-20: a line says where it listens; SIGHUP swaps a good policy and keeps the old one for a bad one."""
    policy = written(tmp_path, reply("one"))
    async with serving(tmp_path, "--policy", policy, "--listen", ANY) as gateway:
        url = await gateway.url()
        assert await get(url) == "one"
        written(tmp_path, reply("two"))
        gateway.signal(signal.SIGHUP)
        await gateway.line("reloaded")
        assert await get(url) == "two"
        seen = len(gateway.lines)
        written(tmp_path, "on_http_request:\n  - actions:\n      - type: no-such-action\n")
        gateway.signal(signal.SIGHUP)
        await gateway.line("reload failed", seen)
        await gateway.line(r"policy\.yaml:3:\d+: error ", seen)
        assert await get(url) == "two"
        seen = len(gateway.lines)
        written(tmp_path, reply("three"))
        gateway.signal(signal.SIGHUP)
        await gateway.line("reloaded", seen)
        assert await get(url) == "three"
        gateway.signal(signal.SIGINT)
        assert await gateway.exit_code() == 0
        assert "Traceback" not in gateway.text


async def test_reload_during_requests(tmp_path: Path) -> None:
    """SV-20, P23: a request under way finishes on the policy it began with."""
    async with DemoProvider() as provider:
        policy = written(tmp_path, ai_policy([provider_entry(provider.base_url, "demo-key")]))
        async with serving(tmp_path, "--policy", policy, "--listen", ANY) as gateway:
            url = await gateway.url()
            stream = await Stream.begun(url, "demo:n=20,delay=50ms")
            written(tmp_path, reply("new"))
            gateway.signal(signal.SIGHUP)
            await gateway.line("reloaded")
            assert await get(url) == "new"
            assert (await stream.rest()).endswith(b"data: [DONE]\n\n")


# ---- stop ----------------------------------------------------------------------------------------------------------


async def test_drain(tmp_path: Path) -> None:
    """SV-21, AG-267, P30: a running stream finishes, nobody new gets in, exit status 0."""
    async with DemoProvider() as provider:
        policy = written(tmp_path, ai_policy([provider_entry(provider.base_url, "demo-key")]))
        async with serving(tmp_path, "--policy", policy, "--listen", ANY) as gateway:
            url = await gateway.url()
            stream = await Stream.begun(url, "demo:n=20,delay=50ms")
            gateway.signal(signal.SIGTERM)
            await gateway.line("SIGTERM")
            with pytest.raises(aiohttp.ClientConnectorError):
                await get(url)
            rest = await stream.rest()
            assert rest.endswith(b"data: [DONE]\n\n")
            assert b"error" not in rest
            assert await gateway.exit_code() == 0
            assert "Traceback" not in gateway.text
            await gateway.line('"status":200.*"stream":true')  # its record was written


async def test_drain_deadline(tmp_path: Path) -> None:
    """AG-172, AG-267: what has not finished by then ends with an error event, what has no answer yet with a 503."""
    async with DemoProvider() as provider:
        config = configured(tmp_path, ai_policy([provider_entry(provider.base_url, "demo-key")]), drain="300ms")
        async with (
            serving(tmp_path, "--config", config) as gateway,
            aiohttp.ClientSession() as client,
            asyncio.TaskGroup() as group,
        ):
            url = await gateway.url()
            stream = await Stream.begun(url, "demo:n=2000,delay=50ms")
            silent = group.create_task(client.post(url + CHAT_PATH, data=chat_body("demo:silent")))
            await until(lambda: provider.stats.requests == 2)
            gateway.signal(signal.SIGTERM)
            rest = await stream.rest()
            assert b"[DONE]" not in rest
            assert json.loads(rest.rpartition(b"data: ")[2])["error"]["code"] == "ERR_AIGW_SHUTDOWN"
            answer = await silent
            assert (answer.status, (await answer.json())["error"]["code"]) == (503, "ERR_AIGW_SHUTDOWN")
            assert await gateway.exit_code() == 0


async def test_second_signal(tmp_path: Path) -> None:
    """SV-21: at once, although the drain time is not over."""
    async with DemoProvider() as provider:
        config = configured(tmp_path, ai_policy([provider_entry(provider.base_url, "demo-key")]), drain="10m")
        async with serving(tmp_path, "--config", config) as gateway:
            stream = await Stream.begun(await gateway.url(), "demo:n=2000,delay=50ms")
            gateway.signal(signal.SIGTERM)
            await gateway.line("SIGTERM")
            assert gateway.running
            gateway.signal(signal.SIGTERM)
            assert b"[DONE]" not in await stream.rest()
            await gateway.exit_code()
            assert "Traceback" not in gateway.text


# ---- configuration errors ------------------------------------------------------------------------------------------

BAD = "on_http_request:\n  - actions:\n      - type: custom-response\n        config: {status_code: 42}\n"


@pytest.mark.parametrize("arguments", [(), ("--check",)], ids=["serve", "check"])
async def test_policy_errors(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """SV-1: status 2, the place, and no traceback."""
    policy = written(tmp_path, BAD)
    places = ("--listen", ANY, "--admin-listen", ANY, "--data-dir", str(tmp_path / "data"))
    code, text = await run("serve", "--policy", policy, *places, *arguments)
    assert code == 2
    assert f"{policy}:4:31: error " in text
    assert "Traceback" not in text


async def test_configuration_errors(tmp_path: Path) -> None:
    config = written(tmp_path, "endpoints:\n  - name: a\n    listn: 127.0.0.1:0\n", "gateway.yaml")
    code, text = await run("serve", "--config", config)
    assert code == 2
    assert f"{config}:3:5: error " in text
    assert "'listen'" in text  # the nearest name
    assert "Traceback" not in text


async def test_address_in_use(tmp_path: Path) -> None:
    """A sentence that names the address, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        data = str(tmp_path / "data")
        code, text = await run("serve", "--listen", address, "--admin-listen", ANY, "--data-dir", data)
    assert code == 2
    assert address in text
    assert "Traceback" not in text


async def test_policy_check(tmp_path: Path) -> None:
    """SV-1: 0 ok, 1 the policy is wrong, 2 it cannot be asked that way."""
    good, bad = written(tmp_path, reply("x"), "good.yaml"), written(tmp_path, BAD, "bad.yaml")
    assert (await run("policy", "check", good))[0] == 0
    code, text = await run("policy", "check", good, bad)
    assert code == 1
    assert f"{bad}:4:31: error " in text
    assert (await run("policy", "check"))[0] == 2
    assert (await run("policy", "check", str(tmp_path / "none.yaml")))[0] == 1


# ---- sockets and the service manager -------------------------------------------------------------------------------


async def test_unix_socket(tmp_path: Path) -> None:
    """SV-2: serves there, takes the place of a dead predecessor, and leaves nothing behind."""
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    policy = written(tmp_path, reply("here"))
    async with serving(tmp_path, "--policy", policy, "--listen", f"unix:{path}") as gateway:
        assert str(path) in await gateway.url()
        assert await get("http://gateway.test/", aiohttp.UnixConnector(str(path))) == "here"
        gateway.signal(signal.SIGTERM)
        assert await gateway.exit_code() == 0
    assert not path.exists()


async def test_socket_activation(tmp_path: Path) -> None:
    """SV-22: the socket of the service manager is used, and a request sent before the start is served after it."""
    policy = written(tmp_path, reply("activated"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with asyncio.TaskGroup() as group:
            early = group.create_task(get(url))
            async with serving(tmp_path, "--policy", policy, "--listen", ANY, inherit=sock) as gateway:
                assert await gateway.url() == url
                assert await early == "activated"
                gateway.signal(signal.SIGTERM)
                assert await gateway.exit_code() == 0
                late = group.create_task(get(url))
            async with serving(tmp_path, "--policy", policy, "--listen", ANY, inherit=sock):
                assert await late == "activated"  # a restart refused nobody


@contextmanager
def service_manager(folder: Path) -> Iterator[tuple[socket.socket, str]]:
    path = str(folder / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)
        yield sock, path


async def test_notifications(tmp_path: Path) -> None:
    """SV-22: READY when it accepts, RELOADING with the time and READY again, STOPPING, and signs of life."""
    policy = written(tmp_path, reply("x"))
    loop = asyncio.get_running_loop()
    with service_manager(tmp_path) as (sock, path):

        async def told(word: str) -> dict[str, str]:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    message = (await loop.sock_recv(sock, 4096)).decode()
                    said = dict(line.split("=", 1) for line in message.splitlines())
                    if word in said:
                        return said

        env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
        async with serving(tmp_path, "--policy", policy, "--listen", ANY, env=env) as gateway:
            assert (await told("READY"))["READY"] == "1"
            assert await get(await gateway.url()) == "x"
            assert await told("WATCHDOG")
            gateway.signal(signal.SIGHUP)
            assert (await told("RELOADING"))["MONOTONIC_USEC"].isdecimal()
            assert await told("READY")
            await stop(gateway)
            assert await told("STOPPING")


async def stop(gateway: ServingProcess) -> None:
    gateway.signal(signal.SIGTERM)
    assert await gateway.exit_code() == 0
