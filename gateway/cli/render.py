"""What ``gateway api`` prints: JSON for programs on standard output, notes for people on standard error (CP-84)."""

from __future__ import annotations

import json
import sys
from typing import Any

TOKEN_NOTE = "Note: the token is shown this once and cannot be read later."  # noqa: S105 - a sentence


def print_json(body: Any, *, error: bool = False) -> None:
    """Indented by 2, nothing else."""
    print(json.dumps(body, indent=2, ensure_ascii=False), file=sys.stderr if error else sys.stdout)


def print_resource(body: Any) -> None:
    """An answer; says on standard error when it holds something that is shown once."""
    print_json(body)
    if isinstance(body, dict) and "token" in body:
        print(TOKEN_NOTE, file=sys.stderr)


def print_problem(text: str) -> None:
    """One line about what went wrong here, not at the server."""
    print(f"gateway: {text}", file=sys.stderr)
