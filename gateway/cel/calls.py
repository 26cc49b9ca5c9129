"""Calls: conversions and functions, overloads by number and type of arguments, guards where types are not known.

A call with all argument types known becomes a direct call of the implementation. An argument that may be of another
type is guarded; several overloads that only the run time can tell apart go through a dispatcher made at load.
"""

from __future__ import annotations

import ast as python
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.cel import ast, operators, strings
from gateway.cel.env import NOT_LITERAL, REFUSED, Function
from gateway.cel.errors import Failure
from gateway.cel.generator import Fragment, Generator, hint
from gateway.cel.guards import dispatcher, guard, method_guard
from gateway.cel.limits import bounded
from gateway.cel.macros import macro_for
from gateway.cel.names import Path, candidates, path_of, presence, resolve
from gateway.cel.types import DYN, NUMERIC, CelType, Kind, sensitive

_SIZED = (Kind.STRING, Kind.BYTES, Kind.LIST, Kind.MAP, Kind.DYN)
#: literals up to this length cost nothing to read
_SHORT = 64


#: tests of the first of some values: one call instead of three
_FIRST_TESTS: Mapping[Callable[..., object], Callable[..., bool]] = {
    strings.starts_with: operators.first_starts_with,
    strings.ends_with: operators.first_ends_with,
    strings.contains: operators.first_contains,
}


@dataclass(frozen=True, slots=True)
class _Arguments:
    """The arguments of a call; a method's receiver comes first."""

    nodes: tuple[ast.Node, ...]
    fragments: tuple[Fragment, ...]

    @property
    def types(self) -> tuple[CelType, ...]:
        return tuple(fragment.type for fragment in self.fragments)


def generate_call(generator: Generator, node: ast.Node) -> Fragment:
    """``f(x)``, ``a.f(x)``, ``name.space.f(x)``, macros"""
    assert isinstance(node, ast.Call)
    if node.receiver is None:
        if node.name == "has" and len(node.arguments) == 1:
            return presence(generator, node.arguments[0], node)
        overloads = _functions(generator, node.name, node.rooted)
        if not overloads:
            generator.fail(node, f"undeclared function '{node.name}'{hint(node.name, _known(generator, False))}")
        return _call(generator, node, overloads, node.arguments)
    path = path_of(node.receiver)
    if path is not None:
        overloads = _functions(generator, ".".join((*path.names, node.name)), path.rooted)
        if overloads and not _shadowed(generator, path):
            return _call(generator, node, overloads, node.arguments)
    macro = macro_for(node)
    if macro is not None:
        return macro(generator, node)
    return _method(generator, node, path)


def _shadowed(generator: Generator, path: Path) -> bool:
    """A macro variable of that name hides a namespace."""
    return not path.rooted and any(path.names[0] in scope for scope in generator.locals)


def _functions(generator: Generator, name: str, rooted: bool) -> Sequence[Function]:
    for candidate in candidates(generator, name, rooted):
        found = generator.environment.overloads.get((candidate, False))
        if found:
            return found
    return ()


def _known(generator: Generator, method: bool) -> list[str]:
    return [name for name, is_method in generator.environment.overloads if is_method is method]


def _method(generator: Generator, node: ast.Call, path: Path | None) -> Fragment:
    assert node.receiver is not None
    overloads = generator.environment.overloads.get((node.name, True), ())
    if not overloads:
        if path is not None and resolve(generator, path) is None:
            name = ".".join((*path.names, node.name))
            generator.fail(node, f"undeclared function '{name}'{hint(name, _known(generator, False))}")
        wanted = " (write x['name'])" if node.name == "get" else hint(node.name, _known(generator, True))
        generator.fail(node, f"undeclared method '{node.name}'{wanted}")
    return _call(generator, node, overloads, (node.receiver, *node.arguments))


def _call(generator: Generator, node: ast.Call, overloads: Sequence[Function], nodes: tuple[ast.Node, ...]) -> Fragment:
    matching = [function for function in overloads if len(function.params) == len(nodes)]
    if not matching:
        receiver = 1 if overloads[0].method else 0
        counts = sorted({len(function.params) - receiver for function in overloads})
        wanted = " or ".join(map(str, counts))
        generator.fail(
            node, f"'{node.name}' takes {wanted} argument{'s' if counts != [1] else ''}, not {len(nodes) - receiver}"
        )
    arguments = _Arguments(nodes, tuple(generator.generate(argument) for argument in nodes))
    fitting = [function for function in matching if _fits(function, arguments.types)]
    if not fitting:
        kinds = " or ".join(sorted({_signature(function) for function in matching}))
        if generator.environment.checked:
            shown = ", ".join(map(str, arguments.types))
            generator.fail(node, f"no such overload: {node.name}({shown}); there is {kinds}")
        fitting = matching
    exact = [function for function in fitting if _exact(function, arguments.types)]
    chosen = exact[:1] or fitting
    results = {_result(function, arguments) for function in chosen}
    result = results.pop() if len(results) == 1 else DYN
    functions, arguments = _specialised(generator, node, chosen, arguments)
    if generator.loops:
        arguments = _paid(generator, node, functions, arguments)
    if len(functions) == 1:
        fragment = _overload(generator, node, functions[0], arguments, result)
    else:
        fragment = _dispatch(generator, node, functions, arguments, result)
    return _finished(generator, node, chosen, fragment)


def _signature(function: Function) -> str:
    shown = [str(kind) for kind in function.params]
    return (
        f"{shown[0]}.{function.name}({', '.join(shown[1:])})"
        if function.method
        else f"{function.name}({', '.join(shown)})"
    )


def _fits(function: Function, types: Sequence[CelType]) -> bool:
    """No argument is certain to be refused."""
    for position, (wanted, given) in enumerate(zip(function.params, types, strict=True)):
        if wanted.kind is Kind.DYN or given.kind in (Kind.DYN, wanted.kind):
            if wanted.host is not None and given.host is not None and not issubclass(given.host, wanted.host):
                return False
            if _elements_clash(wanted, given):
                return False
            continue
        if given.kind is Kind.NULL and (wanted.nullable or (position == 0 and function.absent is not REFUSED)):
            continue
        return False
    return True


def _elements_clash(wanted: CelType, given: CelType) -> bool:
    """Lists of host objects of another class, or value-list methods on other lists (TP-93)."""
    if wanted.kind is not Kind.LIST or given.kind is not Kind.LIST:
        return False
    if wanted.any_element:
        return not given.any_element
    host = wanted.item.host
    return host is not None and given.item.kind is not Kind.DYN and given.item.host is not host


def _exact(function: Function, types: Sequence[CelType]) -> bool:
    """Every argument is certain to be accepted."""
    return all(_accepts(wanted, given) for wanted, given in zip(function.params, types, strict=True))


def _accepts(wanted: CelType, given: CelType) -> bool:
    if wanted.kind is Kind.DYN:
        return True
    return given.kind is wanted.kind and (wanted.nullable or not given.nullable)


# --- code


def _literals(arguments: _Arguments) -> list[object]:
    return [literal_value(node) for node in arguments.nodes]


def literal_value(node: ast.Node) -> object:
    """The value of a literal or of a list of literals; else NOT_LITERAL."""
    if isinstance(node, ast.Literal):
        return node.value
    if isinstance(node, ast.ListLiteral):
        items = [literal_value(item) for item in node.items]
        return NOT_LITERAL if any(item is NOT_LITERAL for item in items) else items
    return NOT_LITERAL


def _specialised(
    generator: Generator, node: ast.Call, functions: Sequence[Function], arguments: _Arguments
) -> tuple[Sequence[Function], _Arguments]:
    """The functions after a look at literal arguments, and the arguments that are left to pass."""
    literals = _literals(arguments)
    for function in functions:
        message = function.check(literals) if function.check is not None else None
        if message:
            generator.fail(node, message)
    prepared = [_prepared(generator, node, function, literals) for function in functions]
    keep = [index for index, literal in enumerate(literals) if literal is NOT_LITERAL]
    special = [
        replace(function, implementation=made, params=tuple(function.params[index] for index in keep), scope=False)
        for function, made in zip(functions, prepared, strict=True)
        if made is not None
    ]
    if len(special) < len(functions):
        return functions, arguments
    left = _Arguments(
        tuple(arguments.nodes[index] for index in keep), tuple(arguments.fragments[index] for index in keep)
    )
    return special, left


def _paid(generator: Generator, node: ast.Call, functions: Sequence[Function], arguments: _Arguments) -> _Arguments:
    """Arguments inside a loop, charged by their size before the function reads them."""
    method = "worked" if any(function.slow for function in functions) else "scanned"
    fragments = tuple(
        replace(fragment, code=generator.budget(node, method, fragment.code), total=False)
        if _may_be_large(fragment)
        else fragment
        for fragment in arguments.fragments
    )
    return replace(arguments, fragments=fragments)


def _may_be_large(fragment: Fragment) -> bool:
    """Not a short literal, and not a text out of the gateway's own objects, such as the id of a model."""
    if fragment.type.kind not in _SIZED:
        return False
    if isinstance(fragment.code, python.Constant):
        return isinstance(fragment.code.value, str | bytes) and len(fragment.code.value) > _SHORT
    return fragment.type.sensitive or not isinstance(fragment.code, python.Attribute)


def _overload(
    generator: Generator, node: ast.Call, function: Function, arguments: _Arguments, result: CelType
) -> Fragment:
    emit = generator.emit
    if not arguments.nodes and function.prepare is not None:
        return Fragment(emit.constant(node, _folded(generator, node, function.implementation)), result, True)
    if _guards_receiver(function, arguments):
        first, *rest = arguments.fragments
        codes = [first.code, *_guarded(generator, node, function.params[1:], rest)]
        test, looked_up = _FIRST_TESTS.get(function.implementation), emit.sole_argument(first.code, operators.first)
        if test is not None and looked_up is not None and first.type.kind is Kind.STRING:
            return Fragment(emit.call(node, test, looked_up, *codes[1:]), result)
        return Fragment(emit.call(node, method_guard(function, first.type), *codes), result)
    codes = _guarded(generator, node, function.params, arguments.fragments)
    if function.scope:
        codes.insert(0, emit.name(node, "scope"))
    total = (
        function.total and all(fragment.total for fragment in arguments.fragments) and _exact(function, arguments.types)
    )
    return Fragment(_code(generator, node, function, codes), result, total)


def _code(generator: Generator, node: ast.Call, function: Function, codes: list[python.expr]) -> python.expr:
    """A call; the commonest string methods become Python's own."""
    if function.inline is not None:
        return function.inline(generator.emit, node, *codes)
    return generator.emit.call(node, function.implementation, *codes)


def _guards_receiver(function: Function, arguments: _Arguments) -> bool:
    return (
        function.absent is not REFUSED
        and bool(arguments.fragments)
        and not _accepts(function.params[0], arguments.fragments[0].type)
    )


def _prepared(
    generator: Generator, node: ast.Call, function: Function, literals: list[object]
) -> Callable[..., object] | None:
    if function.prepare is None or not generator.environment.checked:
        return None
    try:
        return function.prepare(literals)
    except Failure as failure:
        generator.fail(node, str(failure))


def _folded(generator: Generator, node: ast.Call, function: Callable[..., object]) -> object:
    try:
        return function()
    except Failure as failure:
        generator.fail(node, str(failure))


def _guarded(
    generator: Generator, node: ast.Call, params: Sequence[CelType], fragments: Sequence[Fragment]
) -> list[python.expr]:
    return [
        fragment.code if _accepts(wanted, fragment.type) else generator.emit.call(node, guard(wanted), fragment.code)
        for wanted, fragment in zip(params, fragments, strict=True)
    ]


def _dispatch(
    generator: Generator, node: ast.Call, functions: Sequence[Function], arguments: _Arguments, result: CelType
) -> Fragment:
    """Overloads told apart by the values' types."""
    if any(function.scope for function in functions):
        generator.fail(node, f"'{node.name}' needs the scope and cannot be overloaded by type")
    codes = [fragment.code for fragment in arguments.fragments]
    return Fragment(generator.emit.call(node, dispatcher(functions), *codes), result)


def _result(function: Function, arguments: _Arguments) -> CelType:
    result = function.result(arguments.types) if callable(function.result) else function.result
    confidential = any(kind.sensitive for kind in arguments.types)
    if confidential and result.kind not in (Kind.BOOL, *NUMERIC):
        return sensitive(result)
    return result


def _finished(generator: Generator, node: ast.Call, chosen: Sequence[Function], fragment: Fragment) -> Fragment:
    """Notes what the call means for the whole program; charges for what it makes."""
    for function in chosen:
        generator.pure = generator.pure and function.pure
        generator.reads.update(function.reads)
    if not any(function.grows for function in chosen):
        return fragment
    if generator.loops:
        return replace(fragment, code=generator.budget(node, "grown", fragment.code), total=False)
    return replace(fragment, code=generator.emit.call(node, bounded, fragment.code), total=False)
