"""``&&``, ``||`` and ``?:``.

``&&`` and ``||`` are commutative over errors (TP-73), so operands that cannot fail go first, and one fallible operand
may follow in a plain ``and``/``or``. With more, each fallible operand is tried, and the first error stands unless
another operand decides. ``try`` costs nothing when nothing is raised.
"""

from __future__ import annotations

import ast as python
from dataclasses import dataclass

from gateway.cel import ast
from gateway.cel.emit import Statements
from gateway.cel.errors import LimitExceeded
from gateway.cel.generator import Block, Fragment, Generator, joined
from gateway.cel.presence import proven


@dataclass(frozen=True, slots=True)
class _Operand:
    node: ast.Node
    block: Block
    #: cannot fail and needs no statements
    safe: bool


def generate_logic(generator: Generator, node: ast.Node) -> Fragment:
    """``a && b && …`` or ``a || b || …``"""
    assert isinstance(node, ast.Logic)
    return generator.outlined(node, lambda: _logic(generator, node))


def _logic(generator: Generator, node: ast.Logic) -> Fragment:
    operands = []
    # what one operand proves counts in all: in itself it can only prove what it checks itself
    proofs = frozenset[str]().union(*(proven(operand, outcome=node.operator == "&&") for operand in node.operands))
    for operand in node.operands:
        with generator.proving(proofs):
            block = generator.block(operand)
        operands.append(_Operand(operand, block, block.fragment.total_bool and not block.statements))
    operands.sort(key=lambda operand: not operand.safe)
    fallible = [operand for operand in operands if not operand.safe]
    if len(fallible) > 1 or any(operand.block.statements for operand in fallible):
        return _tried(generator, node, operands)
    codes = [generator.condition(operand.node, operand.block.fragment) for operand in operands]
    return generator.boolean(generator.emit.logic(node, node.operator, codes), total=not fallible)


def _tried(generator: Generator, node: ast.Logic, operands: list[_Operand]) -> Fragment:
    """A ``while True`` that ends with the decision, or with the first error."""
    emit = generator.emit
    decisive = node.operator == "||"
    result, error = emit.fresh("v"), emit.fresh("e")
    body: Statements = []
    for operand in operands:
        at = operand.node
        code = generator.condition(at, operand.block.fragment)
        decided = emit.compare(at, emit.name(at, result), "is", emit.constant(at, decisive))
        stop = emit.when(at, decided, [emit.assign(at, error, emit.constant(at, None)), emit.stop(at)])
        tried = [*operand.block.statements, emit.assign(at, result, code)]
        if operand.safe:
            body += [*tried, stop]
        else:
            body.append(emit.attempt(at, tried, keep_first_error(generator, at, error), [stop]))
    body += [
        *raise_kept(generator, node, error),
        emit.assign(node, result, emit.constant(node, not decisive)),
        emit.stop(node),
    ]
    generator.statements += [emit.assign(node, error, emit.constant(node, None)), emit.once(node, body)]
    return generator.boolean(emit.name(node, result), total=False)


def keep_first_error(generator: Generator, at: ast.Node, error: str) -> list[python.ExceptHandler]:
    """``except`` clauses that remember the first error in variable ``error``; a limit is passed on."""
    emit = generator.emit
    caught = emit.fresh("x")
    keep = emit.when(at, emit.is_none(at, emit.name(at, error)), [emit.assign(at, error, emit.name(at, caught))])
    return [
        emit.handler(at, LimitExceeded, [emit.raise_(at)]),
        emit.handler(at, Exception, [keep], caught),
    ]


def raise_kept(generator: Generator, at: ast.Node, error: str) -> Statements:
    """Raises the remembered error, if any. The variable is cleared: error → traceback → frame would be a cycle."""
    emit = generator.emit
    clear = emit.assign(at, error, emit.constant(at, None))
    attempt = emit.attempt(at, [emit.raise_(at, emit.name(at, error))], [], [], [clear])
    return [emit.when(at, emit.is_none(at, emit.name(at, error), negated=True), [attempt])]


def generate_conditional(generator: Generator, node: ast.Node) -> Fragment:
    """``condition ? yes : no``"""
    assert isinstance(node, ast.Conditional)
    emit = generator.emit
    condition = generator.generate(node.condition)
    test = generator.condition(node.condition, condition)
    with generator.proving(proven(node.condition, outcome=True)):
        yes = generator.block(node.yes)
    with generator.proving(proven(node.condition, outcome=False)):
        no = generator.block(node.no)
    kind = joined((yes.fragment.type, no.fragment.type))
    if not yes.statements and not no.statements:
        total = condition.total_bool and yes.fragment.total and no.fragment.total
        return Fragment(emit.choice(node, test, yes.fragment.code, no.fragment.code), kind, total)
    result = emit.fresh("v")
    generator.statements.append(
        emit.when(node, test, _assigned(generator, node, yes, result), _assigned(generator, node, no, result))
    )
    return Fragment(emit.name(node, result), kind)


def _assigned(generator: Generator, node: ast.Node, block: Block, result: str) -> Statements:
    return [*block.statements, generator.emit.assign(node, result, block.fragment.code)]
