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
NO_ROUTING_RULE: Final = "no routing rule"


@dataclass(frozen=True, slots=True, eq=False)
class AccessScope:
    """What a gateway key may use (AG-94). None admits all, empty nothing. In lower case.

    ``routes``: whether the configuration's router has a rule for a candidate; None without rules (AG-203). ``stored``:
    ids of providers for which the store has keys for this caller: rows 1 to 3 and 5 of AG-190.
    """

    providers: frozenset[str] | None = None
    models: frozenset[str] | None = None
    routes: Callable[[Candidate], bool] | None = None
    stored: frozenset[str] = frozenset()

    def refuses(self, candidate: Candidate, is_provider: Callable[[str], bool]) -> str:
        """'' if the candidate is admitted, else the reason."""
        provider = candidate.provider
        ids = [name.lower() for name in (provider.id, provider.stored_id) if name]
        if self.providers is not None and self.providers.isdisjoint(ids):
            return PROVIDER_NOT_ALLOWED
        if self.models is not None and not self._admits(candidate, ids, is_provider):
            return MODEL_NOT_ALLOWED
        return "" if self.routes is None or self.routes(candidate) else NO_ROUTING_RULE

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

    ``access``: None without a gateway key. ``passthrough``: None without a usable client credential, '' for one that
    any provider may see, else the id of the official provider that issues such (AG-195 e).
    """

    access: AccessScope | None = None
    passthrough: str | None = None

    def offers(self, provider: Provider) -> bool:
        """Whether section 7 can offer a credential for this provider, or it needs none (AG-98)."""
        if provider.key_texts or not provider.official:
            return True
        access = self.access
        if access is not None and (provider.managed_texts or provider.id in access.stored):
            return True
        return self.passthrough is not None and self.passthrough in ("", provider.id)


#: a caller without any credential
NO_REACH: Final = Reach()
