"""Keeps the log's last filter up to date with the secrets that are known (P18, AG-209).

Three kinds: what the secret sources hold, what the environment held at start, and what stands in policies as plain
text (``api_keys``) or in the configuration (``ai.managed_keys``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from gateway.ai.action_config import AiGatewayConfig
from gateway.observability.mask import Masker

if TYPE_CHECKING:
    from gateway.observability.logs import LogSink
    from gateway.policy.model import Policy
    from gateway.secrets.sources import SecretTable
    from gateway.settings import Settings


class Masking:
    """Gives the sink a new masker whenever the set of secrets changes."""

    def __init__(self, sink: LogSink, secrets: SecretTable, settings: Settings) -> None:
        self._sink = sink
        self._secrets = secrets
        self._environment = frozenset(settings.environment.secrets.values())
        self._configured: frozenset[str] = frozenset()
        self.renew()

    def renew(self) -> None:
        """After the secret table changed."""
        self._sink.masker = Masker(self._secrets.values() | self._environment | self._configured)

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
