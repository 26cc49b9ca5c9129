"""What the documents that the project started from tell their readers to type, run against real processes.

Program name, hosts, ids and keys are put in; everything else is as it is written. ``TABLE`` says the same in our own
words, so that a clean clone proves it; where the documents lie beside the repository, their own text is run as well,
and nothing in them may be missing from the table (CP-80, CP-143).
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from gateway.demo.server import DemoProvider
from tests.e2e.serving_process import environment, serving
from tests.e2e.test_node_sdk import INSTALL_S, installed, program

DOCUMENTS: Final = Path(__file__).parents[3] / "shared" / "seeds"
ACCESS_TOKEN: Final = "your-secret-access-token-here"
PROVIDER_KEY: Final = "demo-key-of-the-provider"
_LIMIT_S: Final = 30.0

# name → snippet; the kind is told by how it begins
TABLE: Final = {
    "vault": 'ngrok api vaults create --name "gateway-auth"',
    "secret": 'ngrok api secrets create \\\n  --name "access-token" \\\n'
    f'  --value "{ACCESS_TOKEN}" \\\n  --vault-id "vault_xxxxxxxxxxxxx"',
    "first key": 'ngrok api ai-gateway-api-keys create \\\n  --endpoint-id ep_xxxxx \\\n  --description "shop window"',
    "delete key": "ngrok api ai-gateway-api-keys delete <id>",
    "delete key by request": "DELETE /ai_gateway_api_keys/{id}",
    "access key": "curl -X POST https://api.ngrok.ai/access-keys \\\n"
    '  -H "Authorization: Bearer $AI_GATEWAY_API_KEY" \\\n  -H "Content-Type: application/json" \\\n'
    '  -d \'{ "name": "shop" }\'',
    "delete access key": "curl -X DELETE https://api.ngrok.ai/access-keys/aigk_xxxxx \\\n"
    '  -H "Authorization: Bearer $AI_GATEWAY_API_KEY"',
    "chat by curl": "curl https://your-gateway.ngrok.app/v1/chat/completions \\\n"
    '-H "Content-Type: application/json" \\\n'
    f'-H "Authorization: Bearer {ACCESS_TOKEN}" \\\n'
    '-d \'{\n"model": "gpt-4o",\n"messages": [{"role": "user", "content": "Good morning"}]\n}\'',
    "chat by Python": "from openai import OpenAI\n\nmodels = OpenAI(\n"
    '    base_url="https://your-ai-gateway.ngrok.app/v1",\n    api_key="ng-xxxxx-g1-xxxxx"\n)\n\n'
    'answer = models.chat.completions.create(\n    model="gpt-4o",\n'
    '    messages=[{"role": "user", "content": "Good morning"}]\n)\n',
    "chat by Python, gateway host": "from openai import OpenAI\n\nmodels = OpenAI(\n"
    '    base_url="https://gateway.ngrok.ai/v1",\n    api_key="ng-xxxxx-g1-xxxxx"\n)\n\n'
    'models.chat.completions.create(\n    model="gpt-4o",\n    messages=[{"role": "user", "content": "Hi"}]\n)\n',
    "chat by JavaScript": "import OpenAI from 'openai';\nconst models = new OpenAI({\n"
    f'baseURL: "https://your-gateway.ngrok.app/v1",\napiKey: "{ACCESS_TOKEN}"\n}});\n'
    "const answer = await models.chat.completions.create({\n"
    'model: "gpt-4o",\nmessages: [{ role: "user", content: "Good morning" }]\n});',
}

_COMMAND: Final = re.compile(r"^ngrok api (?:.*\\\n)*.*$", re.MULTILINE)
_REQUEST: Final = re.compile(r"^(?:DELETE|GET|POST|PATCH) /\S+$", re.MULTILINE)
_CURL: Final = re.compile(r"(?<!\w)curl (?=-X|https:)")
_PYTHON: Final = re.compile(r"^from openai import OpenAI$", re.MULTILINE)
_SCRIPT: Final = re.compile(r"import OpenAI from 'openai';.*?completions\.create\(.*?\n\}\);", re.DOTALL)


def snippets(text: str) -> Iterator[str]:
    """Everything in a document that can be run."""
    for pattern in (_COMMAND, _REQUEST, _SCRIPT):
        yield from pattern.findall(text)
    for found in _CURL.finditer(text):
        yield _shell_command(text[found.start() :])
    for found in _PYTHON.finditer(text):
        yield _python_code(text[found.start() :])


def _shell_command(text: str) -> str:
    """As far as quotes are open or a backslash ends the line."""
    taken = ""
    for line in text.splitlines():
        taken += line + "\n"
        if taken.count("'") % 2 == 0 and not line.endswith("\\"):
            break
    return taken.rstrip()


def _python_code(text: str) -> str:
    """The longest run of lines that is a program."""
    lines = text.splitlines()[:60]
    for count in range(len(lines), 0, -1):
        code = "\n".join(lines[:count])
        try:
            ast.parse(code)
        except SyntaxError:
            continue
        return code
    raise AssertionError("no Python here")


def shape(snippet: str) -> tuple[str, ...]:
    """What makes two snippets the same: program, verbs, flags, hosts, paths; not names, texts and ids."""
    if _PYTHON.match(snippet):
        return ("python", *re.findall(r"https://[^\"]+", snippet))
    if _SCRIPT.match(snippet):
        return ("javascript", *re.findall(r"https://[^\"]+", snippet))
    words = shlex.split(snippet.replace("\\\n", " "))
    return tuple(
        word for word in words if word.startswith(("-", "http", "/")) or re.fullmatch(r"[a-z][a-z-]+|[A-Z]+", word)
    )


@dataclass
class Outcome:
    """What a snippet left behind."""

    status: int
    out: str
    err: str


@dataclass
class World:
    """A running gateway with two endpoints: one open to gateway keys, one behind a secret of the store."""

    provider: DemoProvider
    folder: Path
    hosts: dict[str, str]
    session: aiohttp.ClientSession
    token: str
    endpoint_id: str = ""
    node_modules: str = ""
    #: the vault that was made last
    vault_id: str = ""

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, path, json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.status != 204 else None

    async def filled(self, snippet: str) -> str:
        """With ids of things that exist, and real hosts and keys."""
        made: list[tuple[str, str, dict[str, Any], str]] = [
            ("aigk_xxxxx", "/access-keys", {}, "id"),
            ("<id>", "/ai_gateway_api_keys", {"endpoint_id": self.endpoint_id}, "id"),
            ("{id}", "/ai_gateway_api_keys", {"endpoint_id": self.endpoint_id}, "id"),
            ("ng-xxxxx-g1-xxxxx", "/access-keys", {}, "token"),
        ]
        for placeholder, path, body, member in made:
            if placeholder in snippet:
                snippet = snippet.replace(placeholder, (await self.api("POST", path, body))[member])
        for host, url in self.hosts.items():
            snippet = snippet.replace(host, url)
        snippet = snippet.replace("vault_xxxxxxxxxxxxx", self.vault_id)
        return snippet.replace("ep_xxxxx", self.endpoint_id).replace("ngrok api", "gateway api")

    async def run(self, snippet: str) -> Outcome:
        """Runs one snippet as what it is."""
        text = await self.filled(snippet)
        if _REQUEST.match(text):
            method, path = text.split()
            async with self.session.request(method, path) as answer:  # only an authorization header (CP-143)
                return Outcome(0 if answer.status < 300 else 1, await answer.text(), "")
        if _PYTHON.match(text):
            return await self._execute(sys.executable, "-c", text)
        if _SCRIPT.match(text):
            file = Path(self.node_modules) / "snippet.mjs"
            await asyncio.to_thread(file.write_text, text)
            return await self._execute(program("node", "nodejs"), str(file))
        if text.startswith("curl"):
            text = text.replace("curl ", "curl -sS --fail-with-body ", 1)
        return await self._execute(program("bash", "bash"), "-c", text)

    async def _execute(self, *command: str) -> Outcome:
        programs = f"{Path(sys.executable).parent}:{environment()['PATH']}"
        settings = {
            "GATEWAY_API_URL": str(self.session._base_url),
            "GATEWAY_API_KEY": self.token,
            "AI_GATEWAY_API_KEY": self.token,
            "PATH": programs,
        }
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=environment(**settings), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(_LIMIT_S):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Outcome(process.returncode, out.decode(), err.decode())


def _configuration(base_url: str) -> str:
    action = {
        "type": "ai-gateway",
        "config": {"providers": [{"id": "openai", "base_url": base_url, "api_keys": [{"value": PROVIDER_KEY}]}]},
    }
    refusal = {
        "type": "custom-response",
        "config": {"status_code": 401, "headers": {"content-type": "application/json"}, "body": "{}"},
    }
    condition = "req.headers['authorization'][0] != 'Bearer ' + secrets.get('gateway-auth', 'access-token')"
    guarded = [{"expressions": [condition], "actions": [refusal]}, {"actions": [action]}]
    endpoints = [
        {
            "name": "keys",
            "listen": "127.0.0.1:0",
            "gateway_keys": "required",
            "traffic_policy": {"on_http_request": [{"actions": [action]}]},
        },
        {"name": "guarded", "listen": "127.0.0.1:0", "traffic_policy": {"on_http_request": guarded}},
    ]
    return json.dumps({"endpoints": endpoints, "ai": {"allow_http_hosts": ["127.0.0.1"]}})


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Demo provider, gateway and an admin key."""
    async with DemoProvider() as provider:
        config = folder / "gateway.json"
        await asyncio.to_thread(config.write_text, _configuration(provider.base_url))
        async with serving(folder, "--config", str(config), "--log-format", "text") as gateway:
            urls = [(await gateway.line(rf"listening on (\S+) \(endpoint {name}\)"))[1] for name in ("keys", "guarded")]
            admin = "http://" + (await gateway.line(r"management listens on (\S+)"))[1]
            token = (await asyncio.to_thread((folder / "data" / "admin-token").read_text)).strip()
            hosts = {
                "https://api.ngrok.ai": admin,
                "https://your-ai-gateway.ngrok.app": urls[0],
                "https://gateway.ngrok.ai": urls[0],
                "https://your-gateway.ngrok.app": urls[1],
            }
            headers = {"authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession(admin, headers=headers) as session:
                found = World(provider, folder, hosts, session, token)
                listed = (await found.api("GET", "/endpoints"))["endpoints"]
                found.endpoint_id = next(entry["id"] for entry in listed if entry["url"] == urls[0])
                yield found


def documented() -> list[str]:
    """Every snippet of the documents, once."""
    texts = [path.read_text() for path in sorted(DOCUMENTS.glob("*.txt"))]
    return list(dict.fromkeys(found for text in texts for found in snippets(text)))


def test_the_table_leaves_nothing_out() -> None:
    """Every snippet of the documents has its like in the table; a clone without them compares the table with itself."""
    found = documented() or list(TABLE.values())
    ours = {shape(snippet) for snippet in TABLE.values()}
    assert {shape(snippet) for snippet in found} <= ours
    assert len(ours) == len(TABLE)


@pytest.mark.timeout(INSTALL_S + 60)
@pytest.mark.parametrize("source", ["table", *(["documents"] if DOCUMENTS.is_dir() else [])])
async def test_done_1_snippets_work_as_written(tmp_path: Path, request: pytest.FixtureRequest, source: str) -> None:
    """With program name, host, ids and keys replaced, every one succeeds and does what it is for."""
    found = list(TABLE.values()) if source == "table" else documented()
    assert len(found) >= 10
    assert request.config.cache is not None
    async with world(tmp_path) as running:
        running.node_modules = await installed(request.config.cache.mkdir("node-sdk"))
        for snippet in found:
            asked = running.provider.stats.requests
            outcome = await running.run(snippet)
            assert outcome.status == 0, (snippet, outcome)
            if "completions" in snippet:
                assert running.provider.stats.requests == asked + 1, snippet
                assert running.provider.last.key == PROVIDER_KEY
                assert "ng-" not in str(running.provider.last.request.headers)
            elif " create" in snippet or "POST" in snippet:
                made = json.loads(outcome.out)["id"]
                running.vault_id = made if made.startswith("vault_") else running.vault_id
            else:  # deletions
                assert outcome.out == ""
