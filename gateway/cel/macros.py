"""Macros, inlined: ``has``, ``all``, ``exists``, ``exists_one``, ``filter``, ``map``, ``sortBy``, ``sort(x, y, less)``.

A body without statements of its own becomes a comprehension, any other a loop. ``all`` and ``exists`` stop early and
absorb errors like ``&&`` and ``||``. Over AI collections the error rules of AG-107 and AG-128 hold: the collection's
type says which (``Faults``). An absent list is empty (TP-82).
"""

from __future__ import annotations

import ast as python
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gateway.cel import ast
from gateway.cel.emit import Statements
from gateway.cel.errors import LimitExceeded
from gateway.cel.generator import Block, Fragment, Generator, Local
from gateway.cel.logic import keep_first_error, raise_kept
from gateway.cel.sorting import sort_by, sort_by_lenient, sort_with
from gateway.cel.types import DYN, CelType, Faults, Kind, list_of, nullable
from gateway.cel.values import elements


@dataclass(frozen=True, slots=True)
class _Loop:
    """What a macro iterates over, and the variable it binds."""

    node: ast.Call
    iterable: python.expr
    #: the receiver's type
    type: CelType
    item: CelType
    identifier: str
    name: str
    #: iterating cannot fail
    total: bool


Macro = Callable[[Generator, ast.Call], Fragment]


def macro_for(node: ast.Call) -> Macro | None:
    """The macro that a call means; None if it is an ordinary call."""
    if node.receiver is None:
        return None
    return _MACROS.get((node.name, len(node.arguments)))


# --- pieces


def _variable(generator: Generator, node: ast.Node) -> str:
    if not isinstance(node, ast.Name) or node.rooted:
        generator.fail(node, "the first argument of a macro must be a simple name")
    return node.name


def _loop(generator: Generator, node: ast.Call) -> _Loop:
    assert node.receiver is not None
    name = _variable(generator, node.arguments[0])
    receiver = generator.generate(node.receiver)
    kind = receiver.type
    if kind.kind not in (Kind.LIST, Kind.MAP, Kind.DYN, Kind.NULL):
        generator.mismatch(node, kind, operation=f"'{node.name}'")
    item = DYN
    if kind.kind is Kind.LIST:
        item = nullable(kind.item) if kind.any_element and kind.item.nullable else kind.item
    if not generator.environment.checked and kind.faults is Faults.RAISE:
        item = DYN
    plain = kind.is_exactly(Kind.LIST)
    if generator.loops or kind.kind in (Kind.DYN, Kind.NULL):
        iterable = generator.budget(node, "loop", receiver.code)
    elif plain:
        iterable = receiver.code
    else:
        iterable = generator.emit.call(node, elements, receiver.code)
    total = receiver.total and plain and not generator.loops
    return _Loop(node, iterable, kind, item, generator.emit.fresh("x"), name, total)


@contextmanager
def _inside(generator: Generator, names: dict[str, Local], faults: Faults) -> Iterator[None]:
    """The body of a macro: its variables are known, charges count as repeated."""
    outer = generator.faults
    generator.locals.append(names)
    generator.loops += 1
    if faults is not Faults.RAISE:
        generator.faults = faults
    try:
        yield
    finally:
        generator.faults = outer
        generator.loops -= 1
        generator.locals.pop()


def _body(generator: Generator, loop: _Loop, node: ast.Node) -> Block:
    with _inside(generator, {loop.name: Local(loop.identifier, loop.item)}, loop.type.faults):
        return generator.block(node)


def _predicate(generator: Generator, loop: _Loop, node: ast.Node) -> tuple[Block, python.expr]:
    block = _body(generator, loop, node)
    return block, generator.condition(node, block.fragment)


# --- all, exists, exists_one


def _exists(generator: Generator, node: ast.Call) -> Fragment:
    return generator.outlined(node, lambda: _search(generator, node, True))


def _all(generator: Generator, node: ast.Call) -> Fragment:
    return generator.outlined(node, lambda: _search(generator, node, False))


def _search(generator: Generator, node: ast.Call, wanted: bool) -> Fragment:
    """A loop that ends at the first element whose predicate is ``wanted``."""
    emit = generator.emit
    loop = _loop(generator, node)
    body = node.arguments[1]
    block, test = _predicate(generator, loop, body)
    result = emit.fresh("v")
    found = [emit.assign(node, result, emit.constant(node, wanted)), emit.stop(node)]
    start = [emit.assign(node, result, emit.constant(node, not wanted))]
    if block.fragment.total_bool and not block.statements:
        stop = emit.when(body, test if wanted else emit.inverse(body, test), found)
        generator.statements += [*start, emit.loop(node, loop.identifier, loop.iterable, [stop])]
        return generator.boolean(emit.name(node, result), total=loop.total)
    value, error = emit.fresh("v"), emit.fresh("e")
    if loop.type.faults is not Faults.RAISE:
        # AG-107: an element that fails does not satisfy the predicate
        failed = [emit.assign(body, value, emit.constant(body, False))]
        handlers = _dropping(generator, body, failed)
        tail: Statements = []
        found_here = [emit.when(body, _is(generator, body, value, wanted), found)]
        tried = emit.attempt(body, [*block.statements, emit.assign(body, value, test)], handlers, [])
        steps = [tried, *found_here]
    else:
        start.append(emit.assign(node, error, emit.constant(node, None)))
        forget = emit.assign(body, error, emit.constant(body, None))
        stop = emit.when(body, _is(generator, body, value, wanted), [forget, *found])
        handlers = keep_first_error(generator, body, error)
        steps = [emit.attempt(body, [*block.statements, emit.assign(body, value, test)], handlers, [stop])]
        tail = raise_kept(generator, node, error)
    generator.statements += [*start, emit.loop(node, loop.identifier, loop.iterable, steps), *tail]
    return generator.boolean(emit.name(node, result), total=False)


def _is(generator: Generator, at: ast.Node, identifier: str, value: bool) -> python.expr:
    return generator.emit.compare(at, generator.emit.name(at, identifier), "is", generator.emit.constant(at, value))


def _exists_one(generator: Generator, node: ast.Call) -> Fragment:
    """Exactly one element satisfies the predicate; errors stand."""
    emit = generator.emit
    chosen = _collect(generator, node, predicate=node.arguments[1], value=None)
    assert chosen.type.kind is Kind.LIST
    count = emit.call(node, len, chosen.code)
    return generator.boolean(emit.compare(node, count, "==", emit.constant(node, 1)), total=chosen.total)


# --- filter, map


def _filter(generator: Generator, node: ast.Call) -> Fragment:
    return _collect(generator, node, predicate=node.arguments[1], value=None)


def _map(generator: Generator, node: ast.Call) -> Fragment:
    predicate = node.arguments[1] if len(node.arguments) == 3 else None
    return _collect(generator, node, predicate=predicate, value=node.arguments[-1])


def _collect(generator: Generator, node: ast.Call, *, predicate: ast.Node | None, value: ast.Node | None) -> Fragment:
    return generator.outlined(node, lambda: _collected(generator, node, predicate, value))


def _collected(generator: Generator, node: ast.Call, predicate: ast.Node | None, value: ast.Node | None) -> Fragment:
    """The list of elements that satisfy ``predicate``, each replaced by ``value``."""
    emit = generator.emit
    loop = _loop(generator, node)
    test: tuple[Block, python.expr] | None = _predicate(generator, loop, predicate) if predicate else None
    result = _body(generator, loop, value) if value else None
    kind = _result_type(loop, result)
    taken = result.fragment.code if result else emit.name(node, loop.identifier)
    tolerant = loop.type.faults is not Faults.RAISE and test is not None and not test[0].fragment.total_bool
    blocks = [part for part in (test[0] if test else None, result) if part is not None]
    if not tolerant and not any(part.statements for part in blocks):
        total = (
            loop.total and all(part.fragment.total for part in blocks) and (test is None or test[0].fragment.total_bool)
        )
        code = emit.comprehension(node, taken, loop.identifier, loop.iterable, test[1] if test else None)
        return Fragment(code, kind, total)
    found = emit.fresh("v")
    take = [*(result.statements if result else []), emit.do(node, _append(generator, node, found, taken))]
    name = emit.name(node, found)
    generator.statements.append(emit.assign(node, found, emit.list_of(node, ())))
    if test is None:
        steps = take
    elif tolerant and predicate is not None:
        return _tolerant(generator, loop, predicate, test, take, found, kind)
    else:
        steps = [*test[0].statements, emit.when(node, test[1], take)]
    generator.statements.append(emit.loop(node, loop.identifier, loop.iterable, steps))
    return Fragment(name, kind)


def _result_type(loop: _Loop, value: Block | None) -> CelType:
    """``filter`` keeps what the collection is; ``map`` makes a plain list."""
    if value is not None:
        return list_of(value.fragment.type)
    if loop.type.kind is Kind.LIST:
        return replace(loop.type, nullable=False)
    return list_of(loop.item)


def _append(generator: Generator, at: ast.Node, found: str, value: python.expr) -> python.expr:
    return generator.emit.method(at, generator.emit.name(at, found), "append", value)


def _dropping(generator: Generator, at: ast.Node, failed: Statements) -> list[python.ExceptHandler]:
    """Any error but an exceeded limit has the effect of ``failed``."""
    emit = generator.emit
    return [emit.handler(at, LimitExceeded, [emit.raise_(at)]), emit.handler(at, Exception, failed)]


def _tolerant(
    generator: Generator, loop: _Loop, at: ast.Node, test: tuple[Block, python.expr], take: Statements,
    found: str, kind: CelType,
) -> Fragment:  # fmt: skip
    """AG-107: failing elements are left out; AG-128: undecided ones follow, unless nothing was certain."""
    emit = generator.emit
    value = emit.fresh("v")
    handlers = _dropping(generator, at, [emit.skip(at)])
    after: Statements = []
    if loop.type.faults is Faults.UNDECIDED:
        undecided = emit.fresh("u")
        generator.statements.append(emit.assign(at, undecided, emit.list_of(at, ())))
        keep = emit.do(at, _append(generator, at, undecided, emit.name(at, loop.identifier)))
        handlers.insert(1, emit.handler(at, TypeError, [keep, emit.skip(at)]))
        extend = emit.method(at, emit.name(at, found), "extend", emit.name(at, undecided))
        after = [emit.when(at, emit.name(at, found), [emit.do(at, extend)])]
    tried = emit.attempt(at, [*test[0].statements, emit.assign(at, value, test[1])], handlers, [])
    steps = [tried, emit.when(at, emit.name(at, value), take)]
    generator.statements += [emit.loop(at, loop.identifier, loop.iterable, steps), *after]
    return Fragment(emit.name(loop.node, found), kind)


# --- sorting


def _sort_by(generator: Generator, node: ast.Call) -> Fragment:
    """``l.sortBy(x, key)``: the keys, then a stable sort. In an AI collection a failing key sorts last."""
    emit = generator.emit
    loop = _loop(generator, node)
    block = _body(generator, loop, node.arguments[1])
    kind = replace(loop.type, nullable=False) if loop.type.kind is Kind.LIST else list_of(loop.item)
    key = _key_function(generator, loop, node.arguments[1], block)
    function = sort_by if loop.type.faults is Faults.RAISE else sort_by_lenient
    return Fragment(emit.call(node, function, loop.iterable, key), kind)


def _key_function(generator: Generator, loop: _Loop, at: ast.Node, block: Block) -> python.expr:
    """A Python function of the element."""
    emit = generator.emit
    if not block.statements:
        return emit.function_of(at, (loop.identifier,), block.fragment.code)
    name = emit.fresh("key")
    body = [*block.statements, emit.return_(at, block.fragment.code)]
    generator.statements.append(emit.function(at, name, (loop.identifier,), body))
    return emit.name(at, name)


def _sort(generator: Generator, node: ast.Call) -> Fragment:
    """``l.sort(x, y, less)``"""
    emit = generator.emit
    loop = _loop(generator, node)
    second = Local(emit.fresh("x"), loop.item)
    names = {loop.name: Local(loop.identifier, loop.item), _variable(generator, node.arguments[1]): second}
    if len(names) < 2:
        generator.fail(node.arguments[1], "the two variables must differ")
    at = node.arguments[2]
    with _inside(generator, names, loop.type.faults):
        block = generator.block(at)
    name = emit.fresh("less")
    body = [*block.statements, emit.return_(at, generator.condition(at, block.fragment))]
    generator.statements.append(emit.function(at, name, (loop.identifier, second.identifier), body))
    generator.needs_budget = True
    kind = replace(loop.type, nullable=False) if loop.type.kind is Kind.LIST else list_of(loop.item)
    arguments = (loop.iterable, emit.name(at, name), emit.name(at, "budget"))
    return Fragment(emit.call(node, sort_with, *arguments), kind)


_MACROS: dict[tuple[str, int], Macro] = {
    ("all", 2): _all,
    ("exists", 2): _exists,
    ("exists_one", 2): _exists_one,
    ("existsOne", 2): _exists_one,
    ("filter", 2): _filter,
    ("map", 2): _map,
    ("map", 3): _map,
    ("sortBy", 2): _sort_by,
    ("sort", 3): _sort,
}
