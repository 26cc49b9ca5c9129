"""Gateway keys on the request path: who calls, whether a key is required, and which stored keys serve it.

Everything is looked up in the view that was published last, so that a change holds for the next request (CP-66). What
is remembered hangs on objects of a view (a configuration, a candidate) and goes with them.

Sources: AG-185 to AG-188, and of AG-190 the rows that come from the store: routing rules, attached keys, the account's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.ai.credentials import sent_any_credential
from gateway.ai.entities import KeySource
from gateway.ai.reach import AccessScope
from gateway.auth.scopes import StepKind
from gateway.errors import failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.ai.keys import KeyRequest, Keyring
    from gateway.auth.access_keys import Identity
    from gateway.auth.last_used import LastUsed
    from gateway.auth.scopes import KeyConfiguration, RouteRule, RouteStep
    from gateway.clock import Clock
    from gateway.control.view import View
    from gateway.secrets.stored_keys import StoredKey, StoredKeyTable


_SCOPES_LIMIT: Final = 1_024
_RULES_LIMIT: Final = 64


class GatewayKeys:
    """The published key table. Without one, every token in gateway format is unknown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._view: View | None = None
        #: what each key of this view may use
        self._grants: dict[Identity, AccessScope] = {}
        #: plans are kept by scope, so the same one is given as long as nothing in it has changed
        self._scopes: dict[tuple[KeyConfiguration | None, frozenset[str]], AccessScope] = {}
        #: set by the management side, so that uses are written in batches (CP-67)
        self.last_used: LastUsed | None = None

    def publish(self, view: View) -> None:
        """Keys and configurations of ``view`` hold from now on."""
        self._view = view
        self._grants = {}
        known = view.access_keys.configurations
        self._scopes = {
            place: scope
            for place, scope in self._scopes.items()
            if place[0] is None or known.get(place[0].id) is place[0]
        }

    def authenticate(self, call: AiCall) -> None:
        """Sets the call's key and scope; raises 401 or 403."""
        credential = call.credential
        if credential is None or not credential.is_gateway_key:
            if self._required(call):
                if credential is None and not sent_any_credential(call.exchange.headers):
                    raise failure(errors.AUTHENTICATION_FAILED, reason="a gateway key is required")
                raise failure(errors.INVALID_KEY)
            return
        view = self._view
        try:
            identity = view.access_keys.find(credential.token.reveal()) if view is not None else None
        except Exception as error:  # AG-186: whatever keeps a key from being looked up admits nobody
            failed = failure(errors.KEY_CHECK_FAILED)
            failed.cause = type(error).__name__
            raise failed from error
        if view is None or identity is None:
            raise failure(errors.INVALID_KEY)
        if identity.endpoint_id is not None and identity.endpoint_id != call.exchange.endpoint.id:
            raise failure(errors.KEY_OUT_OF_SCOPE)
        call.gateway_key = identity
        call.gateway_key_id = identity.id
        call.access = self._grants.get(identity) or self._granted(identity, view)
        self.touch(identity.id)

    def touch(self, key_id: str) -> None:
        """A request with a gateway key was accepted, or an attempt with a provider key begins (CP-67)."""
        if self.last_used is not None:
            self.last_used.touch(key_id, int(self._clock.now() * 1_000))

    def _required(self, call: AiCall) -> bool:
        """AG-187. ``auto``: in action mode once a key was made for the endpoint, in shared mode once any was."""
        endpoint = call.exchange.endpoint
        if endpoint.gateway_keys != "auto":
            return bool(endpoint.gateway_keys == "required")
        view = self._view
        if view is None:
            return False
        if call.gateway.options.shared:
            keyring = call.gateway.keyring
            return bool(view.access_keys.made_for) or len(view.provider_keys) > 0 or keyring.has_managed_keys
        return endpoint.id in view.access_keys.made_for

    def _granted(self, identity: Identity, view: View) -> AccessScope:
        configuration = view.access_keys.configuration_of(identity)
        keys = view.provider_keys
        stored = keys.account_providers() | keys.attached_providers(identity.id)
        if configuration is not None and configuration.rules:
            stored = stored | _routed_providers(configuration, keys)
        place = (configuration, stored)
        scope = self._scopes.get(place)
        if scope is None:
            if len(self._scopes) >= _SCOPES_LIMIT:
                self._scopes.clear()
            scope = self._scopes[place] = _scope(configuration, stored)
        self._grants[identity] = scope
        return scope

    def provider_key(self, key_id: str) -> StoredKey | None:
        """A stored provider key as it is now."""
        return None if self._view is None else self._view.provider_keys.get(key_id)

    # ---- rows of AG-190 -------------------------------------------------------------------------------------------

    def routed(
        self, keyring: Keyring, candidate: Candidate, request: KeyRequest
    ) -> Sequence[Sequence[ProviderKey]] | None:
        """Rows 1 and 2: the first rule that matches, its steps in order."""
        identity, view = _identity(request), self._view
        if view is None or identity is None or identity.configuration_id is None:
            return None
        configuration = view.access_keys.configuration_of(identity)
        if configuration is None or not configuration.rules:
            return None
        rules = keyring.prepared(candidate).rules
        if configuration not in rules:
            if len(rules) >= _RULES_LIMIT:
                rules.clear()
            rules[configuration] = _rule_for(configuration, candidate)
        rule: RouteRule | None = rules[configuration]
        if rule is None:  # a plan has none such, unless the configuration changed meanwhile
            return ()
        return [_step_keys(step, view.provider_keys, keyring, candidate, request) for step in rule.steps]

    def attached(
        self, keyring: Keyring, candidate: Candidate, request: KeyRequest
    ) -> Sequence[Sequence[ProviderKey]] | None:
        """Row 3: keys attached to the gateway key replace the policy's."""
        identity, view = _identity(request), self._view
        if view is None or identity is None:
            return None
        stored = view.provider_keys.attached(identity.id, candidate.provider.id)
        return (_built(keyring, candidate, stored, KeySource.ATTACHED),) if stored else None

    def account(
        self, keyring: Keyring, candidate: Candidate, request: KeyRequest
    ) -> Sequence[Sequence[ProviderKey]] | None:
        """Row 5: the account's keys, newest first."""
        view = self._view
        stored = view.provider_keys.account(candidate.provider.id) if view is not None else ()
        return (_built(keyring, candidate, stored, KeySource.ACCOUNT),) if stored else None


def _identity(request: KeyRequest) -> Identity | None:
    identity: Identity | None = request.gateway_key  # type: ignore[assignment] # opaque below; set by authenticate
    return identity


def _scope(configuration: KeyConfiguration | None, stored: frozenset[str]) -> AccessScope:
    if configuration is None:
        return AccessScope(stored=stored)
    routes = None
    if configuration.rules:

        def routes(candidate: Candidate) -> bool:
            return _rule_for(configuration, candidate) is not None

    return AccessScope(configuration.providers, configuration.models, routes, stored)


def _built(
    keyring: Keyring, candidate: Candidate, stored: Sequence[StoredKey], source: KeySource
) -> Sequence[ProviderKey]:
    return [keyring.stored_key(candidate, key, source) for key in stored]


def _step_keys(
    step: RouteStep, table: StoredKeyTable, keyring: Keyring, candidate: Candidate, request: KeyRequest
) -> Sequence[ProviderKey]:
    """AG-201; deleted keys are passed over (AG-202)."""
    if step.kind is StepKind.MANAGED:
        return keyring.managed_keys(candidate, request)
    stored = [key for key_id in step.key_ids if (key := table.get(key_id)) is not None]
    return _built(keyring, candidate, stored, KeySource.ROUTED)


def _routed_providers(configuration: KeyConfiguration, table: StoredKeyTable) -> frozenset[str]:
    ids = [key_id for rule in configuration.rules for step in rule.steps for key_id in step.key_ids]
    return frozenset(key.provider_id for key_id in ids if (key := table.get(key_id)) is not None)


def _rule_for(configuration: KeyConfiguration, candidate: Candidate) -> RouteRule | None:
    return next((rule for rule in configuration.rules if _matches(rule, candidate)), None)


def _matches(rule: RouteRule, candidate: Candidate) -> bool:
    """AG-200: ``provider`` by id, alias or ``aigp_`` id; ``model`` as an entry of AG-94 that names the provider."""
    provider = candidate.provider
    names = {name.lower() for name in (provider.id, provider.stored_id, *provider.id_aliases) if name}
    if rule.provider is not None and rule.provider not in names:
        return False
    if rule.model is None:
        return True
    model = candidate.name.lower()
    authored = f"{candidate.author.lower()}/{model}"
    return any(rule.model in (f"{name}:{model}", f"{name}:{authored}", f"{name}/{model}") for name in names)
