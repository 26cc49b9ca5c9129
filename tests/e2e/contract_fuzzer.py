"""schemathesis against a running ``gateway serve`` and the documented management API (CP-140, CP-141).

    python -m tests.e2e.contract_fuzzer --seconds 600

Two rounds, half of the time each. *documented*: the contract as it is, valid and invalid input; valid input may only be
refused with a code that CP-141 names (``contract_rules``). *narrowed*: the contract without everything that CP-141
excludes, so that what remains has to be accepted; there ids are those of resources that exist.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.e2e.serving_process import environment, serving

CONTRACT: Final = Path(__file__).parent / "management_contract.json"
_RULES: Final = "tests.e2e.contract_rules"
_ROOT: Final = Path(__file__).parents[2]
#: beyond ``--max-time``: reading the contract, shrinking what failed
_GRACE_S: Final = 90.0

_ACCEPTED: Final[dict[str, dict[str, Any]]] = {
    "AIGatewayProviderCreate": {
        "providerId": {"type": "string", "pattern": "^own-[a-z0-9]{8,20}$"},
        "baseUrl": {"type": "string", "enum": ["https://host.example/v1", "https://other.example:8443"]},
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "AIGatewayProviderUpdate": {
        "baseUrl": {"type": "string", "enum": ["https://host.example/v2"]},
    },
    "SupportedAPISurface": {
        "format": {"type": "string", "enum": ["openai"]},
        "surface": {"type": "string", "enum": ["chat-completions", "responses"]},
        "supportedParams": {
            "type": "array",
            "maxItems": 1,
            "items": {"$ref": "#/components/schemas/SupportedAPISurfaceParam"},
        },
    },
    "SupportedAPISurfaceParam": {"name": {"type": "string", "pattern": "^[a-z_]{1,40}$"}},
    "AIGatewayProviderAPIKeyCreate": {
        "providerId": {"type": "string", "enum": ["openai", "anthropic"]},
        "value": {"type": "string", "pattern": "^[!-~]{1,64}$"},
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "AIGatewayProviderAPIKeyRotate": {
        "value": {"type": "string", "pattern": "^[!-~]{1,64}$"},
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "AIGatewayAccessKeyConfigurationCreate": {"name": {"type": "string", "minLength": 1, "maxLength": 255}},
    "RouterWrite": {
        "rules": {"type": "array", "maxItems": 1, "items": {"$ref": "#/components/schemas/RouterRuleWrite"}},
    },
    "RouterRuleWrite": {
        "provider": {"type": "string", "enum": ["openai", "Anthropic"]},
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": 20,
            "items": {"$ref": "#/components/schemas/RouterStepWrite"},
        },
    },
    "RouterStepWrite": {"type": {"type": "string", "enum": ["ngrok"]}},
    "AIGatewayConfigUpdate": {
        "maxInputTokens": {"type": "integer", "minimum": 1, "maximum": 500_000, "nullable": True},
        "maxOutputTokens": {"type": "integer", "minimum": 1, "maximum": 500_000, "nullable": True},
        "perRequestTimeout": {"type": "string", "enum": ["1s", "1m30s", "24h"]},
        "totalTimeout": {"type": "string", "enum": ["500ms", "2h"]},
    },
}
_TAKEN_OUT: Final = {
    "AIGatewayAccessKeyCreate": ("accessKeyConfigurationId",),
    "AIGatewayAccessKeyUpdate": ("accessKeyConfigurationId",),
    "RouterRuleWrite": ("model",),
    "RouterStepWrite": ("keys", "keySelectionStrategy"),
}
_ONE_MODEL: Final = {
    "type": "array",
    "maxItems": 1,
    "items": {"$ref": "#/components/schemas/AIGatewayProviderModelCreate"},
}
_NOT_IN_QUERIES: Final = frozenset({"cursor", "endTime", "provider"})
#: parameter of the path → what to make for it; the narrowed round changes and reads these and deletes none
_RESOURCES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "AIGatewayAPIKeyID": ("/api-keys", {}),
    "AIGatewayAccessKeyConfigurationID": ("/access-key-configurations", {"name": "n"}),
    "AIGatewayAccessKeyID": ("/access-keys", {}),
    "AIGatewayProviderAPIKeyID": ("/provider-keys", {"providerId": "openai", "name": "n", "value": "v"}),
    "AIGatewayProviderID": ("/providers", {"name": "n", "baseUrl": "https://host.example"}),
}
_OF_EACH: Final = 3


def narrowed(contract: dict[str, Any], ids: Mapping[str, Sequence[str]] = {}) -> dict[str, Any]:
    """The contract without the valid input that is refused all the same (CP-141); ``ids`` by parameter exist."""
    found: dict[str, Any] = json.loads(json.dumps(contract))
    schemas = found["components"]["schemas"]
    for name, members in _ACCEPTED.items():
        schemas[name]["properties"].update(members)
    for name, gone in _TAKEN_OUT.items():
        for member in gone:
            del schemas[name]["properties"][member]
    schemas["RouterRuleWrite"]["required"] = ["provider", "steps"]
    for name in ("AIGatewayProviderCreate", "AIGatewayProviderUpdate"):
        schemas[name]["properties"]["models"] = _ONE_MODEL
    for path in ("/usage", "/usage/overview", "/provider-keys"):
        operation = found["paths"][path]["get"]
        operation["parameters"] = [
            parameter for parameter in operation["parameters"] if parameter.get("name") not in _NOT_IN_QUERIES
        ]
    del found["paths"]["/credits/checkout-session"]
    for name, known in ids.items():
        found["components"]["parameters"][name]["schema"] = {"type": "string", "enum": list(known)}
    for operations in found["paths"].values():
        operations.pop("delete", None)
    return found


async def _made(url: str, token: str) -> dict[str, list[str]]:
    """A few resources of each kind, by the parameter that names them."""
    found: dict[str, list[str]] = {}
    async with aiohttp.ClientSession(url, headers={"authorization": f"Bearer {token}"}) as session:
        for parameter, (path, body) in _RESOURCES.items():
            for number in range(_OF_EACH):
                given = {**body, **({"providerId": f"made-{number}"} if path == "/providers" else {})}
                async with session.post(path, json=given) as answer:
                    found.setdefault(parameter, []).append((await answer.json())["id"])
    return found


@dataclass(frozen=True, slots=True)
class Round:
    """What schemathesis found in one round."""

    name: str
    failed: bool
    report: str


async def fuzz(folder: Path, seconds: float, *, seed: int | None = None) -> list[Round]:
    """Both rounds against one fresh process, which must be well at the end."""
    config = folder / "gateway.json"
    settings = {
        "endpoints": [{"name": "default", "listen": "127.0.0.1:0"}],
        "admin": {"auth_failures_per_minute": 0},
    }
    contract = json.loads(CONTRACT.read_text())
    await asyncio.to_thread(config.write_text, json.dumps(settings))
    async with serving(folder, "--config", str(config), "--log-format", "json") as gateway:
        address = (await gateway.line(r"management listens on ([\d.:]+)"))[1]
        token = (await asyncio.to_thread((folder / "data" / "admin-token").read_text)).strip()
        url = f"http://{address}"
        documents = {"documented": contract, "narrowed": narrowed(contract, await _made(url, token))}
        rounds = []
        for name, document in documents.items():
            file = folder / f"{name}.json"
            await asyncio.to_thread(file.write_text, json.dumps(document))
            arguments = _arguments(name, file, url, token, seconds / len(documents), seed)
            rounds.append(await _round(folder, name, arguments, seconds))
        faults = [line for line in gateway.lines if "internal error" in line or "Traceback" in line]
        rounds.append(Round("log", bool(faults), "\n".join(faults[:20])))
    return rounds


def _arguments(name: str, file: Path, url: str, token: str, seconds: float, seed: int | None) -> list[str]:
    modes = {
        # which valid input may be refused is the business of the rule of our own
        "documented": ["--exclude-checks", "positive_data_acceptance"],
        "narrowed": ["--mode", "positive"],
    }
    return [
        "run", str(file), "--url", url, "--header", f"Authorization: Bearer {token}", "--max-time", str(int(seconds)),
        "--max-examples", "5" if seconds < 60 else "60", "--continue-on-failure", "--generation-database", "none",
        "--no-color", "--warnings", "off", *modes[name], *(["--seed", str(seed)] if seed is not None else []),
    ]  # fmt: skip


async def _round(folder: Path, name: str, arguments: list[str], seconds: float) -> Round:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", *arguments, cwd=folder,
        env=environment(SCHEMATHESIS_HOOKS=_RULES, PYTHONPATH=str(_ROOT)),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds + _GRACE_S):
            written, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return Round(name, process.returncode != 0, written.decode())


def main() -> int:
    """The long run by hand; 1 if anything was found."""
    parser = argparse.ArgumentParser(description="Fuzzes the management API of a process of its own.")
    parser.add_argument("--seconds", type=float, default=600.0, help="for both rounds together (default: 600)")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run (default: random)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds = asyncio.run(fuzz(Path(folder), options.seconds, seed=options.seed))
    for found in rounds:
        print(f"==== {found.name}: {'FAILED' if found.failed else 'ok'}\n{found.report}")
    return int(any(found.failed for found in rounds))


if __name__ == "__main__":
    sys.exit(main())
