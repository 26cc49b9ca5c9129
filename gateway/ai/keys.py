"""Which credentials one candidate is tried with, in which order: the rows of AG-190.

Rows 4 and 6 to 9 are here; those that the store's keys add come in as functions (``KeyOptions``).

``Keyring`` belongs to one action of one snapshot. What a candidate's keys look like is prepared once; a request with
literal keys, no strategy and nothing cooling gets an object that is already there.

Invariants
    1. Keys that the action lists are never replaced by the client's own credential (AG-12).
    2. Cooling moves a key back, never out, and only where no strategy decides (AG-157).
    3. Within one order no value occurs twice (AG-151).
    4. Interpolated values are computed once per client request and provider, and leave no trace in the policy's record
       of secrets (AG-195 b).
Source: ai-gateway.md 5.6, 7.2; lessons.md P16.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.ai.credentials import (
    AUTHORIZATION,
    ClientCredential,
    PassthroughRules,
    UpstreamCredential,
    key_header,
    passthrough_header,
)
from gateway.ai.entities import Candidate, KeySource, Provider, ProviderKey
from gateway.ai.key_metrics import MetricsRegistry
from gateway.ai.key_order import Dropped, KeyOrder, no_key, no_rule_keys
from gateway.ai.strategies import DEFAULT_KEYS, KeyChoice, KeyStrategies, Selection
from gateway.ai.surfaces import Format
from gateway.errors import KEY_SELECTION_FAILED, NO_API_KEY
from gateway.secrets.secret import Secret

if TYPE_CHECKING:
    from gateway.cel.template import Template
    from gateway.exchange import Exchange
    from gateway.secrets.stored_keys import StoredKey

#: interpolated values that a candidate remembers; a rotation needs two, a value per caller has no use for memory
_VALUES_LIMIT: Final = 64


class KeyRequest(Protocol):
    """What one client request brings: ``call.AiCall``."""

    @property
    def exchange(self) -> Exchange: ...
    @property
    def credential(self) -> ClientCredential | None: ...
    @property
    def rules(self) -> PassthroughRules | None:
        """None: passthrough is switched off."""
        ...

    @property
    def gateway_key(self) -> object | None:
        """Opaque here."""
        ...

    @property
    def values(self) -> dict[str, tuple[Sequence[Secret], tuple[Dropped, ...]]]:
        """Provider id → its interpolated keys, once computed."""
        ...


#: a row of AG-190: its keys in groups, each of which cools by itself (AG-193), or None if the row does not apply
Row = Callable[["Keyring", Candidate, KeyRequest], Sequence[Sequence[ProviderKey]] | None]


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """``installation_key`` makes key ids that mean nothing elsewhere. Rows 1 to 3, and 5 and 6, come from the store."""

    installation_key: bytes
    cooling: bool = True
    rows_before: Sequence[Row] = ()
    rows_after: Sequence[Row] = ()
    #: a stored key as it is now; None: deleted
    look_up: Callable[[str], StoredKey | None] | None = None


class CandidateKeys:
    """What is known of one candidate's keys. ``order`` is None unless the action's keys are all literal."""

    __slots__ = ("by_value", "choice", "keyless", "order", "rules", "stored")

    def __init__(self, keyless: ProviderKey) -> None:
        self.keyless = keyless
        self.order: KeyOrder | None = None
        self.choice: KeyChoice | None = None
        #: bounded by ``_VALUES_LIMIT``, like the next two
        self.by_value: dict[tuple[KeySource, str], ProviderKey] = {}
        #: (row, ``aigpk_…``) → key
        self.stored: dict[tuple[KeySource, str], ProviderKey] = {}
        #: what whoever provides rows remembers per configuration
        self.rules: dict[object, Any] = {}


class Keyring:
    """All keys of one action."""

    def __init__(
        self, providers: Iterable[Provider], registry: MetricsRegistry, options: KeyOptions, *,
        compile_text: Callable[[str], Template], scope_of: Callable[[Exchange], Any],
        strategies: KeyStrategies | None = None,
    ) -> None:  # fmt: skip
        self._registry = registry
        self._options = options
        self._scope_of = scope_of
        self._strategies = strategies
        self._templates: dict[str, tuple[Secret | Template, ...]] = {
            provider.id: tuple(_parsed(text, compile_text) for text in provider.key_texts) for provider in providers
        }
        self._managed = {
            provider.id: tuple(_parsed(text, compile_text) for text in provider.managed_texts)
            for provider in providers
            if provider.managed_texts
        }

    @property
    def has_managed_keys(self) -> bool:
        """For any provider (AG-187)."""
        return bool(self._managed)

    def key_id(self, value: str) -> str:
        """``kh_`` and 16 hex digits: safe to log (AG-120)."""
        digest = hmac.new(self._options.installation_key, value.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"kh_{digest.hexdigest()[:16]}"

    def key(
        self, candidate: Candidate, value: Secret, source: KeySource, stored_id: str = "", rotation: int = 0
    ) -> ProviderKey:
        """A key at a candidate, with the numbers that every appearance of that key there shares.

        Raises ValueError if the value cannot be sent.
        """
        key_id = stored_id or self.key_id(value.reveal())
        series = self._registry.key(candidate.provider.id, key_id, rotation)
        state = series.state(candidate.upstream_model, known=candidate.model is not None)
        key = ProviderKey(key_id, value, source, state=state, window=series.window, stored_id=stored_id)
        key.credentials[AUTHORIZATION] = UpstreamCredential(AUTHORIZATION, value, server_side=True)
        return key

    def prepared(self, candidate: Candidate) -> CandidateKeys:
        """What this candidate remembers; made at its first request."""
        prepared: CandidateKeys = candidate.keys or self._prepare(candidate)
        return prepared

    def stored_key(self, candidate: Candidate, stored: StoredKey, source: KeySource) -> ProviderKey:
        """A key of the store at a candidate; the same object until its value changes."""
        known = self.prepared(candidate).stored
        key = known.get((source, stored.id))
        if key is None or key.value is not stored.value:
            if len(known) >= _VALUES_LIMIT:
                known.clear()
            key = known[source, stored.id] = self.key(candidate, stored.value, source, stored.id, stored.rotation)
        return key

    def fresh(self, candidate: Candidate, key: ProviderKey) -> ProviderKey | None:
        """The key with its present value; None if it was deleted meanwhile (CP-34, CP-66)."""
        look_up = self._options.look_up
        if not key.stored_id or look_up is None:
            return key
        stored = look_up(key.stored_id)
        if stored is None:
            return None
        return key if stored.value is key.value else self.stored_key(candidate, stored, key.source)

    def managed_keys(self, candidate: Candidate, request: KeyRequest) -> Sequence[ProviderKey]:
        """Row 6, and steps of type ``ngrok``: the operator's keys for everybody (AG-192)."""
        texts = self._managed.get(candidate.provider.id)
        if texts is None:
            return ()
        place = f":{candidate.provider.id}"  # no provider is called so
        found = request.values.get(place)
        if found is None:
            found = request.values[place] = self._evaluate(texts, request)
        prepared = self.prepared(candidate)
        return [self._remembered(candidate, prepared, value, KeySource.MANAGED) for value in found[0]]

    def credential(self, key: ProviderKey, provider: Provider, format: Format) -> UpstreamCredential | None:
        """What goes into the request's head (AG-42, AG-206); None for no credential."""
        if key.source is KeySource.NONE:
            return None
        if key.client_header:
            header = passthrough_header(provider, format, key.client_header)
        else:
            header = key_header(provider, format)
        credential: UpstreamCredential | None = key.credentials.get(header)
        if credential is None:
            credential = UpstreamCredential(header, key.value, server_side=not key.client_header)
            key.credentials[header] = credential
        return credential

    # -- order

    def order(self, candidate: Candidate, request: KeyRequest) -> KeyOrder:
        """The first row of AG-190 that applies."""
        prepared: CandidateKeys = candidate.keys or self._prepare(candidate)
        now_s = self._registry.advance()
        if request.gateway_key is not None:
            for row in self._options.rows_before:
                groups = row(self, candidate, request)
                if groups is not None:
                    return self._grouped(groups, now_s, candidate)
        order = prepared.order
        if order is not None:
            if prepared.choice is not None:
                return self._chosen(prepared.choice, request, order.dropped, now_s)
            for key in order.keys:
                if key.state.cool_until_s > now_s:
                    return self._listed(order.keys, order.dropped, now_s)
            return order
        if candidate.provider.key_texts:
            return self._interpolated(candidate, prepared, request, now_s)
        return self._without_policy_keys(candidate, prepared, request, now_s)

    def _without_policy_keys(
        self, candidate: Candidate, prepared: CandidateKeys, request: KeyRequest, now_s: float
    ) -> KeyOrder:
        if request.gateway_key is not None:
            # account keys give way to managed ones, not to passthrough
            groups = [group for row in self._options.rows_after for group in row(self, candidate, request) or ()]
            groups.append(self.managed_keys(candidate, request))
            if any(groups):
                return self._grouped(groups, now_s, candidate)
        elif request.credential is not None and request.rules is not None:
            provider = candidate.provider
            if not request.credential.is_gateway_key and request.rules.allow(provider):
                request.rules.used(provider)
                return KeyOrder((self._passed_through(prepared, request.credential),))
        if not candidate.provider.official:
            return KeyOrder((prepared.keyless,))
        return KeyOrder((), failure=(NO_API_KEY, {}), detail=no_key(candidate, request, self._templates, self._managed))

    def _passed_through(self, prepared: CandidateKeys, credential: ClientCredential) -> ProviderKey:
        nobody = prepared.keyless
        return ProviderKey(
            "", credential.token, KeySource.PASSTHROUGH, state=nobody.state, window=nobody.window,
            client_header=credential.header,
        )  # fmt: skip

    def _grouped(self, groups: Iterable[Sequence[ProviderKey]], now_s: float, candidate: Candidate) -> KeyOrder:
        keys: list[ProviderKey] = []
        cooling: list[str] = []
        for group in groups:
            ordered, cooled = self._cooled(tuple(group), now_s)
            keys += ordered
            cooling += cooled
        if not keys:
            return KeyOrder((), failure=(NO_API_KEY, {}), detail=no_rule_keys(candidate))
        distinct = _distinct(keys)
        selections = (Selection(DEFAULT_KEYS, "", distinct),)
        perishable = len(distinct) > 1 and any(key.stored_id for key in distinct[1:])
        return KeyOrder(distinct, selections=selections, cooling=tuple(cooling), perishable=perishable)

    def _listed(self, keys: tuple[ProviderKey, ...], dropped: tuple[Dropped, ...], now_s: float) -> KeyOrder:
        if not keys:
            return KeyOrder((), dropped=dropped, failure=(NO_API_KEY, {}))
        keys, cooling = self._cooled(keys, now_s)
        return KeyOrder(keys, selections=(Selection(DEFAULT_KEYS, "", keys),), dropped=dropped, cooling=cooling)

    def _cooled(self, keys: tuple[ProviderKey, ...], now_s: float) -> tuple[tuple[ProviderKey, ...], tuple[str, ...]]:
        """Keys that are cooling go behind the others (AG-157)."""
        if not self._options.cooling:
            return keys, ()
        cooling = [key for key in keys if key.state.cool_until_s > now_s]
        if not cooling:
            return keys, ()
        ready = [key for key in keys if key.state.cool_until_s <= now_s]
        return (*ready, *cooling), tuple(key.id for key in cooling)

    def _chosen(self, choice: KeyChoice, request: KeyRequest, dropped: tuple[Dropped, ...], now_s: float) -> KeyOrder:
        """AG-126, AG-127. While no number changes that a repeatable strategy may see, its decision stands."""
        self._registry.settle_keys(now_s)
        strategies = self._strategies
        if strategies is None or not choice.keys:
            return KeyOrder((), dropped=dropped, failure=(NO_API_KEY, {}))
        version = choice.version()
        if choice.stamp == version:
            known: KeyOrder = choice.known
            return known
        keys, selections = strategies.select(choice, lambda: self._scope_of(request.exchange))
        if keys:
            order = KeyOrder(keys, selections=selections, dropped=dropped)
        else:
            reasons = [selection.error for selection in selections if selection.error]
            reason = reasons[-1] if reasons else "no strategy selected a key"
            failure = (KEY_SELECTION_FAILED, {"reason": reason})
            order = KeyOrder((), selections=selections, dropped=dropped, failure=failure)
        if strategies.repeatable:
            choice.known, choice.stamp = order, version
        return order

    def _interpolated(
        self, candidate: Candidate, prepared: CandidateKeys, request: KeyRequest, now_s: float
    ) -> KeyOrder:
        provider = candidate.provider.id
        found = request.values.get(provider)
        if found is None:
            found = request.values[provider] = self._evaluate(self._templates[provider], request)
        values, dropped = found
        keys = tuple(self._remembered(candidate, prepared, value, KeySource.POLICY) for value in values)
        if self._strategies is not None:
            return self._chosen(KeyChoice(keys), request, dropped, now_s)
        return self._listed(keys, dropped, now_s)

    def _remembered(
        self, candidate: Candidate, prepared: CandidateKeys, value: Secret, source: KeySource
    ) -> ProviderKey:
        place = (source, value.reveal())
        key = prepared.by_value.get(place)
        if key is None:
            if len(prepared.by_value) >= _VALUES_LIMIT:
                prepared.by_value.clear()
            key = prepared.by_value[place] = self.key(candidate, value, source)
        return key

    def _evaluate(
        self, texts: Sequence[Secret | Template], request: KeyRequest
    ) -> tuple[Sequence[Secret], tuple[Dropped, ...]]:
        """The values of a provider's keys, each once; what fails or is empty is left out (AG-12)."""
        scope = self._scope_of(request.exchange)
        values: dict[str, Secret] = {}
        dropped: list[Dropped] = []
        with scope.private_secrets():
            for position, text in enumerate(texts):
                try:
                    value = text if isinstance(text, Secret) else Secret(text.render(scope))
                    UpstreamCredential(AUTHORIZATION, value, server_side=True)
                except ValueError:
                    dropped.append(Dropped(position, "the value is empty or cannot be sent"))
                except Exception as error:  # noqa: BLE001 - AG-12: whatever one key's expression raises costs that key only
                    dropped.append(Dropped(position, f"the expression failed: {type(error).__name__}"))
                else:
                    values.setdefault(value.reveal(), value)
        return tuple(values.values()), tuple(dropped)

    def _prepare(self, candidate: Candidate) -> CandidateKeys:
        series = self._registry.key(candidate.provider.id, "")
        keyless = ProviderKey("", Secret(""), KeySource.NONE, state=series.state(""), window=series.window)
        prepared = candidate.keys = CandidateKeys(keyless)
        texts = self._templates.get(candidate.provider.id, ())
        literals = [text for text in texts if isinstance(text, Secret)]
        if texts and len(literals) == len(texts):
            keys, dropped = self._literal(candidate, literals)
            selections = (Selection(DEFAULT_KEYS, "", keys),) if keys else ()
            prepared.order = KeyOrder(
                keys, selections=selections, dropped=dropped, failure=None if keys else (NO_API_KEY, {})
            )
            if self._strategies is not None:
                prepared.choice = KeyChoice(keys)
        return prepared

    def _literal(
        self, candidate: Candidate, texts: Sequence[Secret]
    ) -> tuple[tuple[ProviderKey, ...], tuple[Dropped, ...]]:
        keys: dict[str, ProviderKey] = {}
        dropped: list[Dropped] = []
        for position, text in enumerate(texts):
            try:
                keys.setdefault(text.reveal(), self.key(candidate, text, KeySource.POLICY))
            except ValueError:
                dropped.append(Dropped(position, "the value is empty or cannot be sent"))
        return tuple(keys.values()), tuple(dropped)


def _parsed(text: Secret, compile_text: Callable[[str], Template]) -> Secret | Template:
    template = compile_text(text.reveal())
    return template if template.literal is None else Secret(template.literal)


def _distinct(keys: Iterable[ProviderKey]) -> tuple[ProviderKey, ...]:
    by_value: dict[str, ProviderKey] = {}
    for key in keys:
        by_value.setdefault(key.value.reveal(), key)
    return tuple(by_value.values())
