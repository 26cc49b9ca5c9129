"""A few deaths in the middle of writing; the full count is a command (``crashes``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.crashes import crash


@pytest.mark.parametrize("seed", [1, 2])
async def test_p22_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, seed: int) -> None:
    """CP-19, CP-116: no lost change, no damage, an audit chain that holds."""
    report = await crash(tmp_path, 150, per_life=40, seed=seed)
    assert report.writes >= 150
    assert report.kills >= 2
    assert report.audit_lines >= 150
