"""Every command's help ends with an example that would run (SV-1)."""

from __future__ import annotations

import shlex

import pytest

from gateway.cli.examples import example, leaves
from gateway.cli.main import build_parser

PARSER = build_parser()
COMMANDS = {" ".join(words): command for words, command in leaves(PARSER)}


@pytest.mark.parametrize("name", COMMANDS)
def test_sv_1_every_command_has_an_example_that_parses(name: str) -> None:
    text = example(tuple(name.split()))
    assert text is not None, "add one to gateway.cli.examples"
    assert COMMANDS[name].format_help().endswith(f"example:\n  {text}\n")
    words = shlex.split(text.partition(" >")[0])
    assert words[0] == "gateway"
    options = PARSER.parse_args(words[1:])
    assert callable(options.command)
    assert " ".join(words[1:]).startswith(name)


def test_help_is_wrapped_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = COMMANDS["serve"].format_help().partition("example:")[0]
    assert max(map(len, text.splitlines())) <= 80


def test_groups_and_unknown_commands_have_none() -> None:
    assert example(("api", "vaults", "no-such-verb")) is None
