"""The grammar: cel-python's own, as installed, with the definitions below put in the place of its own.

Only the grammar *file* of the package is read; importing ``celpy`` would cost 85 ms and 30 MB. Why each definition is
replaced stands beside it. Positions need every token, hence ``keep_all_tokens``.
"""

from __future__ import annotations

import importlib.util
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from lark import Lark
from lark.visitors import Transformer

_STATEMENT = re.compile(r"^([a-zA-Z_]\w*)(?:\.\d+)?[ \t]*:(.*?)(?=^\S|\Z)", re.M | re.S)

#: rules whose only purpose is precedence: with one child, the child stands for the rule
_TRANSPARENT = frozenset(
    ("expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member", "primary")
)

#: reserved words are legal as member names and checked where names are used; literals have fewer terminals below
_DROPPED = frozenset(("RESERVED", "BOOL_LIT", "NULL_LIT", "MLSTRING_LIT", "BYTES_LIT", "HEXDIGIT", "DIGIT", "EXPONENT"))

_OPERATOR_RULE = re.compile(r"(relation|addition|multiplication|unary)_")

_REPLACED = {
    # one rule a level instead of one an operator: the tables are computed in 0.10 s instead of 0.26 s
    "expr": 'conditionalor ["?" conditionalor ":" expr]',
    "conditionalor": 'conditionaland | conditionalor "||" conditionaland',
    "conditionaland": 'relation | conditionaland "&&" relation',
    "relation": 'addition | relation (COMPARISON | "in") addition',
    "addition": 'multiplication | addition ("+" | "-") multiplication',
    "multiplication": 'unary | multiplication ("*" | "/" | "%") unary',
    "unary": 'member | ("!" | "-") unary',
    "COMPARISON": "/<=|>=|==|!=|<|>/",
    # a terminal each would split `trueish`; anonymous keywords match whole identifiers only
    "literal": 'UINT_LIT | FLOAT_LIT | INT_LIT | STRING_LIT | "true" | "false" | "null"',
    # backquoted member names
    "member_dot": 'member "." (IDENT | QUOTED)',
    # trailing commas
    "exprlist": 'expr ("," expr)* [","]',
    "mapinits": 'expr ":" expr ("," expr ":" expr)* [","]',
    "fieldinits": 'IDENT ":" expr ("," IDENT ":" expr)* [","]',
    # without a sign: `a -1` is a subtraction and the lexer need not know where it is; parse.py folds `-1`
    "INT_LIT": "/0[xX][0-9a-fA-F]+|[0-9]+/",
    "UINT_LIT.3": "/(0[xX][0-9a-fA-F]+|[0-9]+)[uU]/",
    # `1.` is not a number
    "FLOAT_LIT.3": r"/[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+/",
    # every prefix, every escape, raw newlines between triple quotes; literals.py decodes and refuses bad escapes
    "STRING_LIT.4": (
        r"/[bB]?[rR](?:'''[\s\S]*?'''|\"\"\"[\s\S]*?\"\"\"|'[^'\r\n]*'|\"[^\"\r\n]*\")"
        r"|[rR][bB](?:'''[\s\S]*?'''|\"\"\"[\s\S]*?\"\"\"|'[^'\r\n]*'|\"[^\"\r\n]*\")"
        r"|[bB]?(?:'''(?:\\[\s\S]|[^\\])*?'''|\"\"\"(?:\\[\s\S]|[^\\])*?\"\"\""
        r"|'(?:\\.|[^'\\\r\n])*'|\"(?:\\.|[^\"\\\r\n])*\")/"
    ),
    "QUOTED": "/`[a-zA-Z0-9_.\\/ -]+`/",
    "COMMENT.5": r"/\/\/[^\n]*/",
}


def _installed_grammar() -> str:
    spec = importlib.util.find_spec("celpy")
    if spec is None or spec.origin is None:
        raise RuntimeError("cel-python is not installed")
    return (Path(spec.origin).parent / "cel.lark").read_text(encoding="utf-8")


def _marked(name: str) -> str:
    return f"?{name}" if name in _TRANSPARENT else name


def extended_grammar() -> str:
    """The text of the grammar that is used."""
    text = re.sub(r"^//.*$", "", _installed_grammar(), flags=re.M)
    replaced = {name.partition(".")[0] for name in _REPLACED}
    lines: list[str] = []
    seen: set[str] = set()
    for match in _STATEMENT.finditer(text):
        name = match[1]
        seen.add(name)
        if name not in replaced and name not in _DROPPED and not _OPERATOR_RULE.match(name):
            lines.append(f"{_marked(name)} : {match[2].strip()}")
    missing = (_TRANSPARENT | replaced) - seen - {"QUOTED", "COMPARISON"}
    if missing:
        raise RuntimeError(f"cel-python's grammar has changed: no {', '.join(sorted(missing))}")
    lines += [f"{_marked(name)} : {body}" for name, body in _REPLACED.items()]
    lines += ["%ignore WHITESPACE", "%ignore COMMENT"]
    return "\n".join(lines)


@lru_cache(maxsize=1)
def parser(builder: type[Transformer[Any, Any]]) -> Lark:
    """The LALR parser; ``builder``'s methods make nodes while it parses. One per process: building takes ~0.1 s."""
    return Lark(
        extended_grammar(), parser="lalr", lexer="basic", start="expr", transformer=builder(),
        keep_all_tokens=True, maybe_placeholders=False, propagate_positions=False,
    )  # fmt: skip
