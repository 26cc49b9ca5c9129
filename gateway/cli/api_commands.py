"""``gateway api <resource> <verb>``: flags → one request → JSON (CP-80 to CP-88).

Exit status: 0 success; 1 the API refused; 2 usage; 3 not reachable; 4 not authenticated or not allowed (CP-85).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.api_table import RESOURCES, VISIBLE, Flag, Verb
from gateway.cli.render import print_json, print_problem, print_resource
from gateway.cli.usage_export import FORMATS, export_usage

if TYPE_CHECKING:
    from gateway.cli.client import Access, Answer, Log

OK, REFUSED, USAGE, UNREACHABLE, NOT_ALLOWED = 0, 1, 2, 3, 4
_LEVELS: Final = ("debug", "info", "warn", "error", "crit")
_NOT_AN_EMPTY_LIST: Final = ("jsons", "names", "surfaces")

Commands = argparse._SubParsersAction  # argparse has no public name for it


class UsageError(Exception):
    """A flag's value that cannot be sent."""


def add_api_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Mounts the tree under the main parser's commands."""
    api = commands.add_parser("api", help="manage a running gateway", description="Speaks the management API.")
    resources = api.add_subparsers(title="resources", metavar="RESOURCE", required=True)
    common = _common()
    for resource in RESOURCES:
        parser = resources.add_parser(resource.name, help=resource.help, description=resource.help.capitalize() + ".")
        verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for verb in resource.verbs:
            _add_verb(verbs, verb, common)


def _common() -> argparse.ArgumentParser:
    """CP-82."""
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = common.add_argument_group("common flags")
    group.add_argument("--api-key", metavar="KEY", help="admin key (default: $GATEWAY_API_KEY, $NGROK_API_KEY, files)")
    group.add_argument("--api-url", metavar="URL", help="management API (default: http://127.0.0.1:4041)")
    group.add_argument("--config", metavar="FILE", action="append", help="file with api_key, api_url; repeatable")
    group.add_argument("--data-dir", metavar="DIR", help="where a first start wrote its admin-token")
    group.add_argument(
        "--log", default="false", metavar="TARGET", help="PATH, stdout, stderr or false (default: false)"
    )
    group.add_argument("--log-format", default="term", choices=("term", "logfmt", "json"), help="(default: term)")
    group.add_argument("--log-level", default="info", choices=_LEVELS, help="(default: info)")
    return common


def _add_verb(verbs: Commands[argparse.ArgumentParser], verb: Verb, common: argparse.ArgumentParser) -> None:
    parser = verbs.add_parser(verb.name, help=verb.help, parents=[common], allow_abbrev=False)
    if "{id}" in verb.path:
        parser.add_argument("id", metavar="ID")
    for flag in verb.flags:
        repeatable = flag.kind in _NOT_AN_EMPTY_LIST
        parser.add_argument(
            f"--{flag.name}", metavar=_metavar(flag), action="append" if repeatable else "store", help=flag.help or None
        )
    if verb.value:
        parser.add_argument("--value", metavar="TEXT", help="the secret value" + VISIBLE)
        parser.add_argument("--value-file", metavar="FILE", help="a file with the value; - for standard input")
    if verb.clear:
        parser.add_argument("--clear", metavar="MEMBER", action="append", help="unset a member; repeatable")
    if verb.export:
        parser.add_argument("--format", choices=FORMATS, default="csv", help="(default: csv)")
    parser.set_defaults(command=lambda options: run(options, verb))


def _metavar(flag: Flag) -> str:
    names = {"json": "JSON", "jsons": "JSON", "number": "N", "flag": "BOOL", "file": "FILE", "surfaces": "SURFACE"}
    return names.get(flag.kind, "TEXT")


def run(options: argparse.Namespace, verb: Verb) -> int:
    """One command; the exit status."""
    from gateway.cli.client import AccessError, Log, UnreachableError, find_access
    from gateway.settings.environment import read_environment

    try:
        values = _values(options, verb)
        access = find_access(options, read_environment())
    except (UsageError, AccessError) as error:
        print_problem(str(error))
        return USAGE
    log = Log(options.log, options.log_format, options.log_level)
    try:
        answer = (
            _export(access, verb, options, values, log) if verb.export else _request(access, verb, options, values, log)
        )
    except UnreachableError as error:
        print_problem(str(error))
        return UNREACHABLE
    if answer.status >= 400:
        print_json(answer.body, error=True)
        return NOT_ALLOWED if answer.status in (401, 403) else REFUSED
    if answer.body is not None:
        print_resource(answer.body)
    return OK


def _export(access: Access, verb: Verb, options: argparse.Namespace, values: dict[str, Any], log: Log) -> Answer:
    """The last answer that matters: the one that stopped it, or an empty one."""
    from gateway.cli.client import Answer, send

    def fetch(query: Mapping[str, str]) -> tuple[int, Any]:
        answer = send(access, verb.method, verb.path, query=query, body=None, log=log)
        return answer.status, answer.body

    stopped = export_usage(fetch, _texts(values), options.format)
    return Answer(*stopped) if stopped is not None else Answer(200, None)


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """As a query has them."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


def _request(access: Access, verb: Verb, options: argparse.Namespace, values: dict[str, Any], log: Log) -> Answer:
    from urllib.parse import quote

    from gateway.cli.client import send

    path = verb.path.replace("{id}", quote(getattr(options, "id", ""), safe=""))
    if verb.query or verb.method in ("GET", "DELETE"):
        return send(access, verb.method, path, query=_texts(values), body=None, log=log)
    if "secret_data" in values and (problem := _place_pairs(access, values, log)) is not None:
        return problem
    return send(access, verb.method, path, query={}, body=values, log=log)


def _place_pairs(access: Access, body: dict[str, Any], log: Log) -> Answer | None:
    """TP-624: a key-value secret; without a vault it goes to one of its own name. An answer only if that failed."""
    from gateway.cli.client import send

    body["value"] = json.dumps(body.pop("secret_data"))
    if "vault_id" in body or "vault_name" in body:
        return None
    body["vault_name"] = body.get("name", "")
    made = send(access, "POST", "/vaults", query={}, body={"name": body["vault_name"]}, log=log)
    taken = made.status == 409
    return None if made.status < 400 or taken else made


def _values(options: argparse.Namespace, verb: Verb) -> dict[str, Any]:
    """The members that the flags set; only those that were given (CP-87)."""
    values: dict[str, Any] = {}
    for flag in sorted(verb.flags, key=lambda flag: flag.kind != "file"):
        given = getattr(options, flag.name.replace("-", "_"))
        if given is not None:
            found = _parse(flag, given)
            values.update(found if flag.kind == "file" else {flag.member: found})
    if verb.value and (value := _secret(options)) is not None:
        values["value"] = value
    if verb.clear:
        for name in options.clear or ():
            values[_cleared(verb, name)] = None
    return values


def _parse(flag: Flag, given: Any) -> Any:
    parser = _PARSERS.get(flag.kind)
    return given if parser is None else parser(flag, given)


def _flag(flag: Flag, text: str) -> bool:
    if text not in ("true", "false"):
        raise UsageError(f"--{flag.name} is true or false")
    return text == "true"


def _jsons(flag: Flag, texts: list[str]) -> list[Any]:
    found = [_json(flag, text) for text in texts]
    return [entry for item in found for entry in (item if isinstance(item, list) else [item])]


def _names(flag: Flag, names: list[str]) -> list[dict[str, str]]:
    return [{flag.each: name} for name in names]


def _surfaces(flag: Flag, texts: list[str]) -> list[dict[str, str]]:
    """``openai/responses`` → its format and surface."""
    parts = [text.partition("/") for text in texts]
    return [{"format": name, "surface": rest} if slash else {"format": name} for name, slash, rest in parts]


def _number(flag: Flag, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--{flag.name} is a whole number") from None


def _json(flag: Flag, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        # The text may hold a key: it is not repeated.
        raise UsageError(f"--{flag.name} is not JSON") from None


def _file(flag: Flag, name: str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        found = YAML(typ="safe", pure=True).load(text)
    except (OSError, UnicodeDecodeError, YAMLError):
        raise UsageError(f"--file: {name} cannot be read as JSON or YAML") from None
    if not isinstance(found, dict):
        raise UsageError("--file holds no object")
    return found


_PARSERS: Final[dict[str, Callable[[Flag, Any], Any]]] = {
    "number": _number,
    "flag": _flag,
    "json": _json,
    "jsons": _jsons,
    "names": _names,
    "surfaces": _surfaces,
    "file": _file,
}


def _secret(options: argparse.Namespace) -> str | None:
    """``--value`` or ``--value-file``; ``-`` is standard input, of which one newline at the end is dropped (CP-86)."""
    if options.value is not None and options.value_file is not None:
        raise UsageError("give --value or --value-file, not both")
    if "-" in (options.value, options.value_file):
        return sys.stdin.read().removesuffix("\n")
    if options.value_file is None:
        value: str | None = options.value
        return value
    try:
        return Path(options.value_file).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--value-file: cannot read {options.value_file}: {error}") from None


def _cleared(verb: Verb, name: str) -> str:
    """A member by its own name or by its flag's."""
    members = {flag.name: flag.member for flag in verb.flags if flag.member}
    if name not in members and name not in members.values():
        raise UsageError(f"--clear: there is no member '{name}'; there are: {', '.join(members.values())}")
    return members.get(name, name)
