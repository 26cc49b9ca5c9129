"""What conditions demand. That nothing more is demanded than they need: tests/property/test_demands.py."""

from __future__ import annotations

import pytest

from gateway.cel.demands import demands
from gateway.cel.facts import NEVER, Part, Place, PlaceKind, Prefix, Suffix
from gateway.cel.parse import parse
from gateway.policy.model import Phase
from tests.unit.policy.world import context

KEYS = Place(PlaceKind.KEYS, "req.headers")
FIRST = Place(PlaceKind.FIRST, "req.headers", "a")
ANY = Place(PlaceKind.ANY, "req.headers", "a")
PATH = Place(PlaceKind.VALUE, "req.url.path")
THERE = {KEYS: {"a"}}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("req.headers['A'][0].startsWith('x')", THERE | {FIRST: {Prefix("x")}}),
        ("req.headers.a[0].endsWith('x')", THERE | {FIRST: {Suffix("x")}}),
        ("getReqHeader('A')[0].includes('x')", THERE | {FIRST: {Part("x")}}),
        ("req.headers['a'][0].startsWith('')", THERE),
        ("req.headers['a'][0].matches('^x[1-9]')", THERE | {FIRST: {Prefix("x")}}),
        ("req.headers['a'][0].matches('a-b')", THERE | {FIRST: {Part("a-b")}}),
        ("req.headers['a'][0].matches('a.b')", THERE),
        ("req.headers['a'][1].startsWith('x')", THERE),
        ("req.headers['a'].contains('x')", THERE | {ANY: {Part("x")}}),
        ("'x' in req.headers['a']", THERE | {ANY: {"x"}}),
        ("req.headers['a'][0].startsWith(vars.x)", {}),
        ("!req.headers['a'][0].startsWith('x')", {}),
        ("req.url.path.endsWith('.json')", {PATH: {Suffix(".json")}}),
        ("req.url.path.matches(r'\\.json')", {PATH: {Part(".json")}}),
        # two demands for one place
        ("req.url.path.startsWith('/a') && req.url.path.startsWith('/a/b')", {PATH: {Prefix("/a/b")}}),
        ("req.url.path.endsWith('c') && req.url.path.endsWith('bc')", {PATH: {Suffix("bc")}}),
        ("req.url.path.startsWith('/a') && req.url.path.startsWith('/b')", {NEVER: set()}),
        ("req.url.path.startsWith('/a') && req.url.path.contains('b')", {PATH: {Prefix("/a")}}),
        ("req.url.path in ['/a', '/b'] && req.url.path.endsWith('a')", {PATH: {"/a"}}),
        ("req.url.path == '/a' || req.url.path.endsWith('/a')", {PATH: {"/a", Suffix("/a")}}),
        ("req.headers['a'].contains('x') && 'y' in req.headers['a']", THERE | {ANY: {Part("x")}}),
    ],
)  # fmt: skip
def test_demands(condition: str, expected: dict) -> None:
    found = demands(parse(condition), context().environment(Phase.REQUEST))
    assert {place: set(facts) for place, facts in found.items()} == expected


def test_facts_about_the_same_text_differ() -> None:
    assert len({Prefix("a"), Suffix("a"), Part("a"), "a"}) == 4
