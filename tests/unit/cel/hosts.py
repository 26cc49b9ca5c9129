"""Host objects and the two ways to run an expression that the tests of this folder share.

``run`` evaluates with declared types and again with none (every check at run time) and insists that both agree: a
wrong totality mark or a wrong fast path shows as a difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from gateway.cel.compile import Program, compile_conjunction, compile_expression, locate
from gateway.cel.env import (
    DOUBLE,
    DYN,
    HEADER_MAP,
    INT,
    STRING,
    VALUE_LIST,
    VALUE_MAP,
    CelType,
    Environment,
    Function,
    ai_list_of,
    list_of,
    map_of,
    nullable,
    object_of,
    sensitive,
)
from gateway.cel.errors import EvaluationError, Failure
from gateway.headers import HeaderMap, ValueList


class Url(str):
    """A string with members (TP-94)."""

    __cel__: ClassVar[Mapping[str, CelType]] = {"path": STRING, "port": nullable(INT), "query_params": VALUE_MAP}
    path = "/api"
    port: int | None = None
    query_params: ClassVar[dict[str, ValueList]] = {"q": ValueList(["1", "2"])}


@dataclass
class Cookie:
    __cel__: ClassVar[Mapping[str, CelType]] = {"name": STRING, "value": STRING}
    name: str
    value: str


@dataclass
class Request:
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "method": STRING, "headers": HEADER_MAP, "url": sensitive(object_of(Url)), "content_length": nullable(INT),
        "cookies": map_of(list_of(object_of(Cookie), lookup=True), lookup=True),
    }  # fmt: skip
    headers: HeaderMap = field(default_factory=HeaderMap)
    method: str = "POST"
    url: Url = field(default_factory=lambda: Url("https://example.com/api"))
    content_length: int | None = None
    cookies: dict[str, list[Cookie]] = field(default_factory=dict)


@dataclass
class Result:
    __cel__: ClassVar[Mapping[str, CelType]] = {"status": nullable(STRING), "tags": nullable(list_of(STRING))}
    status: str | None = None
    tags: list[str] | None = None


@dataclass
class Actions:
    __cel__: ClassVar[Mapping[str, CelType]] = {"gateway": nullable(object_of(Result)), "limit": object_of(Result)}
    gateway: Result | None = None
    limit: Result = field(default_factory=Result)


@dataclass
class Namespaces:
    __cel__: ClassVar[Mapping[str, CelType]] = {"ngrok": object_of(Actions)}
    ngrok: Actions = field(default_factory=Actions)


@dataclass
class Quota:
    __cel__: ClassVar[Mapping[str, CelType]] = {"requests": nullable(INT), "tokens": nullable(INT)}
    requests: int | None = None
    tokens: int | None = None


@dataclass
class Key:
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING, "quota": object_of(Quota), "errors": DOUBLE, "value": sensitive(STRING), "metadata": map_of(DYN),
    }  # fmt: skip
    id: str
    quota: Quota = field(default_factory=Quota)
    errors: float = 0.0
    value: str = ""
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass
class Model:
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING, "window": nullable(INT), "metadata": map_of(DYN), "pricing": nullable(object_of(Quota)),
        "modalities": list_of(STRING), "training": nullable(STRING),
    }  # fmt: skip
    id: str
    window: int | None = None
    metadata: dict[str, object] = field(default_factory=dict)
    pricing: Quota | None = None
    modalities: list[str] = field(default_factory=list)
    training: str | None = None


@dataclass
class Ai:
    __cel__: ClassVar[Mapping[str, CelType]] = {"models": ai_list_of(Model), "keys": ai_list_of(Key, undecided=True)}
    models: list[Model] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)


@dataclass
class Scope:
    req: Request = field(default_factory=Request)
    vars: dict[str, Any] = field(default_factory=dict)
    actions: Namespaces = field(default_factory=Namespaces)
    ai: Ai = field(default_factory=Ai)
    secrets: dict[str, str] = field(default_factory=dict)


def _secret(scope: Scope, vault: str, name: str) -> str:
    if name not in scope.secrets:
        raise Failure("no such secret")
    return scope.secrets[name]


def _header(scope: Scope, name: str) -> ValueList:
    return scope.req.headers.get(name.lower()) or ValueList()


ENVIRONMENT = Environment(
    {
        "req": object_of(Request), "vars": map_of(DYN), "actions": object_of(Namespaces), "ai": object_of(Ai),
    },
    (
        Function("secrets.get", (STRING, STRING), sensitive(STRING), _secret, scope=True, reads=("secrets",)),
        Function("getReqHeader", (STRING,), VALUE_LIST, _header, scope=True, reads=("req.headers",)),
    ),
)  # fmt: skip
UNCHECKED = replace(ENVIRONMENT, checked=False)


def request(**headers: str | list[str]) -> Scope:
    """``request(x_api_key='a')``: a scope with these headers."""
    pairs = [
        (name.replace("_", "-"), value)
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return Scope(req=Request(HeaderMap.of(pairs)))


def outcome(program: Program, scope: Any) -> object:
    """The value, or the error located."""
    try:
        return program.evaluate(scope)
    except Exception as error:  # noqa: BLE001 - anything a program raises is an outcome
        return locate(program, error)


def alike(left: object, right: object) -> bool:
    """Same class and equal, NaN included; all errors are alike."""
    if isinstance(left, EvaluationError) or isinstance(right, EvaluationError):
        return isinstance(left, EvaluationError) and isinstance(right, EvaluationError)
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(alike(value, right[key]) for key, value in left.items())
    return left.__class__ is right.__class__ and left == right


def run(expression: str, scope: Any = None, *, both: bool = True) -> Any:
    """The value; raises EvaluationError. ``both=False`` where meaning comes from declared types alone."""
    scope = scope or Scope()
    typed = outcome(compile_expression(expression, ENVIRONMENT), scope)
    if both:
        untyped = outcome(compile_expression(expression, UNCHECKED), scope)
        assert alike(typed, untyped), f"{expression}: {typed!r} with types, {untyped!r} without"
    if isinstance(typed, EvaluationError):
        raise typed
    return typed


def fails(expression: str, scope: Any = None, *, both: bool = True) -> str:
    """The message of the evaluation error that it must raise."""
    try:
        value = run(expression, scope, both=both)
    except EvaluationError as error:
        return error.message
    raise AssertionError(f"{expression} gave {value!r}")


def conjunction(*expressions: str, scope: Any = None) -> Any:
    """The outcome of one rule's expressions (TP-75)."""
    return outcome(compile_conjunction(expressions, ENVIRONMENT), scope or Scope())
