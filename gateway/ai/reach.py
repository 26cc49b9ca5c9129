"""What a caller may reach: the scope of its gateway key's configuration, and the credentials it brings.

Plans are kept per ``Reach``, so callers with the same rights share them.
Source: ai-gateway.md AG-94, AG-98, AG-195 (e).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.ai.entities import Candidate, Provider

PROVIDER_NOT_ALLOWED: Final = "provider not allowed"
MODEL_NOT_ALLOWED: Final = "model not allowed"


@dataclass(frozen=True, slots=True, eq=False)
class AccessScope:
    """What a gateway key's configuration admits (AG-94). None admits all, empty nothing. In lower case."""

    providers: frozenset[str] | None = None
    models: frozenset[str] | None = None

    def refuses(self, candidate: Candidate, is_provider: Callable[[str], bool]) -> str:
        """'' if the candidate is admitted, else the reason."""
        provider = candidate.provider
        ids = [name.lower() for name in (provider.id, provider.stored_id) if name]
        if self.providers is not None and self.providers.isdisjoint(ids):
            return PROVIDER_NOT_ALLOWED
        if self.models is None or self._admits(candidate, ids, is_provider):
            return ""
        return MODEL_NOT_ALLOWED

    def _admits(self, candidate: Candidate, ids: Sequence[str], is_provider: Callable[[str], bool]) -> bool:
        entries = self.models or frozenset()
        model = candidate.name.lower()
        authored = f"{candidate.author.lower()}/{model}" if candidate.author else ""
        for provider in ids:
            if f"{provider}:{model}" in entries or f"{provider}/{model}" in entries:
                return True
            if authored and f"{provider}:{authored}" in entries:
                return True
        # such an entry names a model at any provider, unless it reads as a provider's
        return any(
            entry in entries and ":" not in entry and not ("/" in entry and is_provider(entry.partition("/")[0]))
            for entry in (model, authored)
            if entry
        )


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """What the caller brings: compared by identity, made by ``Universe.reach``.

    ``passthrough``: None without a usable client credential, '' for one that any provider may see, else the id of
    the official provider that issues such (AG-195 e). ``stored``: ids of providers for which rows 1 to 3, 5 and 6
    of AG-190 offer a credential.
    """

    access: AccessScope | None = None
    passthrough: str | None = None
    stored: frozenset[str] = frozenset()

    def offers(self, provider: Provider) -> bool:
        """Whether section 7 can offer a credential for this provider, or it needs none (AG-98)."""
        if provider.key_texts or not provider.official or provider.id in self.stored:
            return True
        return self.passthrough is not None and self.passthrough in ("", provider.id)


#: a caller without any credential
NO_REACH: Final = Reach()
