"""Gateway keys on the request path: who calls, whether a key is required, and which stored keys serve it.

Sources: AG-185 to AG-188, and of AG-190 the rows that come from the store: routing rules, attached keys, the account's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import errors
from gateway.ai.credentials import sent_any_credential
from gateway.ai.entities import KeySource
from gateway.ai.reach import AccessScope
from gateway.auth.scopes import StepKind
from gateway.errors import failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.ai.keys import KeyRequest, Keyring
    from gateway.auth.access_keys import Identity
    from gateway.auth.last_used import LastUsed
    from gateway.auth.scopes import KeyConfiguration, RouteRule
    from gateway.clock import Clock
    from gateway.control.view import View
    from gateway.secrets.stored_keys import StoredKey


class GatewayKeys:
    """The published key table. Without one, every token in gateway format is unknown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._view: View | None = None
        self._scopes: dict[KeyConfiguration, AccessScope | None] = {}
        #: set by the management side, so that uses are written in batches (CP-67)
        self.last_used: LastUsed | None = None

    def publish(self, view: View) -> None:
        """Keys and configurations of ``view`` hold from now on."""
        self._view = view
        self._scopes = {}

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
        identity = view.access_keys.find(credential.token.reveal()) if view is not None else None
        if view is None or identity is None:
            raise failure(errors.INVALID_KEY)
        if identity.endpoint_id is not None and identity.endpoint_id != call.exchange.endpoint.id:
            raise failure(errors.KEY_OUT_OF_SCOPE)
        call.gateway_key = identity
        call.gateway_key_id = identity.id
        configuration = view.access_keys.configuration_of(identity)
        if configuration is not None:
            call.access = self._scope(configuration)
        if self.last_used is not None:
            self.last_used.touch(identity.id, int(self._clock.now() * 1_000))

    def _required(self, call: AiCall) -> bool:
        """AG-187. ``auto``: in action mode once a key was made for the endpoint, in shared mode once any was."""
        endpoint = call.exchange.endpoint
        if endpoint.gateway_keys != "auto":
            return bool(endpoint.gateway_keys == "required")
        view = self._view
        if view is None:
            return False
        if call.gateway.options.shared:
            return bool(view.access_keys.made_for) or len(view.provider_keys) > 0
        return endpoint.id in view.access_keys.made_for

    def _scope(self, configuration: KeyConfiguration) -> AccessScope | None:
        """One object per configuration: plans are cached by it."""
        if configuration not in self._scopes:
            providers, models = configuration.providers, configuration.models
            self._scopes[configuration] = (
                None if providers is None and models is None else AccessScope(providers, models)
            )
        return self._scopes[configuration]

    # ---- rows of AG-190 -------------------------------------------------------------------------------------------

    def routed(self, keyring: Keyring, candidate: Candidate, request: KeyRequest) -> Sequence[ProviderKey] | None:
        """Rows 1 and 2: the first rule that matches, its steps in order; no match serves nothing (AG-203)."""
        identity, view = _identity(request), self._view
        configuration = (
            view.access_keys.configuration_of(identity) if view is not None and identity is not None else None
        )
        if view is None or configuration is None or not configuration.rules:
            return None
        rule = next((rule for rule in configuration.rules if _matches(rule, candidate)), None)
        if rule is None:
            return ()
        ids = [key_id for step in rule.steps if step.kind is StepKind.USER for key_id in step.key_ids]
        stored = [key for key_id in ids if (key := view.provider_keys.get(key_id)) is not None]
        return _built(keyring, candidate, stored, KeySource.ROUTED)

    def attached(self, keyring: Keyring, candidate: Candidate, request: KeyRequest) -> Sequence[ProviderKey] | None:
        """Row 3: keys attached to the gateway key replace the policy's."""
        identity, view = _identity(request), self._view
        if view is None or identity is None:
            return None
        stored = view.provider_keys.attached(identity.id, candidate.provider.id)
        return _built(keyring, candidate, stored, KeySource.ATTACHED) if stored else None

    def account(self, keyring: Keyring, candidate: Candidate, request: KeyRequest) -> Sequence[ProviderKey] | None:
        """Row 5: the account's keys, newest first."""
        view = self._view
        if view is None:
            return None
        return _built(keyring, candidate, view.provider_keys.account(candidate.provider.id), KeySource.ACCOUNT)


def _identity(request: KeyRequest) -> Identity | None:
    identity: Identity | None = request.gateway_key  # type: ignore[assignment] # opaque below; set by authenticate
    return identity


def _built(
    keyring: Keyring, candidate: Candidate, stored: Iterable[StoredKey], source: KeySource
) -> Sequence[ProviderKey]:
    return [keyring.key(candidate, key.value, source, key.id) for key in stored]


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
