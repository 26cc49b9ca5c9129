"""``/gateway-config``: timeouts and caps of shared mode (CP-45, CP-46)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

import orjson

from gateway.control.errors import BAD_VALUE, METADATA_LONG, ApiError
from gateway.control.plane import Change, ControlPlane
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import METADATA_LONGEST, Member, Object, Text, Whole
from gateway.control.texts import ANY
from gateway.control.view import GATEWAY_CONFIG, GatewayConfig
from gateway.schema.scalars import parse_duration
from gateway.store.db import read_fact

TOKENS_MAXIMUM: Final = 500_000
LONGEST_S: Final = 86_400.0
_COLUMNS: Final = {
    "totalTimeout": "total_timeout",
    "perRequestTimeout": "per_request_timeout",
    "maxInputTokens": "max_input_tokens",
    "maxOutputTokens": "max_output_tokens",
    "metadata": "metadata",
}
_CAPS: Final = tuple(
    Member(name, Whole(1, TOKENS_MAXIMUM), nullable=True) for name in ("maxInputTokens", "maxOutputTokens")
)
_METADATA: Final = Member("metadata", Text(METADATA_LONGEST, METADATA_LONG), nullable=True)
UPDATE: Final = Object(
    Member("totalTimeout", ANY), Member("perRequestTimeout", ANY), *_CAPS, _METADATA, title="GatewayConfigUpdate"
)
READ: Final = Object(
    Member("accountId", ANY, required=True),
    Member("uri", ANY, required=True),
    Member("totalTimeout", ANY, required=True),
    Member("perRequestTimeout", ANY, required=True),
    *(replace(cap, required=True) for cap in _CAPS),
    replace(_METADATA, required=True),
    title="GatewayConfig",
)


async def get_config(plane: ControlPlane, call: Call) -> Reply:
    packed = await plane.read(lambda db: read_fact(db, GATEWAY_CONFIG))
    return Reply(200, shown(plane, call, GatewayConfig.unpack(packed)))


async def update(plane: ControlPlane, call: Call) -> Reply:
    for name in ("totalTimeout", "perRequestTimeout"):
        if name in call.body:
            _check_duration(call.body[name], name)

    def work(change: Change) -> Mapping[str, Any]:
        config = GatewayConfig.unpack(change.tx.fact(GATEWAY_CONFIG))
        if not call.body:
            return shown(plane, call, config)
        config = replace(config, **{_COLUMNS[name]: value for name, value in call.body.items()})
        change.tx.set_fact(GATEWAY_CONFIG, orjson.dumps(asdict(config)))
        change.effect(lambda view: replace(view, gateway_config=config))
        body = shown(plane, call, config)
        change.audit("ai_gateway_config_updated", body, list(call.body))
        return body

    return Reply(200, await plane.change(call, work))


def shown(plane: ControlPlane, call: Call, config: GatewayConfig) -> dict[str, Any]:
    """The configuration as the API shows it."""
    values = {name: getattr(config, column) for name, column in _COLUMNS.items()}
    return {"accountId": plane.account_id, "uri": call.uri("gateway-config"), **values}


def _check_duration(text: str, field: str) -> None:
    seconds = parse_duration(text)
    if seconds is None:
        raise ApiError(BAD_VALUE, field=field, reason="it is not a duration like '90s' or '1m30s'")
    if not 0 < seconds <= LONGEST_S:
        raise ApiError(BAD_VALUE, field=field, reason="it must be above 0 and at most 24h")


ROUTES: Final = (
    Route(method="GET", path="/gateway-config", name="GetGatewayConfig", handler=get_config, head=True, result=READ),
    Route(method="PATCH", path="/gateway-config", name="UpdateGatewayConfig", handler=update, body=UPDATE, result=READ),
)
