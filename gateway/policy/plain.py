"""Values of expressions as plain JSON, with secrets taken out (TP-426, TP-628)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.cel.jsons import plain


def json_value(value: Any) -> Any:
    """The value with host objects, timestamps and bytes as JSON has them; raises Failure for what JSON cannot hold."""
    return plain(value)


def masked(value: Any, secrets: Iterable[str]) -> Any:
    """The value with every occurrence of a secret replaced by ``***``, at any depth."""
    ordered = sorted((secret for secret in secrets if secret), key=len, reverse=True)
    return _masked(value, ordered) if ordered else value


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, list):
        return [_masked(item, secrets) for item in value]
    if isinstance(value, dict):
        return {_masked(key, secrets): _masked(item, secrets) for key, item in value.items()}
    return value
