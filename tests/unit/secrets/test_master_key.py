"""Where keys come from, and which states refuse to start (CP-101, CP-105, CP-106)."""

from __future__ import annotations

import base64
import os

import pytest

from gateway.secrets.crypto import MasterKey, Place, SealBox
from gateway.secrets.master_key import (
    KeySource,
    MasterKeyError,
    StoreFacts,
    begin_rotation,
    finish_rotation,
    load_keys,
    parse_key,
    pepper_check,
    write_key,
)

PLACE = Place("secrets", "secret_1", "value")


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def facts(keys) -> StoreFacts:
    return StoreFacts(keys.box.check_value(), pepper_check(keys.pepper))


def test_cp_105_first_start_makes_both_files_for_the_owner_only(tmp_path):
    source = KeySource(tmp_path)
    keys = load_keys(source, StoreFacts())
    assert set(keys.made) == {tmp_path / "master-key", tmp_path / "token-pepper"}
    assert {path.stat().st_mode & 0o777 for path in keys.made} == {0o600}
    again = load_keys(source, facts(keys))
    assert again.made == ()
    assert again.box.open(keys.box.seal(b"x", PLACE), PLACE) == b"x"
    assert again.pepper == keys.pepper


def test_cp_105_the_environments_value_wins_and_makes_no_key_file(tmp_path):
    value = text(b"e" * 32)
    keys = load_keys(KeySource(tmp_path, value=value), StoreFacts())
    assert not (tmp_path / "master-key").exists()
    assert SealBox(MasterKey(b"e" * 32)).passes(keys.box.check_value())


def test_cp_105_a_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "key"
    write_key(path, os.urandom(32))
    path.chmod(0o640)
    with pytest.raises(MasterKeyError, match="chmod 600"):
        load_keys(KeySource(tmp_path, file=path), StoreFacts())


def test_cp_105_a_symbolic_link_is_refused(tmp_path):
    write_key(tmp_path / "real", os.urandom(32))
    (tmp_path / "key").symlink_to(tmp_path / "real")
    with pytest.raises(MasterKeyError, match="cannot read"):
        load_keys(KeySource(tmp_path, file=tmp_path / "key"), StoreFacts())


def test_cp_105_a_configured_file_is_never_made(tmp_path):
    with pytest.raises(MasterKeyError, match="cannot read"):
        load_keys(KeySource(tmp_path, file=tmp_path / "absent"), StoreFacts())


def test_cp_105_a_missing_key_refuses_to_start_and_makes_no_other(tmp_path):
    source = KeySource(tmp_path)
    known = facts(load_keys(source, StoreFacts()))
    source.path.unlink()
    with pytest.raises(MasterKeyError, match="missing"):
        load_keys(source, known)
    assert not source.path.exists()


def test_cp_105_a_wrong_key_refuses_to_start(tmp_path):
    source = KeySource(tmp_path)
    known = facts(load_keys(source, StoreFacts()))
    source.path.unlink()
    write_key(source.path, os.urandom(32))
    with pytest.raises(MasterKeyError, match="does not open this store"):
        load_keys(source, known)


def test_cp_101_a_missing_or_foreign_pepper_refuses_to_start(tmp_path):
    source = KeySource(tmp_path)
    known = facts(load_keys(source, StoreFacts()))
    source.pepper_path.unlink()
    with pytest.raises(MasterKeyError, match="missing"):
        load_keys(source, known)
    write_key(source.pepper_path, os.urandom(32))
    with pytest.raises(MasterKeyError, match="not the pepper"):
        load_keys(source, known)


def test_cp_101_the_pepper_lives_beside_the_configured_key(tmp_path):
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    write_key(elsewhere / "k", os.urandom(32))
    load_keys(KeySource(tmp_path, file=elsewhere / "k"), StoreFacts())
    assert (elsewhere / "token-pepper").exists()
    assert not (tmp_path / "token-pepper").exists()


@pytest.mark.parametrize("value", ["", "short", "!" * 44, text(b"x" * 31), text(b"x" * 33)])
def test_cp_105_malformed_keys_are_refused_without_being_repeated(value):
    with pytest.raises(MasterKeyError) as caught:
        parse_key(value)
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize("died_after", ["first value", "check value", "rename"])
def test_cp_106_a_start_after_an_interrupted_rotation_opens_everything(tmp_path, died_after):
    source = KeySource(tmp_path)
    before = load_keys(source, StoreFacts())
    sealed, check = before.box.seal(b"sk-1", PLACE), before.box.check_value()
    new = begin_rotation(source)
    box = SealBox(new, MasterKey(parse_key(source.path.read_text())))
    resealed = box.reseal(sealed, PLACE)
    if died_after != "first value":
        check = SealBox(new).check_value()
    if died_after == "rename":
        finish_rotation(source)
    after = load_keys(source, StoreFacts(check, pepper_check(before.pepper)))
    assert resealed is not None
    assert after.box.open(resealed, PLACE) == b"sk-1"
    if died_after != "rename":
        assert after.box.open(sealed, PLACE) == b"sk-1"


def test_cp_106_a_rotation_that_died_goes_on_with_the_same_new_key(tmp_path):
    source = KeySource(tmp_path)
    load_keys(source, StoreFacts())
    assert begin_rotation(source).id == begin_rotation(source).id
    given = begin_rotation(source, text(b"g" * 32))
    assert given.id == MasterKey(b"g" * 32).id
