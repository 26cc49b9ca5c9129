"""``gateway completion bash|zsh``: a script that completes commands, flags, their choices and files.

Made from the tree of commands, so it cannot lag behind. The script asks nothing and runs nothing: everything it knows
stands in it.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from typing import Final

SHELLS: Final = ("bash", "zsh")

_BASH: Final = """\
_gateway() {
    local word="${COMP_WORDS[COMP_CWORD]}" previous="" path=gateway place words="" values="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        place="$path ${COMP_WORDS[index]}"
        case "$place" in
            PLACES) path="$place" ;;
        esac
        previous="${COMP_WORDS[index]}"
    done
    case "$path" in
WORDS
    esac
    case "$path $previous" in
VALUES
    esac
    if [[ "$values" == - ]]; then
        COMPREPLY=()
    elif [[ -n "$values" ]]; then
        COMPREPLY=($(compgen -W "$values" -- "$word"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    fi
}
complete -o default -F _gateway gateway
"""
_ZSH: Final = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
#: a value that is no choice: complete file names, as ``-o default`` does for an empty answer
_FREE: Final = "-"


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of ``SHELLS``."""
    places = list(_places(parser, "gateway"))
    words = [f"        {shlex.quote(place)}) words={shlex.quote(' '.join(_words(node)))} ;;" for place, node in places]
    values = [
        f"        {shlex.quote(f'{place} {flag}')}) values={shlex.quote(' '.join(choices))} ;;"
        for place, node in places
        for flag, choices in _values(node)
    ]
    text = _BASH.replace("PLACES", "|".join(shlex.quote(place) for place, _ in places))
    text = text.replace("WORDS\n", "\n".join(words) + "\n").replace("VALUES\n", "\n".join(values) + "\n")
    return (_ZSH if shell == "zsh" else "") + text


def _places(parser: argparse.ArgumentParser, place: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield place, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from _places(child, f"{place} {name}")


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Commands, choices and flags at one place."""
    found: list[str] = []
    for action in parser._actions:
        if not action.option_strings and action.choices is not None:
            found += map(str, action.choices)
    for action in parser._actions:
        found += [option for option in action.option_strings if option.startswith("--")]
    return found


def _values(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """(flag, what may follow it) of flags that take a value."""
    for action in parser._actions:
        if action.option_strings and action.nargs != 0:
            choices = [str(choice) for choice in action.choices] if action.choices is not None else [_FREE]
            for option in action.option_strings:
                yield option, choices
