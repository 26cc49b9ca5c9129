"""Names, members and indices: which variable a dotted path means, and how each kind of value is looked into.

A path is resolved at its outermost node, longest declared name first, so that a chain of n members costs n look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.cel import ast, operators
from gateway.cel.generator import Fragment, Generator, Local, hint
from gateway.cel.types import DYN, TYPE, CelType, Faults, Kind, nullable
from gateway.cel.values import TypeValue

_TYPE_NAMES = frozenset(kind.value for kind in Kind) - {"dyn", "object"}
#: TP-79
_ALIASES = {"request": "req", "response": "res"}


class Path(NamedTuple):
    """``a.b.c``: its names, and the nodes that end at each of them."""

    names: tuple[str, ...]
    nodes: tuple[ast.Node, ...]
    rooted: bool


class Resolved(NamedTuple):
    """A variable, and the members of it that the rest of the path names."""

    fragment: Fragment
    rest: tuple[tuple[str, ast.Node], ...]


def path_of(node: ast.Node) -> Path | None:
    """The path that a node spells, if it consists of names only."""
    names: list[str] = []
    nodes: list[ast.Node] = []
    while isinstance(node, ast.Select):
        names.append(node.field)
        nodes.append(node)
        node = node.operand
    if not isinstance(node, ast.Name):
        return None
    names.append(node.name)
    nodes.append(node)
    return Path(tuple(reversed(names)), tuple(reversed(nodes)), node.rooted)


def generate_name(generator: Generator, node: ast.Node) -> Fragment:
    """``a``"""
    assert isinstance(node, ast.Name)
    return _path_value(generator, Path((node.name,), (node,), node.rooted))


def generate_select(generator: Generator, node: ast.Node) -> Fragment:
    """``a.b.c``, or a member of any other expression"""
    assert isinstance(node, ast.Select)
    path = path_of(node)
    if path is not None:
        return _path_value(generator, path)
    chain = [node]
    while isinstance(chain[-1].operand, ast.Select):
        chain.append(chain[-1].operand)
    fragment = generator.generate(chain[-1].operand)
    for select in reversed(chain):
        fragment = _member_step(generator, fragment, select.field, select)
    return fragment


def _path_value(generator: Generator, path: Path) -> Fragment:
    resolved = resolve(generator, path)
    if resolved is None:
        name = path.names[0]
        known = {variable.partition(".")[0] for variable in generator.environment.variables}
        known.update(*generator.locals)
        generator.fail(path.nodes[0], f"undeclared reference to '{name}'{hint(name, known)}")
    fragment = resolved.fragment
    for name, node in resolved.rest:
        fragment = _member_step(generator, fragment, name, node)
    return fragment


def _member_step(generator: Generator, fragment: Fragment, name: str, at: ast.Node) -> Fragment:
    step = member(generator, fragment, name, at)
    return step if generator.environment.checked else Fragment(step.code, DYN)


def resolve(generator: Generator, path: Path) -> Resolved | None:
    """The macro variable, declared variable or type name that begins the path; None if there is none."""
    if not path.rooted:
        local = _local(generator, path.names[0])
        if local is not None:
            code = generator.emit.name(path.nodes[0], local.identifier)
            return Resolved(Fragment(code, local.type, True), _rest(path, 1))
    path = _tolerated(generator, path)
    _refuse_unavailable(generator, path)
    variables = generator.environment.variables
    for count in range(len(path.names), 0, -1):
        for name in candidates(generator, ".".join(path.names[:count]), path.rooted):
            if name in variables:
                generator.reads.add(".".join((name, *path.names[count:])))
                variable = _variable(generator, name, variables[name], path.nodes[count - 1])
                return Resolved(variable, _rest(path, count))
    if path.names[-1] in _TYPE_NAMES or ".".join(path.names) in _TYPE_NAMES:
        value = generator.emit.held(path.nodes[-1], TypeValue(".".join(path.names)))
        return Resolved(Fragment(value, TYPE, True), ())
    return None


def _rest(path: Path, used: int) -> tuple[tuple[str, ast.Node], ...]:
    return tuple(zip(path.names[used:], path.nodes[used:], strict=True))


def _local(generator: Generator, name: str) -> Local | None:
    for scope in reversed(generator.locals):
        if name in scope:
            return scope[name]
    return None


def candidates(generator: Generator, name: str, rooted: bool) -> Iterator[str]:
    """The names that ``name`` may mean, innermost container first."""
    container = "" if rooted else generator.environment.container
    while container:
        yield f"{container}.{name}"
        container = container.rpartition(".")[0]
    yield name


def _variable(generator: Generator, name: str, kind: CelType, at: ast.Node) -> Fragment:
    scope = generator.emit.name(at, "scope")
    if generator.environment.items:
        return Fragment(generator.emit.item(at, scope, generator.emit.constant(at, name)), kind)
    code = scope
    for part in name.split("."):
        code = generator.emit.attribute(at, code, part)
    checked = generator.environment.checked
    return Fragment(code, kind if checked else DYN, checked)


def _tolerated(generator: Generator, path: Path) -> Path:
    """TP-79: ``request`` for ``req``, ``response`` for ``res``, ``req.path`` for ``req.url.path``."""
    variables = generator.environment.variables
    first = path.names[0]
    short = _ALIASES.get(first)
    if short is not None and short in variables and first not in variables:
        generator.warn(path.nodes[0], f"'{first}' is read as '{short}'")
        path = Path((short, *path.names[1:]), path.nodes, path.rooted)
    if path.names[:2] == ("req", "path") and "req" in variables:
        host = variables["req"].host
        if host is not None and "path" not in host.__cel__:
            generator.warn(path.nodes[1], "'req.path' is read as 'req.url.path'")
            nodes = (path.nodes[0], path.nodes[1], *path.nodes[1:])
            path = Path(("req", "url", *path.names[1:]), nodes, path.rooted)
    return path


def _refuse_unavailable(generator: Generator, path: Path) -> None:
    unavailable = generator.environment.unavailable
    if not unavailable:
        return
    for count in range(len(path.names), 0, -1):
        name = ".".join(path.names[:count])
        if name in unavailable:
            generator.fail(path.nodes[count - 1], f"variable not available: {name} ({unavailable[name]})")


# --- members


def member(generator: Generator, value: Fragment, name: str, at: ast.Node) -> Fragment:
    """``value.name``"""
    kind = value.type
    if kind.host is not None:
        return _host_member(generator, value, name, at)
    if kind.kind is Kind.MAP:
        return _map_member(generator, value, name, at)
    if kind.kind is Kind.DYN:
        select = operators.select if generator.faults is Faults.RAISE else operators.select_present
        return Fragment(generator.emit.call(at, select, value.code, generator.emit.constant(at, name)), DYN)
    if generator.environment.checked:
        generator.fail(at, f"{kind} has no member '{name}'")
    return Fragment(generator.emit.call(at, operators.select, value.code, generator.emit.constant(at, name)), DYN)


def _host_member(generator: Generator, value: Fragment, name: str, at: ast.Node) -> Fragment:
    host = value.type.host
    assert host is not None
    found = host.__cel__.get(name)
    if found is None:
        generator.fail(at, f"no member '{name}' in {host.__name__}{hint(name, host.__cel__)}")
    # a member says itself whether it is confidential: the whole of a URL may be, and its path is not
    if value.type.nullable and generator.faults is Faults.RAISE:
        text = generator.emit.constant(at, name)
        return Fragment(generator.emit.call(at, operators.member, value.code, text), nullable(found), value.total)
    total = value.total and not value.type.nullable
    return Fragment(generator.emit.attribute(at, value.code, name), found, total)


def _map_member(generator: Generator, value: Fragment, name: str, at: ast.Node) -> Fragment:
    kind = value.type
    key = generator.emit.constant(at, name.lower() if kind.ignore_case else name)
    if kind.lookup:
        if kind.nullable:
            code = generator.emit.call(at, operators.entry, value.code, key)
        else:
            code = generator.emit.method(at, value.code, "get", key)
        return Fragment(code, nullable(kind.item), value.total)
    if not kind.nullable:
        return Fragment(generator.emit.item(at, value.code, key), kind.item)
    if generator.faults is Faults.RAISE:
        return Fragment(generator.emit.call(at, operators.select, value.code, key), nullable(kind.item))
    return Fragment(generator.emit.call(at, operators.select_present, value.code, key), kind.item)


# --- indices


def generate_index(generator: Generator, node: ast.Node) -> Fragment:
    """``a[i]``"""
    assert isinstance(node, ast.Index)
    chain = [node]
    while isinstance(chain[-1].operand, ast.Index):
        chain.append(chain[-1].operand)
    fragment = generator.generate(chain[-1].operand)
    for step in reversed(chain):
        fragment = _index_step(generator, fragment, step)
    return fragment


def _index_step(generator: Generator, value: Fragment, node: ast.Index) -> Fragment:
    index = generator.generate(node.index)
    if value.type.kind is Kind.MAP:
        step = _map_index(generator, value, index, node)
    elif value.type.kind is Kind.LIST:
        step = _list_index(generator, value, index, node)
    else:
        if value.type.kind not in (Kind.DYN, Kind.NULL):
            generator.mismatch(node, value.type, operation="indexing")
        step = Fragment(generator.emit.call(node, _index_function(generator), value.code, index.code), DYN)
    return step if generator.environment.checked else Fragment(step.code, DYN)


def _index_function(generator: Generator) -> Callable[..., object]:
    return operators.index if generator.faults is Faults.RAISE else operators.index_present


def _map_index(generator: Generator, value: Fragment, index: Fragment, node: ast.Index) -> Fragment:
    kind = value.type
    if isinstance(node.index, ast.Literal) and isinstance(node.index.value, str):
        return _map_member(generator, value, node.index.value, node)
    if kind.lookup:
        look = operators.header if kind.ignore_case else operators.entry
        if index.type.is_exactly(Kind.STRING) and not kind.nullable and not kind.ignore_case:
            code = generator.emit.method(node, value.code, "get", index.code)
            return Fragment(code, nullable(kind.item), value.total and index.total)
        return Fragment(generator.emit.call(node, look, value.code, index.code), nullable(kind.item))
    if index.type.is_exactly(Kind.STRING) and not kind.nullable:
        return Fragment(generator.emit.item(node, value.code, index.code), kind.item)
    result = nullable(kind.item) if kind.nullable else kind.item
    return Fragment(generator.emit.call(node, _index_function(generator), value.code, index.code), result)


def _list_index(generator: Generator, value: Fragment, index: Fragment, node: ast.Index) -> Fragment:
    kind = value.type
    if index.type.kind not in (Kind.INT, Kind.UINT, Kind.DOUBLE, Kind.DYN):
        generator.mismatch(node, index.type, operation="list index")
    literal = node.index.value if isinstance(node.index, ast.Literal) else None
    plain = isinstance(literal, int) and not isinstance(literal, bool) and literal >= 0
    if kind.lookup:
        if plain and literal == 0:
            return Fragment(generator.emit.call(node, operators.first, value.code), nullable(kind.item), value.total)
        code = generator.emit.call(node, operators.item, value.code, index.code)
        total = value.total and index.total and index.type.is_exactly(Kind.INT, Kind.UINT)
        return Fragment(code, nullable(kind.item), total)
    if plain and not kind.nullable:
        return Fragment(generator.emit.item(node, value.code, index.code), kind.item)
    result = nullable(kind.item) if kind.nullable else kind.item
    return Fragment(generator.emit.call(node, _index_function(generator), value.code, index.code), result)


def presence(generator: Generator, node: ast.Node, at: ast.Node) -> Fragment:
    """``has(a.b)`` and ``has(a['b'])`` (TP-84)."""
    emit = generator.emit
    if isinstance(node, ast.Index):
        container, key = generator.generate(node.operand), generator.generate(node.index)
        return generator.boolean(emit.call(node, operators.has_index, container.code, key.code), total=False)
    if not isinstance(node, ast.Select):
        generator.fail(node, "has() needs a member or an index, such as has(a.b) or has(a['b'])")
    path = path_of(node)
    if path is not None:
        resolved = resolve(generator, path)
        if resolved is not None and not resolved.rest:
            return generator.boolean(emit.constant(at, True), total=True)
    owner = generator.generate(node.operand)
    if owner.type.host is not None:
        value = member(generator, owner, node.field, node)
        return generator.boolean(emit.is_none(node, value.code, negated=True), total=value.total)
    if owner.type.kind not in (Kind.MAP, Kind.DYN, Kind.NULL):
        generator.fail(node, f"{owner.type} has no member '{node.field}'")
    name = node.field.lower() if owner.type.ignore_case else node.field
    if owner.type.is_exactly(Kind.MAP):
        code = emit.compare(node, emit.constant(node, name), "in", owner.code)
        return generator.boolean(code, total=owner.total)
    code = emit.call(node, operators.has_member, owner.code, emit.constant(node, name))
    return generator.boolean(code, total=False)
