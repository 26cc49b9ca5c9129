"""What expressions may mention, phase by phase (TP-78, TP-144, TP-146, TP-160).

``environment_for`` is the only place that decides which variables and functions exist where, and which of them this
gateway cannot provide (TP-130).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.cel.ast import Node
from gateway.cel.emit import Emitter
from gateway.cel.env import (
    BOOL,
    DYN,
    STRING,
    VALUE_LIST,
    CelType,
    Environment,
    Function,
    map_of,
    nullable,
    object_of,
    sensitive,
)
from gateway.headers import ValueList
from gateway.policy.action import ActionTable
from gateway.policy.connection_views import EndpointView, TimeView, connection_type
from gateway.policy.cookies import Cookie
from gateway.policy.http_views import RequestView, ResponseView
from gateway.policy.model import Phase
from gateway.policy.variables import Scope, StreamMessage

#: what an installation may or may not have → the variables that need it, and what to say
_GROUPS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "geo": (
        ("conn.geo", "conn.client_ip.geo", "conn.server_ip.geo"),
        "needs a city database: set geoip.city_db",
    ),
    "asn": (("conn.client_ip.as", "conn.server_ip.as"), "needs a database of autonomous systems: set geoip.asn_db"),
    "feed": (
        tuple(
            f"conn.{side}_ip.{member}"
            for side in ("client", "server")
            for member in ("categories", "is_on_blocklist", "is_tor_node")
        ),
        "needs lists of addresses: set ip_categories",
    ),
    "tls": (("conn.tls",), "needs a listener that terminates TLS"),
    "ja4": (("conn.tls.ja4_fingerprint",), "needs the raw ClientHello, which the TLS library does not show"),
    "k8s": (("conn.k8s",), "exists only with a Kubernetes binding"),
}
#: groups that an installation can provide at all (TP-130)
PROVIDED = frozenset(("tls", "geo", "asn", "feed"))
_EXCHANGE_FREE = frozenset((Phase.TCP,))
_ANSWERED = frozenset((Phase.RESPONSE, Phase.STREAM))


def unavailable_variables(available: frozenset[str]) -> dict[str, str]:
    """Variable → reason, for every group that is not ``available`` (``geo asn feed tls``) or not provided."""
    provided = available & PROVIDED
    return {name: reason for group, (names, reason) in _GROUPS.items() if group not in provided for name in names}


def environment_for(
    phase: Phase, actions: ActionTable, *, available: frozenset[str] = frozenset(), absent: bool = False
) -> Environment:
    """The names of a phase. ``absent``: what is unavailable loads and is absent (``policy.unavailable_variables``)."""
    variables: dict[str, CelType] = {
        "conn": connection_type(available & PROVIDED),
        "endpoint": object_of(EndpointView),
        "time": object_of(TimeView),
        "vars": map_of(DYN),
        "actions": _actions_type(actions),
    }
    functions = list(_SECRETS)
    missing: dict[str, str] = {} if absent else unavailable_variables(available)
    if phase in _EXCHANGE_FREE:
        missing["req"] = f"there is no request in {phase}"
    else:
        variables["req"] = object_of(RequestView)
        functions += _REQUEST
    if phase in _ANSWERED:
        variables["res"] = object_of(ResponseView)
        functions += _RESPONSE
    else:
        missing["res"] = f"there is no response yet in {phase}"
    if phase is Phase.STREAM:
        variables["sse"] = object_of(StreamMessage)
    else:
        missing["sse"] = f"it exists only in {Phase.STREAM}"
    return Environment(variables, functions, missing)


def _actions_type(actions: ActionTable) -> CelType:
    """``actions.ngrok.<name>`` for every action of the table that has a result (TP-147)."""
    members = {spec.name: nullable(object_of(spec.result)) for spec in actions.values() if spec.result is not None}
    results: Any = type("ActionResults", (), {"__cel__": members})
    holder: Any = type("Actions", (), {"__cel__": {"ngrok": object_of(results)}})
    return object_of(holder)


def _req_header(scope: Scope, name: str) -> ValueList:
    return scope.req.headers.get(name.lower()) or ValueList()


def _res_header(scope: Scope, name: str) -> ValueList:
    return scope.res.headers.get(name.lower()) or ValueList()


def _has_req_header(scope: Scope, name: str) -> bool:
    return name.lower() in scope.req.headers


def _has_res_header(scope: Scope, name: str) -> bool:
    return name.lower() in scope.res.headers


def _query_param(scope: Scope, name: str) -> ValueList:
    return scope.req.url.query_params.get(name) or ValueList()


def _has_query_param(scope: Scope, name: str) -> bool:
    return name in scope.req.url.query_params


def _req_cookie(scope: Scope, name: str) -> Cookie | None:
    cookies = scope.req.cookies.get(name)
    return cookies[0] if cookies else None


def _res_cookie(scope: Scope, name: str) -> Cookie | None:
    cookies = scope.res.cookies.get(name)
    return cookies[0] if cookies else None


def _has_req_cookie(scope: Scope, name: str) -> bool:
    return name in scope.req.cookies


def _has_res_cookie(scope: Scope, name: str) -> bool:
    return name in scope.res.cookies


def _scoped(name: str, result: CelType, implementation: Any, table: str) -> Function:
    """A function that looks its argument up in a map; whether a key that is written out is there is asked in place."""
    inline = partial(_inline_presence, implementation, tuple(table.split("."))) if result is BOOL else None
    read = "req.url" if table.startswith("req.url") else table
    return Function(
        name, (STRING,), result, implementation, scope=True, total=True, looks_in=table, reads=(read,), inline=inline
    )


def _inline_presence(
    implementation: Any, path: tuple[str, ...], emit: Emitter, node: Node, scope: ast.expr, key: ast.expr
) -> ast.expr:
    """``'x' in scope.req.headers``"""
    if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
        return emit.call(node, implementation, scope, key)
    table = scope
    for name in path:
        table = emit.attribute(node, table, name)
    text = key.value.lower() if path[-1] == "headers" else key.value
    return emit.compare(node, emit.constant(node, text), "in", table)


_COOKIE = nullable(object_of(Cookie))
_REQUEST = (
    _scoped("getReqHeader", VALUE_LIST, _req_header, "req.headers"),
    _scoped("hasReqHeader", BOOL, _has_req_header, "req.headers"),
    _scoped("getQueryParam", VALUE_LIST, _query_param, "req.url.query_params"),
    _scoped("hasQueryParam", BOOL, _has_query_param, "req.url.query_params"),
    _scoped("getReqCookie", _COOKIE, _req_cookie, "req.cookies"),
    _scoped("hasReqCookie", BOOL, _has_req_cookie, "req.cookies"),
)
_RESPONSE = (
    _scoped("getResHeader", VALUE_LIST, _res_header, "res.headers"),
    _scoped("hasResHeader", BOOL, _has_res_header, "res.headers"),
    _scoped("getResCookie", _COOKIE, _res_cookie, "res.cookies"),
    _scoped("hasResCookie", BOOL, _has_res_cookie, "res.cookies"),
)
_SECRET = sensitive(STRING)
_SECRETS = (
    Function("secrets.get", (STRING, STRING), _SECRET, Scope.secret, scope=True, pure=False, reads=("secrets",)),
    Function("secrets.get", (STRING,), _SECRET, Scope.single_secret, scope=True, pure=False, reads=("secrets",)),
)
