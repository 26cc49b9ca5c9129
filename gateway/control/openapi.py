"""The OpenAPI 3.1 document of the management API, made from the same routes and shapes that serve it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from gateway import __version__
from gateway.control.request import Route, Style
from gateway.control.schema import JsonSchema, Member, Object, StringMap, Whole
from gateway.control.texts import ANY

_ERROR_A: Final = Object(
    Member("errorCode", ANY, required=True),
    Member("statusCode", Whole(400, 599), required=True),
    Member("msg", ANY, required=True),
    Member("details", StringMap(), required=True),
    title="Error",
)
_ERROR_B: Final = Object(
    Member("error_code", ANY, required=True),
    Member("status_code", Whole(400, 599), required=True),
    Member("msg", ANY, required=True),
    Member("details", Object(Member("operation_id", ANY, required=True)), required=True),
    title="OlderError",
)
_PARAMETERS: Final[dict[str, JsonSchema]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 100},
    "includeRetries": {"type": "boolean", "default": False},
    "groupBy": {"type": "string", "enum": ["provider", "accessKey"], "default": "provider"},
    "startTime": {"type": "string", "format": "date-time"},
    "endTime": {"type": "string", "format": "date-time"},
}
_REQUIRED: Final = frozenset({"startTime"})


def build_document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    schemas: dict[str, JsonSchema] = {}
    paths: dict[str, dict[str, Any]] = {}
    for error in (_ERROR_A, _ERROR_B):
        _named(error, schemas)
    for route in routes:
        operations = paths.setdefault(route.path, {})
        operations[route.method.lower()] = _operation(route, schemas)
        if route.head:
            operations["head"] = _head(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "AI gateway management API", "version": __version__},
        "servers": [{"url": "/"}],
        "security": [{"adminKey": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"adminKey": {"type": "http", "scheme": "bearer"}},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _operation(route: Route, schemas: dict[str, JsonSchema]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success."}
    if route.result is not None:
        success["content"] = _json(_named(route.result, schemas))
    error = "Error" if route.style is Style.A else "OlderError"
    refused = {"description": "Refused.", "content": _json({"$ref": f"#/components/schemas/{error}"})}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "parameters": _parameters(route),
        "responses": {str(route.status): success, "default": refused},
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(_named(route.body, schemas))}
    if route.public:
        operation["security"] = []
    return operation


def _head(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"Head{route.name}",
        "parameters": _parameters(route),
        "responses": {str(route.status): {"description": "Exists."}, "default": {"description": "Refused."}},
    }
    return {**operation, "security": []} if route.public else operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = [
        {
            "name": name,
            "in": "query",
            "required": name in _REQUIRED,
            "schema": _PARAMETERS.get(name, {"type": "string"}),
        }
        for name in route.query
    ]
    if "{id}" in route.path:
        found.insert(0, {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}})
    return found


def _named(shape: Object, schemas: dict[str, JsonSchema]) -> JsonSchema:
    known = schemas.setdefault(shape.title, schema := shape.json_schema())
    if not shape.title or known != schema:
        raise ValueError(f"two shapes are called '{shape.title}'")
    return {"$ref": f"#/components/schemas/{shape.title}"}


def _json(schema: JsonSchema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
