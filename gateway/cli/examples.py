"""An example for every command, shown at the end of its help. Tests parse each of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

_IDS: Final = {
    "ai-gateway-api-keys": "aigk_1", "access-keys": "aigk_1", "ai-gateway-provider-keys": "aigpk_1",
    "provider-keys": "aigpk_1", "vaults": "vault_1", "secrets": "secret_1", "access-key-configurations": "aigac_1",
    "api-keys": "aigak_1", "providers": "aigp_1", "budgets": "aigb_1", "endpoints": "ep_1",
}  # fmt: skip

#: what follows the command; ``{id}`` is an id of the resource's kind
_EXAMPLES: Final[dict[str, str]] = {
    "serve": "--policy policy.yaml --listen 127.0.0.1:8080 --watch",
    "demo": "--listen 127.0.0.1:0",
    "version": "",
    "top": "",
    "completion": "bash > /etc/bash_completion.d/gateway",
    "policy check": "policy.yaml",
    "policy explain": "policy.yaml --request request.http",
    "policy test": "policies/*.yaml --only 'no key'",
    "policy schema": "> policy.schema.json",
    "api ai-gateway-api-keys create": "--endpoint-id ep_1 --description 'Production web app'",
    "api ai-gateway-api-keys update": "{id} --description 'Old web app'",
    "api ai-gateway-provider-keys create": "--ai-gateway-api-key-id aigk_1 --provider-id openai --value-file key.txt",
    "api ai-gateway-provider-keys list": "--ai-gateway-api-key-id aigk_1",
    "api ai-gateway-provider-keys update": "{id} --description 'second project'",
    "api vaults create": "--name openai",
    "api vaults list": "--filter 'obj.name == \"openai\"'",
    "api vaults update": "{id} --description 'keys of OpenAI'",
    "api vaults get-secrets-by-vault": "{id} --limit 10",
    "api secrets create": "--vault-name openai --name api-key --value-file -",
    "api secrets update": "{id} --value-file new-key.txt",
    "api access-keys create": "--name 'web app' --configuration-id aigac_1",
    "api access-keys update": "{id} --clear configuration-id",
    "api access-key-configurations create": "--name 'small models' --file configuration.yaml",
    "api access-key-configurations update": """{id} --access '{"models": {"allow": ["openai:gpt-4o-mini"]}}'""",
    "api api-keys create": "--name 'continuous integration'",
    "api api-keys update": "{id} --name 'build server'",
    "api provider-keys create": "--provider-id openai --name main --value-file key.txt",
    "api provider-keys list": "--provider openai",
    "api provider-keys update": "{id} --description 'paid by research'",
    "api provider-keys rotate": "{id} --name main --value-file new-key.txt",
    "api providers create": "--provider-id local --name 'Local models' --base-url https://models.example --model llama",
    "api providers update": "{id} --model llama --model mistral",
    "api gateway-config get": "",
    "api gateway-config update": "--total-timeout 90s --clear max-input-tokens",
    "api usage list": "--start-time 2026-01-01T00:00:00Z --limit 20",
    "api usage export": "--start-time 2026-01-01T00:00:00Z --format csv > usage.csv",
    "api usage overview": "--start-time 2026-01-01T00:00:00Z --group-by accessKey",
    "api budgets create": "--scope accessKey --access-key-id aigk_1 --period month --limit-usd 25",
    "api budgets update": "{id} --limit-usd 50",
    "admin reset-key": "",
    "admin rotate-master-key": "--data-dir /var/lib/gateway",
    "admin backup": "/backup/gateway-monday",
    "admin restore": "/backup/gateway-monday",
    "admin audit verify": "--data-dir /var/lib/gateway",
}
#: for commands that every resource has
_VERBS: Final = {"list": "--limit 10", "get": "{id}", "delete": "{id}"}


def example(words: tuple[str, ...]) -> str | None:
    """``gateway api vaults get vault_1``; None if there is none for the command."""
    name = " ".join(words)
    rest = _EXAMPLES.get(name)
    if rest is None and words[0] == "api":
        rest = _VERBS.get(words[-1])
    if rest is None:
        return None
    # not ``format``: some examples are JSON
    text = rest.replace("{id}", _IDS.get(words[1], "ID") if len(words) > 1 else "ID")
    return f"gateway {name} {text}".rstrip()


def add_examples(parser: argparse.ArgumentParser) -> None:
    """Puts the examples under the help of every command."""
    for words, command in leaves(parser):
        text = example(words)
        if text is not None:
            command.epilog = f"example:\n  {text}"
            command.formatter_class = _Formatter


class _Formatter(argparse.HelpFormatter):
    """Wraps everything but the example."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("example:\n") else super()._fill_text(text, width, indent)


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every command that runs something, with its words."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield words, parser
    for group in groups:
        for name, child in group.choices.items():
            yield from leaves(child, (*words, name))
