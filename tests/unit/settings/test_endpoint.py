"""One entry of ``endpoints`` as it stands in the file (SV-11, TP-5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.document import parse_document
from gateway.problems import Problems
from gateway.schema.reader import Invalid
from gateway.settings.endpoint import ENDPOINT, ENDPOINT_FIELDS, EndpointEntry
from gateway.settings.environment import Environment
from gateway.settings.reader import CODES, SettingsReader


def _read(text: str) -> tuple[EndpointEntry | Invalid, Problems]:
    problems = Problems("c.yaml", codes=CODES)
    root = parse_document(text, problems, is_json=False)
    assert root is not None
    return ENDPOINT.read(root, SettingsReader(problems, Environment(), Path())), problems


def test_nothing_but_a_listener() -> None:
    entry, problems = _read("{listen: ':80'}")
    assert isinstance(entry, EndpointEntry)
    assert not len(problems)
    assert (entry.id, entry.name, entry.url, entry.tls, entry.policy, entry.upstream_url) == (None,) * 6
    assert (entry.ai_gateway, entry.gateway_keys, entry.proxy_protocol) == (None, "auto", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{id: x}", "must be 'ep_' and letters"),
        ("{listen: 8080}", "must be HOST:PORT"),
        ("{gateway_keys: sometimes}", "must be one of 'auto', 'required', 'optional'"),
        ("{upstream: {url: 'ftp://h'}}", "must be an http or https URL"),
        ("{upstream: {}}", "field 'url' is required"),
        ("{upstream: {url: 80, protocol: http2}}", "must be one of 'http1'"),
        ("{tls: {cert_file: /no}}", "field 'key_file' is required"),
        ("{traffic_policy: 3}", "must be a policy"),
        ("{traffic_polcy: {}}", "did you mean 'traffic_policy'?"),
        ("{inbound: []}", "belongs under 'traffic_policy'"),
        ("{traffic_policy: {}, policy: {}}", "'traffic_policy' is given twice"),
    ],
)
def test_wrong_entries(text: str, message: str) -> None:
    entry, problems = _read(text)
    assert isinstance(entry, Invalid)
    assert message in str(problems)


@pytest.mark.parametrize("text", ["{on_http_request: []}", "[]", "'on_http_request: []'"])
def test_policies_are_not_understood_here(text: str) -> None:
    """What a policy means is another layer's business; it only has to be one."""
    entry, _ = _read(f"{{listen: ':1', traffic_policy: {text}}}")
    assert isinstance(entry, EndpointEntry)
    assert entry.policy is not None


def test_every_field_says_what_it_is() -> None:
    undocumented = {name for name, field in ENDPOINT_FIELDS.fields.items() if not (field.doc or field.tolerated)}
    assert undocumented == {
        "on_tcp_connect", "on_http_request", "on_http_response", "on_event_stream_message", "inbound", "outbound",
    }  # fmt: skip
