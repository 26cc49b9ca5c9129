"""``gateway policy check`` (SV-1, TP-20, TP-21)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.cli.policy import options_of
from gateway.settings.environment import Environment
from gateway.settings.load import load_settings
from gateway.settings.model import Settings
from tests.unit.policy.mmdb import write_database

GOOD = "on_http_request:\n  - actions:\n      - type: deny\n"
BAD = "on_http_request:\n  - actions:\n      - type: denny\n"


def _write(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


def test_good_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "check", _write(tmp_path, "good.yaml", GOOD)]) == 0
    assert capsys.readouterr().out == "1 file: 0 errors, 0 warnings\n"


def test_every_problem_of_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TP-21: ``<file>:<line>:<column>: <severity> <code>: <message>``; status 1."""
    bad, good = _write(tmp_path, "bad.yaml", BAD), _write(tmp_path, "good.yaml", GOOD)
    missing = str(tmp_path / "missing.yaml")
    assert main(["policy", "check", bad, good, missing]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{bad}:3:15: error ERR_NGROK_")
    assert lines[1] == f"{missing}:1:1: error ERR_NGROK_2236: No such file or directory"
    assert lines[2] == "3 files: 2 errors, 0 warnings"


def test_settings_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TP-130: a variable that is an error by default may be absent by the configuration."""
    rule = "{expressions: [\"conn.geo.country_code == 'DE'\"], actions: [{type: deny}]}"
    policy = _write(tmp_path, "p.yaml", f"on_http_request: [{rule}]")
    lenient = _write(tmp_path, "c.yaml", "policy: {unavailable_variables: absent}\n")
    assert main(["policy", "check", policy]) == 1
    assert main(["policy", "check", policy, "--config", lenient]) == 0
    assert main(["policy", "check", policy, "--config", "/no/such"]) == 2
    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == "1 file: 0 errors, 1 warning"
    assert "No such file" in output.err


def test_databases_of_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TP-130: what needs one loads if the settings name one, and only one that can be used."""
    rule = "{expressions: [conn.client_ip.as.number == 1], type: deny}"
    policy = _write(tmp_path, "p.yaml", f"on_http_request: [{rule}]")
    write_database(tmp_path / "asn", "GeoLite2-ASN", {})
    assert main(["policy", "check", policy]) == 1
    assert "needs a database of autonomous systems: set geoip.asn_db" in capsys.readouterr().out
    assert main(["policy", "check", policy, "--config", _write(tmp_path, "c.yaml", "geoip: {asn_db: asn}")]) == 0
    assert main(["policy", "check", policy, "--config", _write(tmp_path, "d.yaml", "geoip: {city_db: asn}")]) == 2
    assert "geoip.city_db: " in capsys.readouterr().err


def test_options_of_settings(tmp_path: Path) -> None:
    """TP-25: every setting that loading depends on arrives."""
    write_database(tmp_path / "db", "GeoLite2-City", {})
    config = _write(
        tmp_path, "c.yaml",
        "policy: {require_termination: true, unavailable_variables: absent, rate_limit_min_window: 2s,\n"
        "  jwt_require_exp: true, max_buffered_body: 5, max_sse_message: 6, http_request_allow_external: [h]}\n"
        "geoip: {city_db: db}\nip_categories: db\nip_policies: [{id: ipp_1}]\n",
    )  # fmt: skip
    settings, _ = load_settings({"config": config}, Environment())
    assert settings is not None
    options = options_of(settings)
    assert (options.require_termination, options.unavailable_absent, options.jwt_require_exp) == (True, True, True)
    assert (options.rate_limit_min_window_s, options.max_buffered_body_bytes, options.max_sse_message_bytes) == (
        2.0,
        5,
        6,
    )
    assert options.available == {"geo"}
    assert options.ip_policies == {"ipp_1"}
    assert options.http_request_allow_external == ("h",)
    assert options_of(Settings()).available == frozenset()
