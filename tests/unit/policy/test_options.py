"""Doubts about expressions: TP-130, TP-606."""

from __future__ import annotations

import pytest

from gateway.policy.options import PolicyOptions

NOTHING = PolicyOptions(secret_exists=lambda vault, name: False)


@pytest.mark.parametrize(
    ("source", "doubts"),
    [
        ("secrets.get('v', 's')", ["there is no secret 's' in vault 'v' yet"]),
        ('secrets.get( "v" , "s" )', ["there is no secret 's' in vault 'v' yet"]),
        ("secrets.get('s')", ["there is no secret 's' yet"]),
        (
            "secrets.get('a', 'b') + secrets.get('c')",
            ["there is no secret 'b' in vault 'a' yet", "there is no secret 'c' yet"],
        ),
        ("secrets.get(vars.x, 's')", []),
        ("mysecrets.get('v', 's')", []),
        ("true", []),
    ],
)
def test_secrets(source: str, doubts: list[str]) -> None:
    assert list(NOTHING.doubts(frozenset(), source)) == doubts


def test_existing_and_unknowable_secrets() -> None:
    asked: list[tuple[str | None, str]] = []

    def exists(vault: str | None, name: str) -> bool:
        asked.append((vault, name))
        return True

    source = "secrets.get('v', 's') + secrets.get('t')"
    assert list(PolicyOptions(secret_exists=exists).doubts(frozenset(), source)) == []
    assert asked == [("v", "s"), (None, "t")]
    assert list(PolicyOptions().doubts(frozenset(), source)) == []


def test_absent_variables() -> None:
    options = PolicyOptions(unavailable_absent=True)
    assert len(list(options.doubts(frozenset(("conn.geo.country_code", "req.method")), ""))) == 1
    assert list(options.doubts(frozenset(("conn.geology", "conn.client_ip")), "")) == []
    assert list(PolicyOptions().doubts(frozenset(("conn.geo",)), "")) == []
