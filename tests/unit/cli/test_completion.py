"""The completion script, as bash runs it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from gateway.cli.completion import SHELLS, script
from gateway.cli.main import build_parser, main


def completed(*words: str) -> list[str]:
    """What bash offers for the last word."""
    bash = shutil.which("bash")
    assert bash is not None
    line = " ".join(f"'{word}'" for word in ("gateway", *words))
    program = (
        f"{script(build_parser(), 'bash')}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _gateway\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    run = subprocess.run([bash, "--norc", "-u", "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert run.stderr == ""
    return run.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pol"], ["policy"]),
        (["api", "vaul"], ["vaults"]),
        (["api", "vaults", "get-"], ["get-secrets-by-vault"]),
        (["api", "vaults", "create", "--na"], ["--name"]),
        (["admin", "audit", ""], ["verify", "--help"]),
        (["api", "--api-key", "x"], []),
        (["api", "vaults", "list", "--log-format", "j"], ["json"]),
        (["api", "vaults", "list", "--log-format", "json", "--filt"], ["--filter"]),
        (["api", "vaults", "create", "--name", ""], []),
        (["serve", "--policy", "po"], []),
        (["completion", "z"], ["zsh"]),
        (["nonsense", "ver"], ["version"]),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_words_are_completed(words: list[str], offered: list[str]) -> None:
    assert completed(*words) == offered


def test_every_command_is_known() -> None:
    assert {"serve", "demo", "policy", "api", "admin", "version", "completion"} <= set(completed(""))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert text == script(build_parser(), shell)
    assert ("bashcompinit" in text) == (shell == "zsh")
