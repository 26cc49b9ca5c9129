"""The action types of a policy, one file each.

An action file holds exactly three things: a frozen configuration, its declared shape, and ``compile``, which turns
the configuration into a callable. Actions never import each other; what two of them need lives a layer below.
The table of all of them is explicit: nothing registers itself by being imported.
"""

from __future__ import annotations

from typing import Any

from gateway.actions import (
    add_headers,
    ai_gateway,
    basic_auth,
    circuit_breaker,
    close_connection,
    compress_response,
    custom_response,
    deny,
    forward_internal,
    http_request,
    jwt_validation,
    log,
    rate_limit,
    redirect,
    remove_headers,
    request_body_find_replace,
    response_body_find_replace,
    restrict_ips,
    set_vars,
    sse_find_replace,
    url_rewrite,
    verify_webhook,
)
from gateway.policy.action import ActionSpec

_SPECS: tuple[ActionSpec[Any], ...] = (
    add_headers.SPEC,
    ai_gateway.SPEC,
    basic_auth.SPEC,
    circuit_breaker.SPEC,
    close_connection.SPEC,
    compress_response.SPEC,
    custom_response.SPEC,
    deny.SPEC,
    forward_internal.SPEC,
    http_request.SPEC,
    jwt_validation.SPEC,
    log.SPEC,
    rate_limit.SPEC,
    redirect.SPEC,
    remove_headers.SPEC,
    request_body_find_replace.SPEC,
    response_body_find_replace.SPEC,
    restrict_ips.SPEC,
    set_vars.SPEC,
    sse_find_replace.SPEC,
    url_rewrite.SPEC,
    verify_webhook.SPEC,
)

#: type → declaration
ACTIONS: dict[str, ActionSpec[Any]] = {spec.type: spec for spec in _SPECS}
