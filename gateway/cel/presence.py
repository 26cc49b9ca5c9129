"""Which values a condition proves to be there, so that what stands beside it may compare them (TP-83, lint).

    x != null && x > 5        x == null || x > 5        has(x) ? x > 5 : false        hasReqHeader('a') && …

``&&`` and ``||`` do not care for order (TP-73): ``false && error`` is false, so a proof holds for every other operand.
Values are told apart by how they are written; nothing here depends on types, and a proof that is missed costs no more
than a warning.
"""

from __future__ import annotations

from gateway.cel import ast

#: functions that look for a name, and how the value itself is written
_SEARCHES = {
    "hasReqHeader": "req.headers", "hasResHeader": "res.headers", "hasQueryParam": "req.url.query_params",
    "hasReqCookie": "req.cookies", "hasResCookie": "res.cookies",
}  # fmt: skip
_NOTHING: frozenset[str] = frozenset()


def spelled(node: ast.Node) -> str:
    """``req.headers["a"][0]`` for a member or an item by a literal; '' for anything else."""
    match node:
        case ast.Name(name=name):
            return name
        case ast.Select(operand=operand, field=field):
            inner = spelled(operand)
            return f"{inner}.{field}" if inner else ""
        case ast.Index(operand=operand, index=ast.Literal(value=value)):
            inner = spelled(operand)
            return f"{inner}[{value!r}]" if inner else ""
        case _:
            return ""


def proven(node: ast.Node, *, outcome: bool) -> frozenset[str]:
    """What is certainly not null where the condition has that outcome."""
    match node:
        case ast.Unary(operator="!", operand=operand):
            return proven(operand, outcome=not outcome)
        case ast.Logic(operator=operator, operands=operands):
            parts = [proven(operand, outcome=outcome) for operand in operands]
            return _NOTHING.union(*parts) if (operator == "&&") is outcome else parts[0].intersection(*parts[1:])
        case ast.Binary(operator="==" | "!=" as operator, left=left, right=right):
            return _compared(left, right, equal=(operator == "==") is outcome)
        case ast.Binary(operator="in", left=ast.Literal(value=str() as name), right=right) if outcome:
            return _entry(spelled(right), name)
        case ast.Call(receiver=None, name="has", arguments=(value,)) if outcome:
            return _named(spelled(value))
        case ast.Call(receiver=None, name=name, arguments=(ast.Literal(value=str() as key),)) if outcome:
            return _entry(_SEARCHES.get(name, ""), key)
        case _:
            return _NOTHING


def _compared(left: ast.Node, right: ast.Node, *, equal: bool) -> frozenset[str]:
    """``x != null`` proves x; so does ``x == 'a'``."""
    for value, other in ((left, right), (right, left)):
        if isinstance(other, ast.Literal) and (other.value is None) is not equal:
            return _named(spelled(value))
    return _NOTHING


def _named(text: str) -> frozenset[str]:
    return frozenset((text,)) if text else _NOTHING


def _entry(table: str, key: str) -> frozenset[str]:
    """An entry of a map of lookups, and the first of its values: a name that is there has one (TP-91)."""
    if not table:
        return _NOTHING
    names = {key, key.lower()}
    return frozenset(f"{table}[{name!r}]{item}" for name in names for item in ("", "[0]"))
