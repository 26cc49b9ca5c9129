"""Every operation of the management API, and which one a request means. What is not in ``ROUTES`` does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

from gateway.control.errors import METHOD_NOT_ALLOWED, NOT_FOUND, ApiError
from gateway.control.request import Route, Style
from gateway.control.resources import (
    access_keys,
    admin_keys,
    attached_keys,
    budgets,
    configurations,
    credits,
    endpoints,
    gateway_api_keys,
    gateway_config,
    process,
    provider_keys,
    providers,
    secrets,
    usage,
    vaults,
)

ROUTES: Final[tuple[Route, ...]] = (
    *access_keys.ROUTES,
    *configurations.ROUTES,
    *admin_keys.ROUTES,
    *provider_keys.ROUTES,
    *providers.ROUTES,
    *gateway_config.ROUTES,
    *usage.ROUTES,
    *credits.ROUTES,
    *budgets.ROUTES,
    *gateway_api_keys.ROUTES,
    *attached_keys.ROUTES,
    *vaults.ROUTES,
    *secrets.ROUTES,
    *endpoints.ROUTES,
    *process.ROUTES,
)
_ITEM: Final = "{id}"


class Match(NamedTuple):
    """The operation and the id in the path, '' if it has none."""

    route: Route
    item: str


class Router:
    """Looks operations up by the segments of a path: no pattern, no order, no normalising."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._paths: dict[tuple[str, ...], dict[str, Route]] = {}
        style_b: set[str] = set()
        for route in routes:
            segments = tuple(route.path.strip("/").split("/"))
            methods = self._paths.setdefault(segments, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} is listed twice")
            methods[route.method] = route
            if route.head:
                methods["HEAD"] = route
            if route.style is Style.B:
                style_b.add(segments[0])
        self._style_b = frozenset(style_b)

    def style_of(self, raw_path: str) -> Style:
        """Which error body a path gets, also one that does not exist."""
        return Style.B if raw_path.lstrip("/").partition("/")[0] in self._style_b else Style.A

    def find(self, method: str, raw_path: str) -> Match:
        """The operation; ApiError 404 or 405 (CP-16)."""
        methods, item = self._methods(raw_path)
        if methods is None:
            raise ApiError(NOT_FOUND, what="Path")
        route = methods.get(method)
        if route is None:
            raise ApiError(METHOD_NOT_ALLOWED, method=method[:16], headers=(("allow", ", ".join(sorted(methods))),))
        return Match(route, item)

    def is_public(self, method: str, raw_path: str) -> bool:
        """Whether the request is answered without an admin key."""
        methods, _ = self._methods(raw_path)
        route = methods.get(method) if methods else None
        return route is not None and route.public

    def _methods(self, raw_path: str) -> tuple[Mapping[str, Route] | None, str]:
        segments = tuple(raw_path[1:].split("/")) if raw_path.startswith("/") else ()
        found = self._paths.get(segments)
        if found is not None:
            return found, ""
        for at in range(1, len(segments)):
            found = self._paths.get((*segments[:at], _ITEM, *segments[at + 1 :]))
            if found is not None and segments[at]:
                return found, unquote(segments[at])
        return None, ""
