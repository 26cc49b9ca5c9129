"""What ``gateway demo`` prints."""

from __future__ import annotations

import ast
import json
import re
import textwrap

from gateway.demo.banner import render_banner
from gateway.demo.faults import parse_model
from gateway.demo.service import LISTED_MODELS

WATCH = "gateway top --api-url http://127.0.0.1:7"
TEXT = render_banner("http://127.0.0.1:8080/", provider_url="http://127.0.0.1:9", watch=WATCH)


def test_snippets_are_valid():
    curls = re.findall(r"-d '(.*)'", TEXT)
    assert [sorted(json.loads(body)) for body in curls] == [["messages", "model", "stream"], ["messages", "models"]]
    snippets = re.findall(r"SDK .*:\n\n((?:  .*\n|\n)+)", TEXT)
    assert len(snippets) == 2
    for snippet in snippets:
        ast.parse(textwrap.dedent(snippet))
    assert 'base_url="http://127.0.0.1:8080/v1"' in TEXT
    assert 'base_url="http://127.0.0.1:8080"' in TEXT


def test_models_to_try_are_in_the_policy():
    """Names without ``demo:`` before them are known to the gateway only if the policy lists them."""
    tried = re.findall(r"^  (demo\S*)  ", TEXT, re.MULTILINE)
    assert len(tried) > 5
    assert set(tried) <= set(LISTED_MODELS)
    for name in re.findall(r"\((demo:\S+)\)", TEXT):
        parse_model(name)


def test_found_keys_are_named():
    assert "Keys were found" not in TEXT
    assert "Keys were found for: openai, groq." in render_banner(
        "http://h", provider_url="x", watch="", others=["openai", "groq"]
    )
