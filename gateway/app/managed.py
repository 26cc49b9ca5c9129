"""What there is to say about ``ai.managed_keys`` before it is used (AG-192)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cel.errors import CelError
from gateway.cel.template import compile_template
from gateway.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.cel.env import Environment
    from gateway.settings.model import AiSettings

CODE = "ERR_AIGW_CONFIG"


def check_managed_keys(settings: AiSettings, environment: Environment) -> Problems:
    """Templates that do not compile. A key is never repeated in a message."""
    problems = Problems("<settings>")
    for provider, texts in settings.managed_keys:
        for index, text in enumerate(texts):
            try:
                compile_template(text, environment)
            except CelError:
                path = f"ai.managed_keys.{provider}[{index}]"
                problems.add_error(CODE, f"{path}: the expression is not valid", line=1, column=1, path=path)
    return problems


def check_managed_providers(settings: AiSettings, names: Iterable[str]) -> Problems:
    """Providers that no gateway knows by these names: a warning, since the store may get them later."""
    known = set(names)
    problems = Problems("<settings>")
    for provider, _ in settings.managed_keys:
        if provider.lower() not in known:
            path = f"ai.managed_keys.{provider}"
            problems.add_warning(CODE, f"{path}: no endpoint knows this provider", line=1, column=1, path=path)
    return problems
