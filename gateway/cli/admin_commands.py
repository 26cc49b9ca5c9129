"""``gateway admin …``: maintenance on the local data directory, without the API (CP-89, CP-106)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.render import print_problem

if TYPE_CHECKING:
    from gateway.secrets.master_key import KeySource

OK, WRONG, USAGE = 0, 1, 2
_STATE = "(default: $STATE_DIRECTORY, else $XDG_STATE_HOME/gateway, else ~/.local/state/gateway)"

Commands = argparse._SubParsersAction  # argparse has no public name for it


def add_admin_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Mounts the tree under the main parser's commands."""
    admin = commands.add_parser(
        "admin", help="maintain the local data directory", description="Works on the data directory, without the API."
    )
    verbs = admin.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = _common()
    _add(verbs, "reset-key", "make an admin key and print it once; the gateway may run", _reset_key, common)
    rotate = _add(
        verbs, "rotate-master-key", "seal all values under a new master key; wants the gateway stopped", _rotate, common
    )
    rotate.add_argument(
        "--new-key-file", metavar="FILE", help="the new key, base64; needed when the old one is in GATEWAY_MASTER_KEY"
    )
    backup = _add(verbs, "backup", "copy store and audit log to a new directory; the gateway may run", _backup, common)
    backup.add_argument("target", metavar="DIR")
    restore = _add(verbs, "restore", "put a copy back; wants the gateway stopped", _restore, common)
    restore.add_argument("source", metavar="DIR")
    audit = verbs.add_parser("audit", help="the audit log", description="Works with the audit log.")
    actions = audit.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(actions, "verify", "check that no line was changed, removed or added", _verify, common)


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--data-dir", metavar="DIR", help=f"store, keys, audit log {_STATE}")
    common.add_argument("--config", metavar="FILE", help="configuration with security.master_key_file (default: none)")
    return common


def _add(
    verbs: Commands[argparse.ArgumentParser], name: str, text: str,
    work: Callable[[argparse.Namespace, KeySource], int], common: argparse.ArgumentParser,
) -> argparse.ArgumentParser:  # fmt: skip
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", parents=[common])
    parser.set_defaults(command=lambda options: _guarded(options, work))
    return parser


def _guarded(options: argparse.Namespace, work: Callable[[argparse.Namespace, KeySource], int]) -> int:
    """Runs one command; what can go wrong with a directory is one line."""
    from gateway.secrets.master_key import MasterKeyError
    from gateway.store.backup import BackupError
    from gateway.store.db import StoreMismatchError, StoreUnavailable
    from gateway.store.lock import DirectoryInUseError

    try:
        source = _source(options)
        return USAGE if source is None else work(options, source)
    except (MasterKeyError, BackupError, StoreMismatchError, StoreUnavailable, DirectoryInUseError) as error:
        print_problem(str(error))
        return WRONG


def _source(options: argparse.Namespace) -> KeySource | None:
    """The data directory and where its keys come from, as ``serve`` would find them; None after printing why not."""
    from gateway.secrets.master_key import KeySource
    from gateway.settings.environment import forget_secrets, read_environment
    from gateway.settings.load import load_settings

    environment = read_environment()
    settings, problems = load_settings({"config": options.config, "data_dir": options.data_dir}, environment)
    value = environment.get("GATEWAY_MASTER_KEY")
    forget_secrets(environment)
    if settings is None:
        for problem in problems:
            print(problem, file=sys.stderr)
        return None
    data_dir = settings.server.data_dir
    if not data_dir.is_dir():
        print_problem(f"there is no data directory {data_dir}")
        return None
    return KeySource(data_dir, value, settings.security.master_key_file)


def _reset_key(options: argparse.Namespace, source: KeySource) -> int:
    from gateway.clock import SystemClock
    from gateway.control.maintenance import reset_key

    print(reset_key(source, SystemClock()))
    print("Note: the key is shown this once and cannot be read later.", file=sys.stderr)
    return OK


def _rotate(options: argparse.Namespace, source: KeySource) -> int:
    from gateway.clock import SystemClock
    from gateway.control.maintenance import rotate_master_key
    from gateway.secrets.master_key import read_key_file

    new_value = None if options.new_key_file is None else read_key_file(Path(options.new_key_file))
    count = rotate_master_key(source, SystemClock(), new_value)
    print(f"{count} values are sealed under the new master key")
    if new_value is not None:
        print("Note: configure the new key before the next start.", file=sys.stderr)
    return OK


def _backup(options: argparse.Namespace, source: KeySource) -> int:
    from gateway.control.maintenance import backup

    backup(source.data_dir, Path(options.target))
    print(f"Note: keep {source.path.name} and {source.pepper_path.name} apart from the copy.", file=sys.stderr)
    return OK


def _restore(options: argparse.Namespace, source: KeySource) -> int:
    from gateway.control.maintenance import restore

    restore(source, Path(options.source))
    return OK


def _verify(options: argparse.Namespace, source: KeySource) -> int:
    from gateway.clock import SystemClock
    from gateway.control.maintenance import verify_audit

    report = verify_audit(source.data_dir, source, SystemClock())
    if report.problem is not None:
        print(f"audit.log: {report.problem}")
        return WRONG
    print(f"audit.log: {report.lines} lines hold")
    if report.first > 1:
        print(f"Note: it begins with line number {report.first}; earlier ones are elsewhere.", file=sys.stderr)
    if report.unfinished:
        print(
            f"Note: {report.unfinished} more belong to a change that was never finished; the next one removes them.",
            file=sys.stderr,
        )
    return OK
