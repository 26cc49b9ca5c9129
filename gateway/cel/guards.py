"""Run-time type checks at the edge between unknown values and functions with declared parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from gateway.cel.env import REFUSED, Function
from gateway.cel.types import CelType, Kind
from gateway.cel.values import Duration, Timestamp, TypeValue, Uint, no_overload
from gateway.headers import ValueList

#: kinds whose values have exactly this class; the others are tested by isinstance
_CLASSES: Mapping[Kind, type] = {
    Kind.BOOL: bool, Kind.INT: int, Kind.UINT: Uint, Kind.DOUBLE: float, Kind.TIMESTAMP: Timestamp,
    Kind.DURATION: Duration, Kind.TYPE: TypeValue, Kind.NULL: type(None),
}  # fmt: skip
_INSTANCES: Mapping[Kind, type | tuple[type, ...]] = {
    Kind.STRING: str, Kind.BYTES: bytes, Kind.LIST: (list, tuple), Kind.MAP: dict,
}  # fmt: skip


@lru_cache(maxsize=256)
def accepts(wanted: CelType) -> Callable[[object], bool]:
    """A test whether a value has the type."""
    if wanted.kind is Kind.DYN:
        return lambda value: True
    if wanted.nullable:
        inner = accepts(CelType(wanted.kind, host=wanted.host, any_element=wanted.any_element))
        return lambda value: value is None or inner(value)
    if wanted.any_element:
        return lambda value: isinstance(value, ValueList)
    if wanted.host is not None:
        host = wanted.host
        return lambda value: isinstance(value, host)
    exact = _CLASSES.get(wanted.kind)
    if exact is not None:
        return lambda value: value.__class__ is exact
    instance = _INSTANCES[wanted.kind]
    return lambda value: isinstance(value, instance)


@lru_cache(maxsize=256)
def guard(wanted: CelType) -> Callable[[Any], Any]:
    """A function that returns a value of the type and refuses any other."""
    test = accepts(wanted)

    def guarded(value: Any) -> Any:
        if test(value):
            return value
        raise no_overload(value)

    return guarded


def method_guard(function: Function, receiver: CelType) -> Callable[..., object]:
    """The implementation of a method whose receiver may be absent or, where its type is DYN, anything (TP-82)."""
    test = accepts(function.params[0])
    implementation, absent = function.implementation, function.absent
    if receiver.kind is function.params[0].kind:
        return lambda receiver, *arguments: absent if receiver is None else implementation(receiver, *arguments)

    def guarded(receiver: Any, *arguments: Any) -> object:
        if receiver is None:
            return absent
        if test(receiver):
            return implementation(receiver, *arguments)
        raise no_overload(receiver, *arguments)

    return guarded


def dispatcher(functions: Sequence[Function]) -> Callable[..., object]:
    """Calls the first overload that accepts the arguments."""
    rows = [(tuple(map(accepts, function.params)), function.implementation) for function in functions]
    absent = next((function.absent for function in functions if function.absent is not REFUSED), REFUSED)
    rest = tuple(map(accepts, functions[0].params[1:]))

    def dispatch(*arguments: Any) -> object:
        for tests, implementation in rows:
            if all(test(argument) for test, argument in zip(tests, arguments, strict=True)):
                return implementation(*arguments)
        if (
            arguments[0] is None
            and absent is not REFUSED
            and all(test(argument) for test, argument in zip(rest, arguments[1:], strict=True))
        ):
            return absent
        raise no_overload(*arguments)

    return dispatch
