"""Gateway keys on the request path: who calls, and whether a key is required (AG-185 to AG-188)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import errors
from gateway.ai.credentials import sent_any_credential
from gateway.ai.reach import AccessScope
from gateway.errors import failure

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.auth.last_used import LastUsed
    from gateway.auth.scopes import KeyConfiguration
    from gateway.clock import Clock
    from gateway.control.view import View


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
