"""``gateway policy check`` (SV-1, TP-20, TP-21)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import main
from gateway.cli.policy import options_of
from gateway.clock import ManualClock
from gateway.settings.environment import Environment
from gateway.settings.load import load_settings
from gateway.settings.model import Settings
from gateway.store.db import Store, StoreOptions, Transaction
from gateway.store.vaults import SECRETS, VAULTS, SecretRow, VaultRow
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


def secrets_of(*references: str) -> str:
    """A policy that uses them."""
    variables = ", ".join(f'{{v{n}: "${{secrets.get({names})}}"}}' for n, names in enumerate(references))
    return f"on_http_request:\n  - type: set-vars\n    config: {{vars: [{variables}]}}\n"


def test_secrets_that_do_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TP-606: looked for where the configuration says; a warning for each that is not there."""
    (tmp_path / "secrets" / "auth").mkdir(parents=True)
    (tmp_path / "secrets" / "auth" / "token").write_text("a")
    (tmp_path / "secrets" / "auth" / "pairs").write_text('{"one": "b"}')
    config = _write(tmp_path, "c.yaml", f"secrets: {{dir: secrets}}\nserver: {{data_dir: {tmp_path}}}\n")
    names = ("'auth', 'token'", "'pairs', 'one'", "'token'", "'auth', 'tokn'", "'pairs', 'two'", "'tokn'", "vars.v0")
    policy = _write(tmp_path, "p.yaml", secrets_of(*names))
    assert main(["policy", "check", policy, "--config", config]) == 0
    said = [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines() if "there is no secret" in line]
    assert said == [
        "there is no secret 'tokn' in vault 'auth' yet", "there is no secret 'two' in vault 'pairs' yet",
        "there is no secret 'tokn' yet",
    ]  # fmt: skip


def test_secrets_in_the_store_stay_sealed_but_have_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stored secret may hold keys, which cannot be seen here: any key of it is believed (TP-602)."""
    owned: dict[str, Any] = {"created_at": 0, "updated_at": 0, "created_by": "", "updated_by": ""}
    store = Store.open(StoreOptions(tmp_path), ManualClock())

    def insert(tx: Transaction) -> None:
        VAULTS.insert(tx.db, VaultRow(id="vault_1", name="auth", **owned))
        SECRETS.insert(tx.db, SecretRow(id="secret_1", vault_id="vault_1", name="token", sealed=b"", **owned))

    store.write_now(insert)
    config = _write(tmp_path, "c.yaml", f"server: {{data_dir: {tmp_path}}}\n")
    policy = _write(tmp_path, "p.yaml", secrets_of("'auth', 'token'", "'token'", "'token', 'key'", "'auth', 'other'"))
    for _ in range(2):  # beside a gateway that runs, and without one
        assert main(["policy", "check", policy, "--config", config]) == 0
        said = capsys.readouterr().out
        assert said.count("there is no secret") == 1
        assert "there is no secret 'other' in vault 'auth' yet" in said
        store.close()
    (tmp_path / "gateway.db").write_text("no database")
    assert main(["policy", "check", policy, "--config", config]) == 0
    assert capsys.readouterr().out.count("there is no secret") == 4


def test_without_an_installation_nothing_is_said_of_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = _write(tmp_path, "p.yaml", secrets_of("'auth', 'token'"))
    assert main(["policy", "check", policy]) == 0
    assert "there is no secret" not in capsys.readouterr().out


def test_options_of_settings(tmp_path: Path) -> None:
    """TP-25: every setting that loading depends on arrives."""
    write_database(tmp_path / "db", "GeoLite2-City", {})
    _write(tmp_path, "lists", "a.b: [10.0.0.1]")
    config = _write(
        tmp_path, "c.yaml",
        "policy: {require_termination: true, unavailable_variables: absent, rate_limit_min_window: 2s,\n"
        "  jwt_require_exp: true, max_buffered_body: 5, max_sse_message: 6, http_request_allow_external: [h]}\n"
        "geoip: {city_db: db}\nip_categories: lists\nip_policies: [{id: ipp_1}]\n",
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
    assert options.available == {"geo", "feed"}
    assert options.ip_policies == {"ipp_1"}
    assert options.http_request_allow_external == ("h",)
    assert options_of(Settings()).available == frozenset()
