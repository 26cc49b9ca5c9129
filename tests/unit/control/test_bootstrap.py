"""Opening an installation and its first admin key (CP-101, CP-105, CP-110)."""

from __future__ import annotations

import pytest

from gateway.clock import ManualClock
from gateway.control.bootstrap import (
    BootstrapError,
    build_plane,
    ensure_admin_key,
    open_installation,
    write_token,
)
from gateway.secrets.master_key import KeySource, MasterKeyError
from tests.control_plane import DataPlane


@pytest.fixture
def opened(tmp_path):
    stores = []

    def open_plane(**source):
        installation = open_installation(KeySource(tmp_path, **source), ManualClock(), busy_s=0.1)
        stores.append(installation.store)
        data_plane = DataPlane()
        return build_plane(installation, ManualClock(), data_plane, data_plane), installation

    yield open_plane
    for store in stores:
        store.close()


def test_cp_110_a_first_start_makes_a_key_and_a_file_for_its_owner(opened, tmp_path):
    plane, installation = opened()
    token = ensure_admin_key(plane, tmp_path, None)
    path = tmp_path / "admin-token"
    assert path.read_text() == f"{token}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert plane.view.admin_keys.find(token) is not None
    assert {made.name for made in installation.keys.made} == {"master-key", "token-pepper"}


def test_cp_110_later_starts_make_nothing(opened, tmp_path):
    plane, _ = opened()
    token = ensure_admin_key(plane, tmp_path, None)
    plane.store.close()
    plane, installation = opened()
    assert ensure_admin_key(plane, tmp_path, None) is None
    assert ensure_admin_key(plane, tmp_path, "not even looked at") is None
    assert plane.view.admin_keys.find(token) is not None
    assert installation.keys.made == ()


def test_cp_110_a_given_key_becomes_the_first_and_is_not_written_down(opened, tmp_path):
    plane, _ = opened()
    given = "ng-boot-a1-" + "x" * 32
    assert ensure_admin_key(plane, tmp_path, given) is None
    assert not (tmp_path / "admin-token").exists()
    assert plane.view.admin_keys.find(given) is not None


@pytest.mark.parametrize("given", ["", "hunter2", "ng-boot-a1-" + "x" * 31, "ng-boot-g1-" + "x" * 43])
def test_cp_110_a_given_key_must_have_the_form(opened, tmp_path, given):
    plane, _ = opened()
    with pytest.raises(BootstrapError) as caught:
        ensure_admin_key(plane, tmp_path, given)
    assert not given or given not in str(caught.value)
    assert len(plane.view.admin_keys) == 0


def test_cp_142_a_wrong_master_key_refuses_to_start(opened, tmp_path):
    plane, _ = opened()
    plane.store.close()
    (tmp_path / "master-key").unlink()
    with pytest.raises(MasterKeyError, match="missing"):
        opened()
    with pytest.raises(MasterKeyError, match="does not open"):
        opened(value="A" * 43 + "=")


def test_the_account_keeps_its_id(opened):
    first, _ = opened()
    account_id = first.account_id
    first.store.close()
    assert account_id.startswith("ac_")
    assert opened()[0].account_id == account_id


def test_a_token_file_is_replaced_not_followed(tmp_path):
    target = tmp_path / "elsewhere"
    target.write_text("untouched")
    (tmp_path / "admin-token").symlink_to(target)
    write_token(tmp_path, "t")
    assert (target.read_text(), (tmp_path / "admin-token").read_text()) == ("untouched", "t\n")
