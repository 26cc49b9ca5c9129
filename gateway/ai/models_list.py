"""``GET /v1/models`` and ``/v1/models/{id}``: what the caller could use, without an upstream call (AG-65)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson

from gateway import errors
from gateway.ai.dialects import dialect_for
from gateway.ai.surfaces import MODELS_PATH, Format
from gateway.errors import failure
from gateway.headers import HeaderMap
from gateway.policy.action import Respond

if TYPE_CHECKING:
    from gateway.ai.call import AiCall

_ITEM_PREFIX = MODELS_PATH + "/"


def is_models_path(path: str) -> bool:
    """``/v1/models`` and ``/v1/models/{id}``; ids may hold slashes."""
    return path == MODELS_PATH or (path.startswith(_ITEM_PREFIX) and len(path) > len(_ITEM_PREFIX))


def answer(call: AiCall) -> Respond:
    """The list or one entry of it, in the caller's dialect: Anthropic's with an ``anthropic-version`` header."""
    anthropic = "anthropic-version" in call.exchange.headers
    dialect = dialect_for(Format.ANTHROPIC if anthropic else Format.OPENAI)
    listed = call.gateway.universe.listed(call.gateway.reach(call), Format.ANTHROPIC.value if anthropic else None)
    path = call.exchange.path
    if path == MODELS_PATH:
        body = dialect.models_list(listed)
    else:
        wanted = unquote(path[len(_ITEM_PREFIX) :]).lower()
        found = next((entry for entry in listed if entry.id.lower() == wanted), None)
        if found is None:
            raise _not_found(wanted)
        body = orjson.dumps(dialect.model(found))
    call.status = "success"
    return Respond(200, HeaderMap.of((("content-type", "application/json"),)), body, run_response_phase=True)


def _not_found(wanted: str) -> errors.GatewayError:
    error = failure(errors.NO_MODELS, reason=f"'{wanted[:256]}'")
    error.status = 404
    return error
