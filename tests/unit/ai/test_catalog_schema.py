"""``gateway.ai.catalog_schema``: what an overlay may contain (AG-61)."""

from __future__ import annotations

from importlib import resources

import pytest

from gateway.ai.catalog import load_overlay, load_shipped
from gateway.ai.catalog_schema import OVERLAY, price_shape
from gateway.document import parse_document
from gateway.problems import Problems
from gateway.schema.reader import INVALID, Reader


def read(shape, text: str):
    problems = Problems("overlay.yaml")
    root = parse_document(text, problems, is_json=False)
    assert root is not None
    return shape.read(root, Reader(problems)), str(problems)


def test_the_shipped_source_is_an_overlay_that_changes_nothing():
    """The shape names every field of the data, and merging is complete."""
    source = (resources.files("gateway.ai") / "data" / "model-catalog.yaml").read_text("utf-8")
    problems = Problems("model-catalog.yaml")
    assert load_overlay(source, problems) == load_shipped()
    assert len(problems) == 0


def test_absent_members_are_absent():
    value, _ = read(OVERLAY, "models: [{id: a, provider: p, max_output_tokens: null}]")
    assert value == {"models": ({"id": "a", "provider": "p", "max_output_tokens": None},)}


@pytest.mark.parametrize(
    "text",
    ["{text: {input: 1.5, output: null}}", "{tools: {web_search: {per_search_call: 0.01}}}", "{}"],
)
def test_prices(text):
    value, problems = read(price_shape(), text)
    assert value is not INVALID
    assert problems == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{text: {input: -1}}", "at least 0"),
        ("{text: {input: cheap}}", "must be a number"),
        ("{tools: {web_search: {per_storage_gb: 1}}}", "unknown field"),
        ("{audio: {}}", "unknown field"),
    ],
)
def test_wrong_prices(text, words):
    value, problems = read(price_shape(), text)
    assert value is INVALID
    assert words in problems
