"""Every format has a dialect, every surface a codec."""

from __future__ import annotations

import pytest

from gateway.ai.dialects.table import codec_for, dialect_for
from gateway.ai.surfaces import SURFACES, Format
from gateway.ai.usage import UsageTap


@pytest.mark.parametrize("surface", SURFACES.values())
def test_every_surface_has_its_codec(surface):
    codec = codec_for(surface)
    assert codec.surface is surface
    assert codec.end_marks
    assert isinstance(codec.usage_tap(), UsageTap)
    assert codec.error_message(b'{"error":{"message":"m"}}') == "m"


@pytest.mark.parametrize("format_", Format)
def test_every_format_has_its_dialect(format_):
    assert dialect_for(format_).format is format_
