"""One running control plane per test."""

from __future__ import annotations

import pytest

from tests.control_plane import running


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "state") as found:
        yield found
