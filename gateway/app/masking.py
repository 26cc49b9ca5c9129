"""Keeps the log's last filter up to date with the secrets that are known (P18, AG-209).

Four kinds: what the secret sources hold, what the environment held at start, what stands in policies as plain text
(``api_keys``) or in the configuration (``ai.managed_keys``), and what the store holds (vaults, provider keys). Stored
values are known to the filter before a request can meet them, and for a while after they were deleted or rotated.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from gateway.ai.action_config import AiGatewayConfig
from gateway.observability.mask import Masker

if TYPE_CHECKING:
    from gateway.observability.logs import LogSink
    from gateway.policy.model import Policy
    from gateway.secrets.sources import SecretTable
    from gateway.settings import Settings

RETIRED_LIMIT: Final = 1_000


class Masking:
    """Gives the sink a new masker whenever the set of secrets changes."""

    def __init__(self, sink: LogSink, secrets: SecretTable, settings: Settings) -> None:
        self._sink = sink
        self._secrets = secrets
        self._environment = frozenset(settings.environment.secrets.values())
        self._configured: frozenset[str] = frozenset()
        self._stored: frozenset[str] = frozenset()
        #: deleted from the store, oldest first: requests that began before may still run
        self._retired: dict[str, None] = {}
        self._lock = threading.Lock()
        self.renew()

    def renew(self) -> None:
        """After the secret table changed."""
        with self._lock:
            known = self._environment | self._configured | self._stored | self._retired.keys()
            self._sink.masker = Masker(self._secrets.values() | known)

    def stored(self, values: Collection[str]) -> None:
        """Everything that the store holds. Takes milliseconds for thousands of values: not for the event loop."""
        present = frozenset(values)
        if present == self._stored:
            return
        for value in self._stored - present:
            self._retired[value] = None
        for value in present:
            self._retired.pop(value, None)
        while len(self._retired) > RETIRED_LIMIT:
            del self._retired[next(iter(self._retired))]
        self._stored = present
        self.renew()

    def configured(self, values: Collection[str]) -> None:
        """The secrets that stand in the configuration and its policies. Earlier ones stay: requests may still run."""
        more = self._configured | set(values)
        if more != self._configured:
            self._configured = more
            self.renew()


def managed_secrets(settings: Settings) -> set[str]:
    """Keys in ``ai.managed_keys`` that are no templates."""
    return {key for _, keys in settings.ai.managed_keys for key in keys if "${" not in key}


def inline_secrets(policy: Policy) -> set[str]:
    """Provider keys that a policy holds as plain text."""
    texts = [
        key.reveal()
        for action in policy.actions()
        if isinstance(action.config, AiGatewayConfig)
        for provider in action.config.providers
        for key in provider.key_texts
    ]
    return {text for text in texts if "${" not in text}
