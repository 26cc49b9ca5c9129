"""``/endpoints``: what the server's configuration says, read only (CP-75)."""

from __future__ import annotations

from typing import Any, Final

from gateway.control.errors import ENDPOINT_NOT_FOUND, ApiError
from gateway.control.plane import ControlPlane, EndpointInfo
from gateway.control.render import page
from gateway.control.request import Call, Reply, Route, Style
from gateway.control.schema import Flag, Member, Object, Words
from gateway.control.texts import ANY, list_of

READ: Final = Object(
    *(Member(name, ANY, required=True) for name in ("id", "uri", "url", "description", "metadata", "type")),
    Member("ai_gateway", Flag(), required=True),
    Member("gateway_keys", Words(("required", "optional", "auto")), required=True),
    title="Endpoint",
)


async def list_endpoints(plane: ControlPlane, call: Call) -> Reply:
    limit, before = call.limit, call.before
    found = sorted(plane.surroundings.endpoints(), key=lambda endpoint: endpoint.id, reverse=True)
    rows = [endpoint for endpoint in found if before is None or endpoint.id < before][: limit + 1]
    return page(call, "endpoints", rows, lambda endpoint: shown(call, endpoint), limit)


async def get_endpoint(plane: ControlPlane, call: Call) -> Reply:
    for endpoint in plane.surroundings.endpoints():
        if endpoint.id == call.item:
            return Reply(200, shown(call, endpoint))
    raise ApiError(ENDPOINT_NOT_FOUND)


def shown(call: Call, endpoint: EndpointInfo) -> dict[str, Any]:
    """An endpoint of the configuration."""
    return {
        "id": endpoint.id,
        "uri": call.uri("endpoints", endpoint.id),
        "url": endpoint.url,
        "description": endpoint.description,
        "metadata": endpoint.metadata,
        "type": "cloud",
        "ai_gateway": endpoint.ai_gateway,
        "gateway_keys": endpoint.gateway_keys,
    }


ROUTES: Final = (
    Route(method="GET", path="/endpoints", name="ListEndpoints", handler=list_endpoints, style=Style.B,
          query=("before_id", "limit"), result=list_of("endpoints", READ, style_b=True)),
    Route(method="GET", path="/endpoints/{id}", name="GetEndpoint", handler=get_endpoint, style=Style.B, result=READ),
)  # fmt: skip
