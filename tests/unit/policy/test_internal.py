"""Which hosts are internal endpoints (TP-471, TP-540)."""

from __future__ import annotations

import pytest

from gateway.policy.internal import is_internal


@pytest.mark.parametrize(
    ("host", "internal"),
    [
        ("a.internal", True), ("A.B.INTERNAL", True), ("internal", False), (".internal", False), ("ainternal", False),
        ("a.internal.example", False), ("", False), ("a.internals", False),
    ],
)  # fmt: skip
def test_hosts(host: str, internal: bool) -> None:
    assert is_internal(host) is internal
