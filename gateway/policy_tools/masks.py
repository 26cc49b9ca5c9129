"""Taking secrets out of what is shown (TP-628): the gateway's become ``***``, the caller's credentials ``***(sent)``.

The two differ, so that a comparison of a wrong token with the right one can be read. What is masked is the whole
explanation at once, at the end: nothing that is shown goes another way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from gateway.policy.plain import masked

SENT = "***(sent)"
_CREDENTIAL = re.compile(r"auth|token|secret|password|cookie|signature|api[-_]?key|^key$", re.I)
#: shorter ones would be found in innocent words
_SHORTEST = 4


class Mask:
    """Knows the values that must not be seen."""

    def __init__(self, secrets: Iterable[str], sent: Iterable[str] = ()) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._sent = sorted({text for text in sent if len(text) >= _SHORTEST}, key=len, reverse=True)

    def hide(self, value: Any) -> Any:
        """The value without them, at any depth."""
        return self._hide_sent(masked(value, self._secrets))

    def _hide_sent(self, value: Any) -> Any:
        if isinstance(value, str):
            for text in self._sent:
                value = value.replace(text, SENT)
            return value
        if isinstance(value, list):
            return [self._hide_sent(item) for item in value]
        if isinstance(value, dict):
            return {self._hide_sent(key): self._hide_sent(item) for key, item in value.items()}
        return value


def sent_credentials(headers: Mapping[str, Iterable[str]], query: str) -> set[str]:
    """What a caller identifies itself with: by the names of headers and query parameters. A scheme stays readable."""
    found: set[str] = set()
    for name, values in headers.items():
        if _CREDENTIAL.search(name):
            for value in values:
                scheme, _, rest = value.partition(" ")
                found.add(rest.strip() if rest and scheme.isalpha() else value)
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if _CREDENTIAL.search(name):
            found |= {value, unquote_plus(value)}
    return found
