"""A short run of the fuzzer; the long one is a command (``contract_fuzzer``)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.contract_fuzzer import CONTRACT, fuzz, narrowed

SHORT_S = 10.0


async def test_cp_140_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """No 5xx, declared content types, response schemas, 405, 401; the process is well afterwards."""
    rounds = await fuzz(tmp_path, SHORT_S, seed=1)
    assert [found.name for found in rounds] == ["documented", "narrowed", "log"]
    for found in rounds:
        assert not found.failed, found.report[-8_000:]
    assert "Operations:       44 selected / 44 total" in rounds[0].report
    assert "Operations:       38 selected / 38 total" in rounds[1].report


def test_cp_141_the_narrowed_contract_only_narrows() -> None:
    contract = json.loads(CONTRACT.read_text())
    found = narrowed(contract)
    assert set(found["paths"]) == set(contract["paths"]) - {"/credits/checkout-session"}
    for name, schema in contract["components"]["schemas"].items():
        members = set(schema.get("properties", ()))
        assert set(found["components"]["schemas"][name].get("properties", ())) <= members, name
