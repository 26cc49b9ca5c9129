"""The commands (SV-1, SV-2): arguments → settings → what to run → exit status.

Exit status: 0 ok; 1 the thing checked is wrong; 2 usage or configuration error. A configuration error is one line for
each problem, with file, line and column; a traceback would be a bug of this program.

Everything heavy is imported by the command that needs it, so that ``--help`` and ``version`` answer at once.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.cli.admin_commands import add_admin_commands
from gateway.cli.api_commands import add_api_commands
from gateway.cli.completion import SHELLS, script
from gateway.cli.examples import add_examples
from gateway.cli.top import add_top_command

if TYPE_CHECKING:
    from gateway.problems import Problems
    from gateway.settings.environment import Environment
    from gateway.settings.model import Settings

OK, WRONG, USAGE = 0, 1, 2
_TRUE = ("1", "true", "yes", "on")
_STATE = "$STATE_DIRECTORY, else $XDG_STATE_HOME/gateway, else ~/.local/state/gateway"

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status."""
    options = build_parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except OSError as error:  # an address in use, a directory that cannot be written: the operator's to solve
        print(f"gateway: {error}", file=sys.stderr)
        return USAGE
    except ExceptionGroup as group:  # the same, raised inside the task group of the composition root
        reasons, bugs = group.split(OSError)
        if reasons is None or bugs is not None:
            raise
        for reason in _leaves(reasons):
            print(f"gateway: {reason}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130


def _leaves(group: ExceptionGroup[OSError]) -> Iterator[OSError]:
    """The errors themselves, however deep their groups are nested."""
    for inner in group.exceptions:
        if isinstance(inner, ExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner


def build_parser() -> argparse.ArgumentParser:
    """The tree of commands."""
    parser = argparse.ArgumentParser(
        prog="gateway", description="AI gateway: policies, failover and keys in front of model providers."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_demo(commands)
    _add_policy(commands)
    add_api_commands(commands)
    add_admin_commands(commands)
    add_top_command(commands)
    command = commands.add_parser(
        "completion", help="print a script that completes commands in a shell",
        description="Prints a script that completes commands, flags and files in a shell.",
    )  # fmt: skip
    command.add_argument("shell", choices=SHELLS, help="for which shell")
    command.set_defaults(command=lambda options: _completion(options, parser))
    command = commands.add_parser("version", help="version, Python, uvloop, aiohttp")
    command.set_defaults(command=_version)
    add_examples(parser)
    return parser


Commands = argparse._SubParsersAction  # argparse has no public name for it


def _add_serve(commands: Commands[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="run the gateway",
        description="Runs the gateway in the foreground. Each flag is an environment variable GATEWAY_<NAME>, too; "
        "a flag wins over the environment, that over the file, that over the default.",
    )
    serve.add_argument("--config", metavar="FILE", help="configuration file (default: none)")
    serve.add_argument(
        "--policy",
        metavar="FILE",
        help="policy of one endpoint 'default'; excludes 'endpoints' in the file (default: none)",
    )
    _add_listen(serve)
    serve.add_argument(
        "--admin-listen", metavar="ADDRESS",
        help="management listener, HOST:PORT or unix:PATH (default: 127.0.0.1:4041)",
    )  # fmt: skip
    serve.add_argument("--data-dir", metavar="DIR", help=f"store, keys, audit log (default: {_STATE})")
    _add_log(serve)
    serve.add_argument(
        "--watch", action="store_true", help="reload when a configuration or policy file changes (default: off)"
    )
    serve.add_argument("--check", action="store_true", help="validate everything, say what would run, exit")
    serve.set_defaults(command=_serve)


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="run the gateway with a built-in demo provider",
        description="Runs the gateway in front of a demo provider with a made-up key: no account, no configuration. "
        "Prints a request to paste.",
    )
    _add_listen(demo)
    _add_log(demo)
    demo.set_defaults(command=_demo)


def _add_policy(commands: Commands[argparse.ArgumentParser]) -> None:
    policy = commands.add_parser("policy", help="work with policies", description="Works with policies, offline.")
    actions = policy.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = actions.add_parser(
        "check",
        help="validate policies",
        description="Validates policies, prints every problem as file:line:column. Exit status 1 if any is an error.",
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="policy, YAML or JSON")
    _add_settings(check)
    check.set_defaults(command=_policy_check)
    explain = actions.add_parser(
        "explain",
        help="show what a policy does with one request, and why",
        description="Shows rule by rule what a policy does with one request: every expression with the values inside "
        "it, variables, limits, models and keys. Secrets are masked; nothing is sent upstream.",
    )
    explain.add_argument("file", metavar="FILE", help="policy, YAML or JSON")
    explain.add_argument(
        "--request", metavar="REQ", required=True,
        help="the request: an HTTP/1.1 message, or a document like that of 'policy test'; '-' for standard input",
    )  # fmt: skip
    explain.add_argument("--case", metavar="NAME", default="", help="the case in REQ that is meant (default: none)")
    explain.add_argument("--json", action="store_true", help="as one JSON document (default: text)")
    _add_settings(explain)
    explain.set_defaults(command=_policy_explain)
    test = actions.add_parser(
        "test",
        help="run the examples kept beside policies",
        description="Runs the cases in NAME.test.yaml beside each policy NAME.yaml, offline, with a clock, secrets and "
        "upstream answers of their own. Exit status 1 if any fails.",
    )
    test.add_argument("files", nargs="+", metavar="FILE", help="policy, or its file of cases")
    test.add_argument("--only", metavar="TEXT", default="", help="only cases with this in their name (default: all)")
    _add_settings(test)
    test.set_defaults(command=_policy_test)
    schema = actions.add_parser(
        "schema",
        help="print the JSON Schema of policies",
        description="Prints the JSON Schema of policies, for completion and validation in editors.",
    )
    schema.set_defaults(command=_policy_schema)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", help="configuration whose settings hold (default: built-in defaults)"
    )


def _add_listen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", metavar="ADDRESS",
        help="HOST:PORT or unix:PATH; port 0 picks a free one (default: 127.0.0.1:8080)",
    )  # fmt: skip


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format", metavar="FORMAT", help="'text' or 'json' (default: text on a terminal, else json)"
    )
    parser.add_argument("--log-level", metavar="LEVEL", help="'debug', 'info', 'warning' or 'error' (default: info)")


def _settings(options: argparse.Namespace) -> Settings | None:
    """The settings, or None after printing what is wrong with them; warnings are printed as well."""
    from gateway.settings.environment import forget_secrets, read_environment
    from gateway.settings.load import FLAGS, load_settings

    environment = read_environment()
    flags = {name: getattr(options, name, None) for name in FLAGS}
    settings, problems = load_settings(flags, environment, watch=_switched(options, "watch", environment))
    _print_problems(problems)
    forget_secrets(environment)
    return settings


def _switched(options: argparse.Namespace, name: str, environment: Environment) -> bool:
    """A flag without a value: given, or its variable is true."""
    variable = environment.get(f"GATEWAY_{name.upper()}") or ""
    return bool(getattr(options, name, False)) or variable.lower() in _TRUE


def _print_problems(problems: Problems) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


def _serve(options: argparse.Namespace) -> int:
    settings = _settings(options)
    if settings is None:
        return USAGE
    from gateway.app.run import check, serve

    if not _switched(options, "check", settings.environment):
        return serve(settings)
    problems = check(settings)
    _print_problems(problems)
    if problems.failed:
        return USAGE
    print(*describe(settings), sep="\n")
    return OK


def _demo(options: argparse.Namespace) -> int:
    settings = _settings(options)
    if settings is None:
        return USAGE
    from gateway.app.run import demo

    return demo(settings)


def _policy_check(options: argparse.Namespace) -> int:
    from gateway.cli.policy import check_files

    return check_files(options.files, config=options.config)


def _policy_explain(options: argparse.Namespace) -> int:
    from gateway.cli.policy import explain_file

    return explain_file(
        options.file, request=options.request, case=options.case, as_json=options.json, config=options.config
    )


def _policy_test(options: argparse.Namespace) -> int:
    from gateway.cli.policy import run_cases

    return run_cases(options.files, only=options.only, config=options.config)


def _policy_schema(_options: argparse.Namespace) -> int:
    from gateway.cli.policy import print_schema

    return print_schema()


def _completion(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    print(script(parser, options.shell), end="")
    return OK


def _version(_options: argparse.Namespace) -> int:
    parts = [f"gateway {__version__}", f"Python {platform.python_version()}"]
    print(", ".join([*parts, *(f"{name} {version_of(name)}" for name in ("uvloop", "aiohttp"))]))
    return OK


def describe(settings: Settings) -> list[str]:
    """What would run, a line for each listener (``--check``)."""
    lines = []
    for endpoint in settings.endpoints:
        place = f"listens on {endpoint.listen}" if endpoint.listen else "is reached by forward-internal"
        policy = f"policy {endpoint.policy.file}" if endpoint.policy else "no policy"
        rest = f"upstream {endpoint.upstream_url}" if endpoint.upstream_url else ""
        rest = rest or ("built-in AI gateway" if endpoint.ai_gateway else "nothing else")
        lines.append(f"endpoint {endpoint.name} ({endpoint.id}) {place}: {policy}, then {rest}")
    lines.append(f"management listens on {settings.admin.listen}; data in {settings.server.data_dir}")
    return lines
