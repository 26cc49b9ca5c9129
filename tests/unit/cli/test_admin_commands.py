"""``gateway admin`` (CP-89, CP-106)."""

from __future__ import annotations

import argparse
import base64
import os

import pytest

from gateway.cli import admin_commands
from gateway.clock import SystemClock
from gateway.control.bootstrap import build_plane, open_installation
from gateway.secrets.master_key import KeySource
from gateway.store.lock import DirectoryLock
from tests.control_plane import DataPlane


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    for name in ("GATEWAY_MASTER_KEY", "GATEWAY_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "state"
    open_installation(KeySource(path), SystemClock()).store.close()
    return path


@pytest.fixture
def gateway(data_dir, capsys):
    def run(*words):
        parser = argparse.ArgumentParser(prog="gateway")
        admin_commands.add_admin_commands(parser.add_subparsers(required=True))
        options = parser.parse_args(["admin", *words, "--data-dir", str(data_dir)])
        status = options.command(options)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_cp_89_reset_key_prints_a_working_key_once(gateway, data_dir):
    status, out, err = gateway("reset-key")
    assert (status, err.count("\n")) == (0, 1)
    installation = open_installation(KeySource(data_dir), SystemClock())
    try:
        view = build_plane(installation, SystemClock(), DataPlane(), DataPlane()).view
        assert view.admin_keys.find(out.strip()) is not None
    finally:
        installation.store.close()


def test_cp_106_rotation_wants_the_gateway_stopped(gateway, data_dir):
    lock = DirectoryLock(data_dir)
    status, out, err = gateway("rotate-master-key")
    assert (status, out) == (1, "")
    assert "a running gateway" in err
    lock.release()
    before = (data_dir / "master-key").read_bytes()
    assert gateway("rotate-master-key")[0] == 0
    assert (data_dir / "master-key").read_bytes() != before


def test_cp_106_a_key_of_the_environment_is_replaced_by_a_file(gateway, data_dir, monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY_MASTER_KEY", (data_dir / "master-key").read_text().strip())
    assert gateway("rotate-master-key")[0] == 1
    monkeypatch.setenv("GATEWAY_MASTER_KEY", (data_dir / "master-key").read_text().strip())
    new = tmp_path / "new"
    new.write_text(base64.b64encode(os.urandom(32)).decode())
    new.chmod(0o600)
    status, _, err = gateway("rotate-master-key", "--new-key-file", str(new))
    assert (status, "before the next start" in err) == (0, True)
    assert gateway("reset-key")[0] == 1, "the old key no longer fits"


def test_cp_108_backup_and_restore(gateway, data_dir, tmp_path):
    copy = str(tmp_path / "copy")
    status, _, err = gateway("backup", copy)
    assert (status, "token-pepper" in err) == (0, True)
    gateway("reset-key")
    assert gateway("restore", copy)[0] == 0
    assert gateway("restore", str(tmp_path / "nothing"))[0] == 1
    assert gateway("backup", copy)[0] == 1


def test_cp_116_audit_verify(gateway, data_dir):
    gateway("reset-key")
    assert gateway("audit", "verify")[:2] == (0, "audit.log: 1 lines hold\n")
    path = data_dir / "audit.log"
    path.write_bytes(path.read_bytes().replace(b"reset-key", b"other-key"))
    status, out, _ = gateway("audit", "verify")
    assert (status, out) == (1, "audit.log: line 1: was changed\n")


def test_sv_1_a_directory_that_is_not_there(gateway, data_dir, tmp_path):
    parser = argparse.ArgumentParser()
    admin_commands.add_admin_commands(parser.add_subparsers())
    options = parser.parse_args(["admin", "reset-key", "--data-dir", str(tmp_path / "no")])
    assert options.command(options) == 2
    assert not (tmp_path / "no").exists()
