"""Maintenance without the API (CP-89, CP-106, CP-108)."""

from __future__ import annotations

import asyncio
import base64
import os

import pytest

from gateway.clock import SystemClock
from gateway.control import maintenance
from gateway.control.bootstrap import build_plane, open_installation
from gateway.secrets.crypto import SealBox
from gateway.secrets.master_key import KeySource, MasterKeyError, write_key
from gateway.store.backup import BackupError
from gateway.store.lock import DirectoryInUseError, DirectoryLock
from tests.control_plane import DataPlane, running

CLOCK = SystemClock()
TEXT = "canary-0123456789"


@pytest.fixture
async def filled(tmp_path):
    """A stopped installation with one vault secret and two provider keys."""
    async with running(tmp_path / "state") as api:
        await api.created("/vaults", {"name": "v"})
        await api.created("/vault_secrets", {"name": "s", "value": TEXT, "vault_name": "v"})
        for number in range(2):
            await api.created("/provider-keys", {"providerId": "openai", "name": "k", "value": f"{TEXT}-{number}"})
    return KeySource(tmp_path / "state")


@pytest.fixture
def source(filled):
    return filled


def view_of(source):
    installation = open_installation(source, CLOCK)
    try:
        return build_plane(installation, CLOCK, DataPlane(), DataPlane()).view
    finally:
        installation.store.close()


def opened_values(source):
    view = view_of(source)
    return [view.secrets.get("v", "s"), *(key.value.reveal() for key in view.provider_keys.account("openai"))]


EXPECTED = [TEXT, f"{TEXT}-1", f"{TEXT}-0"]


def test_cp_89_reset_key_makes_a_working_key(source):
    token = maintenance.reset_key(source, CLOCK)
    assert view_of(source).admin_keys.find(token) is not None
    assert maintenance.verify_audit(source.data_dir, source, CLOCK).problem is None


async def test_cp_89_a_running_server_learns_of_it(tmp_path):
    async with running(tmp_path) as api:
        token = await asyncio.to_thread(maintenance.reset_key, KeySource(tmp_path), CLOCK)
        await api.upkeep.turn()
        assert (await api.get("/vaults", headers={"authorization": f"Bearer {token}"})).status == 200


def test_cp_106_rotation_reseals_everything_and_the_old_key_is_done_for(source):
    old = source.path.read_bytes()
    assert maintenance.rotate_master_key(source, CLOCK) == 3
    assert source.path.read_bytes() != old
    assert not source.next_path.exists()
    assert opened_values(source) == EXPECTED
    source.path.write_bytes(old)
    with pytest.raises(MasterKeyError, match="does not open"):
        view_of(source)


@pytest.mark.parametrize("dies_at", [1, 2, 3])
def test_cp_106_an_interrupted_rotation_starts_and_goes_on(source, monkeypatch, dies_at):
    reseal, calls = SealBox.reseal, []

    def dying(self, sealed, place):
        calls.append(place)
        if len(calls) == dies_at:
            raise KeyboardInterrupt
        return reseal(self, sealed, place)

    monkeypatch.setattr(maintenance, "_AT_ONCE", 1)
    monkeypatch.setattr(SealBox, "reseal", dying)
    with pytest.raises(KeyboardInterrupt):
        maintenance.rotate_master_key(source, CLOCK)
    monkeypatch.setattr(SealBox, "reseal", reseal)
    assert source.next_path.exists()
    assert opened_values(source) == EXPECTED, "both keys are known while it runs"
    maintenance.rotate_master_key(source, CLOCK)
    assert opened_values(source) == EXPECTED
    assert not source.next_path.exists()


def test_cp_106_a_key_given_by_value_needs_its_successor(tmp_path):
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    source = KeySource(tmp_path, value=old)
    open_installation(source, CLOCK).store.close()
    with pytest.raises(MasterKeyError, match="new-key-file"):
        maintenance.rotate_master_key(source, CLOCK)
    assert maintenance.rotate_master_key(source, CLOCK, new) == 0
    open_installation(KeySource(tmp_path, value=new), CLOCK).store.close()
    with pytest.raises(MasterKeyError):
        open_installation(source, CLOCK)


def test_cp_89_a_running_gateway_keeps_rotation_and_restore_away(source, tmp_path):
    lock = DirectoryLock(source.data_dir)
    maintenance.backup(source.data_dir, tmp_path / "copy")
    try:
        with pytest.raises(DirectoryInUseError):
            maintenance.rotate_master_key(source, CLOCK)
        with pytest.raises(DirectoryInUseError):
            maintenance.restore(source, tmp_path / "copy")
    finally:
        lock.release()
    maintenance.restore(source, tmp_path / "copy")


def test_cp_108_a_copy_holds_no_keys_and_brings_everything_back(source, tmp_path):
    copy = tmp_path / "copy"
    maintenance.backup(source.data_dir, copy)
    modes = {path.name: path.stat().st_mode & 0o777 for path in copy.iterdir()}
    assert modes == {"gateway.db": 0o600, "audit.log": 0o600}
    token = maintenance.reset_key(source, CLOCK)
    maintenance.restore(source, copy)
    assert opened_values(source) == EXPECTED
    assert view_of(source).admin_keys.find(token) is None
    assert maintenance.verify_audit(source.data_dir, source, CLOCK).problem is None
    assert len(list(source.data_dir.glob("audit.log.replaced-*"))) == 1
    with pytest.raises(BackupError, match="exists already"):
        maintenance.backup(source.data_dir, copy)


def test_cp_108_a_copy_that_is_not_usable_is_refused_and_nothing_changes(source, tmp_path):
    copy = tmp_path / "copy"
    with pytest.raises(BackupError, match="no copy"):
        maintenance.restore(source, copy)
    maintenance.backup(source.data_dir, copy)
    key = source.path.read_bytes()
    source.path.unlink()
    write_key(source.path, os.urandom(32))
    with pytest.raises(MasterKeyError):
        maintenance.restore(source, copy)
    source.path.write_bytes(key)
    (copy / "gateway.db").write_bytes(b"junk" * 5_000)
    with pytest.raises(BackupError, match="damaged"):
        maintenance.restore(source, copy)
    assert opened_values(source) == EXPECTED
    with pytest.raises(BackupError, match="no store"):
        maintenance.backup(tmp_path / "nowhere", tmp_path / "other")


def test_cp_116_tampering_with_the_log_is_found(source):
    path = source.data_dir / "audit.log"
    assert maintenance.verify_audit(source.data_dir, source, CLOCK).problem is None
    path.write_bytes(path.read_bytes().replace(b"vault_created", b"vault_deleted", 1))
    assert maintenance.verify_audit(source.data_dir, source, CLOCK).problem is not None
