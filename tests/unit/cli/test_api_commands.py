"""``gateway api``, against a running management listener (CP-80 to CP-88)."""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import shlex
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.cli import api_commands, api_table, client, usage_export
from gateway.cli.render import TOKEN_NOTE
from gateway.settings.environment import Environment
from tests.control_plane import running
from tests.unit.control.resources.test_usage import event


def parser():
    found = argparse.ArgumentParser(prog="gateway")
    api_commands.add_api_commands(found.add_subparsers(required=True))
    return found


@dataclass
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """Runs commands off the event loop, as a process of their own would."""

    def __init__(self, api, capsys, monkeypatch):
        self.api = api
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    async def __call__(self, *words, stdin="", access=True):
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        more = ["--api-url", self.api.base, f"--api-key={self.api.token}"] if access else []

        def run():
            options = parser().parse_args(["api", *words, *more])
            return options.command(options)

        status = await asyncio.to_thread(run)
        captured = self._capsys.readouterr()
        return Result(status, captured.out, captured.err)

    async def line(self, text, **options):
        """A command as it would be typed."""
        return await self(*shlex.split(text), **options)


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "state") as found:
        yield found


@pytest.fixture
def gateway(api, capsys, monkeypatch):
    for name in ("GATEWAY_API_KEY", "NGROK_API_KEY", "GATEWAY_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return Command(api, capsys, monkeypatch)


async def test_cp_80_the_documented_walk_through(gateway):
    """The commands of the guides, after replacing the program's name."""
    vault = await gateway("vaults", "create", "--name", "gateway-auth")
    assert vault.status == 0
    secret = await gateway(
        "secrets", "create", "--name", "access-token", "--value", "t-1", "--vault-id", vault.json["id"]
    )
    assert secret.json["vault_name"] == "gateway-auth"
    assert gateway.api.data_plane.view.secrets.get("gateway-auth", "access-token") == "t-1"
    key = await gateway(
        "ai-gateway-api-keys", "create", "--endpoint-id", "ep_one", "--description", "Production web app"
    )
    listed = await gateway("ai-gateway-api-keys", "list")
    assert [found["id"] for found in listed.json["ai_gateway_api_keys"]] == [key.json["id"]]
    gone = await gateway("ai-gateway-api-keys", "delete", key.json["id"])
    assert (gone.status, gone.out, gone.err) == (0, "", "")


async def test_cp_84_output_is_the_answer_indented_and_a_note_about_tokens(gateway):
    made = await gateway("access-keys", "create", "--name", "é")
    assert made.out == json.dumps(made.json, indent=2, ensure_ascii=False) + "\n"
    assert "token" in made.json
    assert made.err == f"{TOKEN_NOTE}\n"
    shown = await gateway("access-keys", "get", made.json["id"])
    assert ("token" in shown.json, shown.err) == (False, "")


async def test_cp_85_exit_statuses(gateway, api):
    refused = await gateway("ai-gateway-api-keys", "create")
    assert (refused.status, refused.out) == (1, "")
    assert json.loads(refused.err)["error_code"] == "ERR_NGROK_27006", "CP-88: the API says so, not this program"
    other = ["--api-url", api.base, "--api-key", "ng-x-a1-" + "y" * 43]
    assert (await gateway("vaults", "list", *other, access=False)).status == 4
    gone = ["--api-url", "http://127.0.0.1:1", "--api-key", "x"]
    assert (await gateway("vaults", "list", *gone, access=False)).status == 3
    assert (await gateway("vaults", "list", "--api-url", "nonsense", "--api-key", "x", access=False)).status == 3
    assert (await gateway("gateway-config", "update", "--max-input-tokens", "many")).status == 2
    with pytest.raises(SystemExit) as caught:
        await gateway("vaults", "list", "--no-such-flag")
    assert caught.value.code == 2


async def test_cp_86_values_from_standard_input_and_files(gateway, tmp_path):
    create = ("provider-keys", "create", "--provider-id", "openai", "--name", "k")
    path = tmp_path / "value"
    path.write_text("from-file\n")
    for words, stdin in (
        (("--value", "-"), "from-stdin\n"),
        (("--value-file", "-"), "again\n"),
        (("--value-file", str(path)), ""),
    ):
        assert (await gateway(*create, *words, stdin=stdin)).status == 0
    values = [key.value.reveal() for key in gateway.api.data_plane.view.provider_keys.account("openai")]
    assert values == ["from-file", "again", "from-stdin"]
    assert (await gateway(*create, "--value", "a", "--value-file", "b")).status == 2
    assert (await gateway(*create, "--value-file", str(tmp_path / "no"))).status == 2
    actions = await asyncio.to_thread(_leaf, "provider-keys", "create")
    help_text = next(action.help for action in actions if action.dest == "value")
    assert "other local users" in help_text


async def test_cp_87_an_explicit_empty_text_is_sent(gateway):
    made = (await gateway("access-keys", "create", "--name=n", "--metadata", "{}")).json
    assert made["metadata"] == "{}"
    assert "description" not in made
    assert (await gateway("access-keys", "update", made["id"], "--name", "")).json["name"] == ""
    cleared = (await gateway("access-keys", "update", made["id"], "--clear", "name", "--clear", "metadata")).json
    assert not {"name", "metadata"} & cleared.keys()
    assert (await gateway("access-keys", "update", made["id"], "--clear", "colour")).status == 2


async def test_tp_624_a_key_value_secret_makes_its_vault(gateway):
    for number in range(2):
        made = await gateway(
            "secrets", "create", "--name", f"openai{number or ''}", "--secret-data", '{"key-one": "sk-1"}'
        )
        assert made.status == 0, made.err
    assert gateway.api.data_plane.view.secrets.get("openai", "openai") == '{"key-one": "sk-1"}'
    again = await gateway(
        "secrets", "create", "--name", "more", "--vault-name", "openai", "--secret-data", '{"a": "b"}'
    )
    assert again.json["vault_name"] == "openai"
    assert (await gateway("secrets", "create", "--name", "x", "--secret-data", "{no")).status == 2
    assert (await gateway("secrets", "create", "--name", "a b", "--secret-data", "{}")).status == 1


async def test_keys_attached_on_creation_and_rotation(gateway):
    entries = ['{"provider_id": "openai", "value": "a"}', '[{"provider_id": "openai", "value": "b"}]']
    words = [word for entry in entries for word in ("--provider-keys", entry)]
    made = await gateway("ai-gateway-api-keys", "create", "--endpoint-id", "ep_one", *words)
    assert len(made.json["provider_keys"]) == 2
    owner = ("--ai-gateway-api-key-id", made.json["id"])
    attached = await gateway("ai-gateway-provider-keys", "create", *owner, "--provider-id", "anthropic", "--value", "c")
    assert attached.json["provider_id"] == "anthropic"
    rotated = await gateway("provider-keys", "rotate", attached.json["id"], "--name", "n", "--value", "d")
    assert rotated.json["name"] == "n"
    listed = await gateway(
        "ai-gateway-provider-keys", "list", "--ai-gateway-api-key-id", made.json["id"], "--limit", "1"
    )
    assert len(listed.json["ai_gateway_provider_keys"]) == 1


async def test_configurations_from_flags_and_files(gateway, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: from file\naccess: {models: {allow: ['openai:gpt-4o']}}\n")
    made = await gateway("access-key-configurations", "create", "--file", str(path), "--name", "from flag")
    assert (made.json["name"], made.json["access"]) == ("from flag", {"models": {"allow": ["openai:gpt-4o"]}})
    router = '{"rules": [{"provider": "openai", "steps": [{"type": "ngrok"}]}]}'
    words = ("--router", router, "--clear", "access")
    changed = await gateway("access-key-configurations", "update", made.json["id"], *words)
    assert changed.json["router"]["rules"][0]["provider"] == "openai"
    assert "access" not in changed.json
    linked = await gateway("access-keys", "create", "--configuration-id", made.json["id"])
    assert linked.json["accessKeyConfiguration"]["id"] == made.json["id"]
    path.write_text("- no object")
    assert (await gateway("access-key-configurations", "create", "--file", str(path))).status == 2


async def test_providers_budgets_usage_and_the_rest(gateway):
    made = await gateway(
        "providers", "create", "--provider-id", "vllm", "--name", "n", "--base-url", "http://vllm:8000", "--model", "a",
        "--model", "b", "--surface", "openai/responses", "--surface", "anthropic",
    )  # fmt: skip
    assert [model["modelId"] for model in made.json["models"]] == ["a", "b"]
    assert made.json["supportedApiSurfaces"] == [{"format": "openai", "surface": "responses"}, {"format": "anthropic"}]
    cleared = await gateway("providers", "update", made.json["id"], "--clear", "model")
    assert cleared.json["models"] == []
    budget = await gateway.line("budgets create --scope account --period day --limit-tokens 5 --enabled false")
    assert (budget.json["limitTokens"], budget.json["enabled"]) == (5, False)
    assert (await gateway("budgets", "update", budget.json["id"], "--enabled", "maybe")).status == 2
    config = await gateway("gateway-config", "update", "--total-timeout", "90s", "--max-input-tokens", "7")
    assert (config.json["totalTimeout"], config.json["maxInputTokens"]) == ("90s", 7)
    assert (await gateway("gateway-config", "update", "--clear", "max-input-tokens")).json["maxInputTokens"] is None
    usage = ("--start-time", "1970-01-01T00:00:00Z")
    assert (await gateway("usage", "list", *usage, "--include-retries", "true")).json["aiGatewayUsage"] == []
    assert (await gateway("usage", "overview", *usage, "--group-by", "accessKey")).json["buckets"] == []
    assert (await gateway("endpoints", "get", "ep_two")).json["gateway_keys"] == "required"
    vault = (await gateway("vaults", "create", "--name", "v")).json["id"]
    assert (await gateway("vaults", "get-secrets-by-vault", vault, "--filter", "obj.name == 'x'")).json["secrets"] == []


async def test_usage_export(api, gateway):
    """All pages, whole windows; names that a spreadsheet would run are quoted."""
    for number in range(250):
        api.plane.usage.put(event(1_000 + number, attempt=number + 1, is_final=number % 2 == 0, model="=cmd()"))
    await api.upkeep.flush()
    start = ("--start-time", "1970-01-01T00:00:00Z")
    exported = await gateway("usage", "export", *start, "--include-retries", "true")
    rows = list(csv.DictReader(io.StringIO(exported.out)))
    assert (exported.status, [int(row["attemptNumber"]) for row in rows]) == (0, list(range(250, 0, -1)))
    assert tuple(rows[0]) == usage_export.COLUMNS
    assert (rows[0]["model"], rows[0]["isFinalAttempt"]) == ("'=cmd()", "false")
    lines = (await gateway("usage", "export", *start, "--format", "jsonl")).out.splitlines()
    first = json.loads(lines[0])
    assert (len(lines), first["model"], first["isFinalAttempt"]) == (125, "=cmd()", True)
    assert set(first) | {"providerKeyId", "providerKeyDisplayName"} == set(usage_export.COLUMNS)
    refused = await gateway("usage", "export", "--start-time", "yesterday")
    assert (refused.status, refused.out, json.loads(refused.err)["errorCode"]) == (1, "", "ERR_NGROK_241")
    empty = await gateway("usage", "export", "--start-time", "2100-01-01T00:00:00Z")
    assert empty.out == ",".join(usage_export.COLUMNS) + "\n"


async def test_cp_82_the_log(gateway, tmp_path):
    path = tmp_path / "log"
    await gateway("vaults", "list", "--log", str(path), "--log-format", "json", "--log-level", "debug")
    record = json.loads(path.read_text())
    assert (record["method"], record["path"], record["status"]) == ("GET", "/vaults", 200)
    assert "msg=" in (await gateway("vaults", "list", "--log", "stderr", "--log-format=logfmt")).err
    assert (await gateway("vaults", "list", "--log", "stderr", "--log-level", "error")).err == ""
    assert gateway.api.token not in path.read_text()


def options(**more):
    return argparse.Namespace(**{"api_key": None, "api_url": None, "config": None, "data_dir": None, **more})


def test_cp_83_the_order_of_sources(tmp_path):
    one, two = tmp_path / "1.yaml", tmp_path / "2.yaml"
    one.write_text("version: 3\nagent: {api_key: from-agent}\napi_url: http://one\n")
    two.write_text("api_url: http://two/\n")
    state = tmp_path / "state"
    state.mkdir()
    (state / "admin-token").write_text("from-bootstrap\n")
    environment = {"STATE_DIRECTORY": str(state)}
    steps: list[tuple[Any, dict[str, str], str, str]] = [
        ({}, {}, "from-bootstrap", client.DEFAULT_URL),
        ({"config": [str(one)]}, {}, "from-agent", "http://one"),
        ({"config": [str(one), str(two)]}, {"NGROK_API_KEY": "from-ngrok"}, "from-ngrok", "http://two"),
        ({"config": [str(one)]}, {"GATEWAY_API_KEY": "from-own", "NGROK_API_KEY": "n"}, "from-own", "http://one"),
        (
            {"api_key": "from-flag"},
            {"GATEWAY_API_KEY": "g", "GATEWAY_API_URL": "http://env"},
            "from-flag",
            "http://env",
        ),
        ({"api_url": "unix:/run/x"}, {"GATEWAY_API_URL": "http://env"}, "from-bootstrap", "unix:/run/x"),
    ]
    for given, more, key, url in steps:
        access = client.find_access(options(**given), Environment({**environment, **more}))
        assert (access.key, access.url) == (key, url)
    assert "secret" not in repr(client.Access("http://h", "secret"))


def test_cp_83_without_any_key_it_says_so(tmp_path):
    empty = Environment({"STATE_DIRECTORY": str(tmp_path)})
    with pytest.raises(client.AccessError, match="GATEWAY_API_KEY"):
        client.find_access(options(), empty)
    with pytest.raises(client.AccessError, match="cannot read"):
        client.find_access(options(config=[str(tmp_path / "no.yaml")]), empty)
    with pytest.raises(client.AccessError, match="characters"):
        client.find_access(options(api_key="a\r\nb"), empty)


def _leaf(resource, verb):
    def below(found, name):
        return next(action for action in found._actions if isinstance(action, argparse._SubParsersAction)).choices[name]

    return below(below(below(parser(), "api"), resource), verb)._actions


def test_cp_80_commands_and_flags_are_the_documented_ones():
    commands = {resource.name: [verb.name for verb in resource.verbs] for resource in api_table.RESOURCES}
    full = {"create", "list", "get", "update", "delete"}
    assert set(commands) == {
        "ai-gateway-api-keys", "ai-gateway-provider-keys", "vaults", "secrets", "access-keys",
        "access-key-configurations", "api-keys", "provider-keys", "providers", "gateway-config", "usage", "budgets",
        "endpoints",
    }  # fmt: skip
    for name, verbs in commands.items():
        if name not in ("gateway-config", "usage", "endpoints"):
            assert full <= set(verbs), name
    create = {action.dest for action in _leaf("ai-gateway-provider-keys", "create")}
    assert {"ai_gateway_api_key_id", "provider_id", "value", "value_file", "description", "metadata"} <= create
    assert not {"value", "value_file"} & {action.dest for action in _leaf("ai-gateway-provider-keys", "update")}
    assert {"value", "value_file", "name"} <= {action.dest for action in _leaf("secrets", "update")}
    common = {"api_key", "api_url", "config", "log", "log_format", "log_level"}
    assert common <= {action.dest for action in _leaf("usage", "overview")}


async def test_an_address_that_is_no_management_api(gateway):
    async def other(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await gateway("vaults", "list", "--api-url", url, "--api-key", "k", access=False)
    assert (found.status, found.out) == (3, "")
    assert "is this the management API?" in found.err
