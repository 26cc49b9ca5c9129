"""``gateway top``: live requests, keys with what is left of their quotas, and models, from the management listener.

On a terminal the view renews itself until Ctrl-C; a gateway that goes away is waited for. Into a pipe, or with
``--once``, it is printed once. Exit status as for ``gateway api`` (CP-85).
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.render import print_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from gateway.cli.client import Access

OK, REFUSED, USAGE, UNREACHABLE, NOT_ALLOWED = 0, 1, 2, 3, 4
LIVE_PATH: Final = "/ext/live"
#: lines of a frame that are not rows: the summary, and title and head of three tables
_FRAME_LINES: Final = 8
_PIPED_ROWS: Final = 60
_PIPED_WIDTH: Final = 180

Commands = argparse._SubParsersAction  # argparse has no public name for it


def add_top_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Mounts it under the main parser's commands."""
    top = commands.add_parser(
        "top",
        help="watch a running gateway",
        description="Shows live requests and streams, keys with their quotas and error rates, and models, from the "
        "management listener. Renews itself on a terminal until Ctrl-C; prints once into a pipe.",
    )
    top.add_argument("--once", action="store_true", help="print once and exit (default: only into a pipe)")
    top.add_argument(
        "--interval", metavar="SECONDS", type=_interval, default=1.0, help="between two looks, 0.2 to 60 (default: 1)"
    )
    top.add_argument("--api-key", metavar="KEY", help="admin key (default: $GATEWAY_API_KEY, $NGROK_API_KEY, files)")
    top.add_argument("--api-url", metavar="URL", help="management API (default: http://127.0.0.1:4041)")
    top.add_argument("--config", metavar="FILE", action="append", help="file with api_key, api_url; repeatable")
    top.add_argument("--data-dir", metavar="DIR", help="where a first start wrote its admin-token")
    top.set_defaults(command=run)


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.2 <= seconds <= 60.0:
        raise argparse.ArgumentTypeError("must be from 0.2 to 60 seconds")
    return seconds


def run(options: argparse.Namespace) -> int:
    """The command; its exit status."""
    from gateway.cli.client import AccessError, find_access
    from gateway.settings.environment import read_environment

    try:
        access = find_access(options, read_environment())
    except AccessError as error:
        print_problem(str(error))
        return USAGE
    look = Look(access)
    status = look.take()
    if status != OK:
        print_problem(look.problem)
        return status
    if options.once or not sys.stdout.isatty():
        from rich.console import Console

        console = Console() if sys.stdout.isatty() else Console(width=_piped_width())
        console.print(look.frame(console, once=True))
        return OK
    return _watch(look, options.interval)


def _piped_width() -> int:
    """COLUMNS if it is set (rich reads it), else wide enough that no column is cut."""
    from rich.console import Console

    from gateway.settings.environment import read_environment

    return Console().width if read_environment().get("COLUMNS") else _PIPED_WIDTH


def _watch(look: Look, interval_s: float) -> int:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    try:
        with Live(look.frame(console), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval_s)
                if look.take() in (REFUSED, NOT_ALLOWED):
                    break
                live.update(look.frame(console), refresh=True)
    except KeyboardInterrupt:
        return OK
    print_problem(look.problem)
    return look.status


class Look:
    """The last document, the one before, and what went wrong since."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._document: Mapping[str, Any] | None = None
        self._before: Mapping[str, Any] | None = None
        self.problem = ""
        self.status = OK

    def take(self) -> int:
        """Asks once; the exit status that it means."""
        from gateway.cli.client import Log, UnreachableError, send

        try:
            answer = send(self._access, "GET", LIVE_PATH, query={}, body=None, log=Log("false", "term", "info"))
        except UnreachableError as error:
            self.problem, self.status = str(error), UNREACHABLE
            return self.status
        if answer.status == 200:
            self._before, self._document = self._document, answer.body
            self.problem, self.status = "", OK
        else:
            said = answer.body.get("msg", "") if isinstance(answer.body, dict) else ""
            self.problem = f"the management API answered {answer.status}: {said}"
            self.status = NOT_ALLOWED if answer.status in (401, 403) else REFUSED
        return self.status

    def frame(self, console: Console, *, once: bool = False) -> Any:
        """What to print."""
        from gateway.cli.top_view import render

        assert self._document is not None
        rows = _PIPED_ROWS if once else max(3, console.height - _FRAME_LINES)
        return render(self._document, self._before, rows=rows, note=self.problem)
