"""Which secrets the log's last filter knows, and when (P18, AG-209)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.app import masking as module
from gateway.app.masking import Masking
from gateway.observability.logs import LogSink
from gateway.observability.mask import Masker
from gateway.secrets.sources import MemorySource, SecretTable
from gateway.settings.environment import Environment
from gateway.settings.model import Settings


@pytest.fixture
def sink():
    return LogSink(masker=Masker())


def build(sink, source=None):
    settings = replace(Settings(), environment=Environment({"GATEWAY_SECRET_V__N": "from-environment"}))
    return Masking(sink, SecretTable([source or MemorySource({("v", "n"): "from-the-table"})]), settings)


def seen(sink, *texts):
    """Those that come through."""
    return [text for text in texts if sink.masker.mask(text.encode()) == text.encode()]


def test_every_kind_is_known(sink):
    masking = build(sink)
    masking.configured(["from-a-policy"])
    masking.stored(["from-the-store"])
    texts = ("from-the-table", "from-a-policy", "from-the-store")
    assert seen(sink, *texts, "something-else") == ["something-else"]


def test_changed_sources_are_taken_over(sink):
    source = MemorySource({})
    masking = build(sink, source)
    source.replace({"v\0n": "a-new-secret"})
    assert seen(sink, "a-new-secret") == ["a-new-secret"]
    masking.renew()
    assert seen(sink, "a-new-secret") == []


def test_p18_deleted_values_stay_masked_for_a_while(sink, monkeypatch):
    """Requests that began before may still run; the memory of them is bounded."""
    monkeypatch.setattr(module, "RETIRED_LIMIT", 2)
    masking = build(sink)
    for value in ("rotation-1", "rotation-2", "rotation-3", "rotation-4"):
        masking.stored([value, "another-key"])
    assert seen(sink, "rotation-1", "rotation-2", "rotation-3", "rotation-4", "another-key") == ["rotation-1"]


def test_nothing_is_compiled_without_a_change(sink):
    masking = build(sink)
    masking.stored(["from-the-store"])
    before = sink.masker
    masking.stored(("from-the-store",))
    masking.configured(())
    assert sink.masker is before
