"""Node's official OpenAI SDK, as npm delivers it, against the gateway (P25, AG-300 to AG-302)."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.wire.serving import serving

SCRIPT = Path(__file__).with_name("node_sdk.mjs")
INSTALL_S, RUN_S = 90.0, 20.0
#: the call's name in the script → class, status, code, type
ERRORS = {
    "model": ("UnprocessableEntityError", 422, "ERR_NGROK_3804", "invalid_request_error"),
    "body": ("BadRequestError", 400, "ERR_NGROK_3801", "invalid_request_error"),
    "limited": ("RateLimitError", 429, "ERR_NGROK_3807", "rate_limit_error"),
    "unreachable": ("InternalServerError", 502, "ERR_NGROK_3800", "server_error"),
    "failed": ("InternalServerError", 503, "ERR_NGROK_3807", "server_error"),
    "late": ("InternalServerError", 504, "ERR_NGROK_3810", "server_error"),
    "path": ("NotFoundError", 404, "ERR_NGROK_3814", "invalid_request_error"),
}


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: this test needs the Debian package '{package}' (.ci/run installs it)")
    return found


async def output(limit_s: float, *command: str) -> str:
    """Standard output of a program that has to succeed in time."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(limit_s):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command[0]} failed:\n{err.decode()[-2000:]}"
    return out.decode()


async def installed(folder: Path) -> str:
    """A folder whose ``node_modules`` holds the SDK; fetched once, kept in pytest's cache."""
    if not (folder / "node_modules" / "openai" / "package.json").exists():
        options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        await output(INSTALL_S, program("npm", "npm"), "install", "--prefix", str(folder), *options, "openai")
    return str(folder)


@pytest.mark.timeout(INSTALL_S + RUN_S + 30)
async def test_node_openai_sdk(request: pytest.FixtureRequest) -> None:
    """Streamed and not, the model list, the Responses API, and every kind of error as the SDK's own class."""
    node = program("node", "nodejs")
    assert request.config.cache is not None
    folder = await installed(request.config.cache.mkdir("node-sdk"))
    async with serving(per_request_timeout="400ms") as (provider, gateway):
        results: dict[str, Any] = json.loads(await output(RUN_S, node, str(SCRIPT), f"{gateway.url}/v1", folder))
        assert results["chat"]["finish"] == "stop"
        assert results["chat"]["id"]
        assert results["chat"]["text"] == results["stream"]["text"] != ""
        assert results["responses"] == {"first": "response.created", "last": "response.completed"}
        assert "demo:demo" in results["models"]["names"]
        ids = {record.id for record in gateway.records}
        for name, (kind, status, code, type_) in ERRORS.items():
            seen = results[name]
            assert seen["api"], (name, seen)
            assert (seen["error"], seen["status"], seen["code"], seen["type"]) == (kind, status, code, type_), name
            assert f"[{code}]" in seen["message"], name
            assert seen["id"] in ids, name
        cut = results["cut"]
        assert (cut["api"], cut["code"]) == (True, "ERR_NGROK_3800"), cut
        assert len(gateway.records) == len(results)
        # one for each call that is for the provider; the reset of a kept connection is tried on a fresh one (AG-157)
        assert provider.stats.requests == len(results) - len({"models", "model", "body", "path"}) + 1
