"""Sources of secrets beside the store (SV-12) and the lookup over them (TP-602, TP-603)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gateway.secrets.sources import (
    MAX_VALUE_BYTES,
    EnvironmentSource,
    FileSource,
    MemorySource,
    SecretLookupError,
    SecretTable,
    build_sources,
    keep_fresh,
    key_values,
)


def _write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


class TestFiles:
    def test_vault_and_name_are_directories_and_file(self, tmp_path: Path) -> None:
        """SV-12: files ``<dir>/<vault>/<name>``; one newline at the end is not part of the value."""
        _write(tmp_path / "ai-keys" / "openai", "sk-one\n")
        _write(tmp_path / "ai-keys" / "deep/er", "sk-two\n\n")
        source = FileSource(tmp_path)
        assert source.get("ai-keys", "openai") == "sk-one"
        assert source.get("ai-keys", "deep/er") == source.get("ai-keys/deep", "er") == "sk-two\n"
        assert source.get("ai-keys", "anthropic") is None

    def test_credentials_are_flat(self, tmp_path: Path) -> None:
        """SV-12: systemd credentials ``<vault>.<name>``; both parts may hold dots."""
        _write(tmp_path / "a.b.c", "value")
        source = FileSource(tmp_path, separator=".")
        assert source.get("a", "b.c") == source.get("a.b", "c") == "value"
        assert sorted(source.named("c")) == [("a.b", "value")]
        assert sorted(source.named("b.c")) == [("a", "value")]

    def test_paths_stay_inside(self, tmp_path: Path) -> None:
        """A name is looked up among the files that were found, so dots lead nowhere."""
        _write(tmp_path / "outside", "no")
        _write(tmp_path / "dir" / "vault" / "name", "yes")
        source = FileSource(tmp_path / "dir")
        assert source.get("..", "outside") is None
        assert source.get("vault", "../../../outside") is None
        assert source.get("vault", "name") == "yes"

    def test_change_is_seen_after_a_refresh(self, tmp_path: Path) -> None:
        """SV-12: changed, new and deleted files, without a reload."""
        path = tmp_path / "v" / "n"
        _write(path, "first")
        source = FileSource(tmp_path)
        assert not source.refresh()
        _write(path, "second value")
        _write(tmp_path / "v" / "other", "new")
        assert source.refresh()
        assert (source.get("v", "n"), source.get("v", "other")) == ("second value", "new")
        path.unlink()
        assert source.refresh()
        assert source.get("v", "n") is None

    def test_same_size_change_is_seen(self, tmp_path: Path) -> None:
        path = tmp_path / "v" / "n"
        _write(path, "aaaa")
        source = FileSource(tmp_path)
        _write(path, "bbbb")
        os.utime(path, ns=(1, 1))
        assert source.refresh()
        assert source.get("v", "n") == "bbbb"

    def test_mounted_volume_swap(self, tmp_path: Path) -> None:
        """Volumes change by swapping one link; its bookkeeping directories are no vaults."""
        _write(tmp_path / "..one" / "name", "old")
        _write(tmp_path / "..two" / "name", "newer")
        (tmp_path / "..data").symlink_to("..one")
        (tmp_path / "vault").symlink_to("..data")
        source = FileSource(tmp_path)
        assert list(source.values()) == ["old"]
        (tmp_path / "..data").unlink()
        (tmp_path / "..data").symlink_to("..two")
        assert source.refresh()
        assert list(source.values()) == ["newer"]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(b"", "empty"), (b"\n", "empty"), (b"\xff\xfe", "not UTF-8"), (b"x" * (MAX_VALUE_BYTES + 1), "larger than")],
    )
    def test_unfit_files_are_named(self, tmp_path: Path, content: bytes, reason: str) -> None:
        """TP-617: 1 byte to 64 KiB of UTF-8. The reason does not hold the value."""
        _write(tmp_path / "v" / "n", content)
        source = FileSource(tmp_path)
        assert source.get("v", "n") is None
        assert source.unusable["v/n"].startswith(reason)

    def test_largest_file_is_read(self, tmp_path: Path) -> None:
        _write(tmp_path / "v" / "n", "x" * MAX_VALUE_BYTES + "\n")
        assert len(FileSource(tmp_path).get("v", "n") or "") == MAX_VALUE_BYTES

    def test_missing_directory_is_empty(self, tmp_path: Path) -> None:
        source = FileSource(tmp_path / "later")
        assert list(source.values()) == []
        _write(tmp_path / "later" / "v" / "n", "here")
        assert source.refresh()
        assert source.get("v", "n") == "here"


class TestEnvironment:
    def test_names_are_spelled(self) -> None:
        """SV-12: upper case, other characters than letters and digits become ``_``."""
        source = EnvironmentSource({"GATEWAY_SECRET_AI_KEYS__OPEN_AI_1": "sk", "OTHER__OPEN_AI_1": "no", "PATH": "/"})
        assert source.get("ai-keys", "open.ai/1") == "sk"
        assert source.get("AI_KEYS", "OPEN_AI_1") == "sk"
        assert source.get("ai-keys", "openai1") is None
        assert list(source.values()) == ["sk"]


class TestLookup:
    def test_order_of_sources(self, tmp_path: Path) -> None:
        """SV-12: store, files, credentials, environment."""
        for directory in ("files/v/both", "files/v/all", "credentials/v.all", "credentials/v.two"):
            _write(tmp_path / directory, directory.split("/")[0])
        environment = {f"GATEWAY_SECRET_V__{name}": "environment" for name in ("BOTH", "ALL", "TWO", "ONE")}
        stored = MemorySource({("v", "all"): "store"})
        table = SecretTable([stored, *build_sources(tmp_path / "files", tmp_path / "credentials", environment)])
        got = [table.get("v", name) for name in ("all", "both", "two", "one")]
        assert got == ["store", "files", "credentials", "environment"]

    def test_plain_secret_wins_over_key_value(self) -> None:
        """TP-602 (1) before (2)."""
        table = SecretTable([MemorySource({("openai", "one"): "plain", ("ai", "openai"): '{"one": "pair"}'})])
        assert table.get("openai", "one") == "plain"

    def test_key_value_secret_in_whichever_vault(self) -> None:
        """TP-602 (2), TP-601."""
        table = SecretTable([MemorySource({("ai-keys", "openai"): '{"key-one": "sk-1", "key-two": "sk-2"}'})])
        assert table.get("openai", "key-two") == "sk-2"
        assert table.get("ai-keys", "openai").startswith("{")
        with pytest.raises(SecretLookupError, match="'key-three'"):
            table.get("openai", "key-three")

    def test_two_key_value_secrets_are_an_error(self) -> None:
        """TP-602: two or more matches in (2) are an error; a key that only one of them has is none."""
        entries = {("a", "openai"): '{"k": "1", "only": "x"}', ("b", "openai"): '{"k": "2"}'}
        table = SecretTable([MemorySource(entries)])
        with pytest.raises(SecretLookupError, match="2 key-value secrets named 'openai'"):
            table.get("openai", "k")
        assert table.get("openai", "only") == "x"

    def test_shadowed_key_value_secret_is_not_asked(self) -> None:
        """The same vault and name in a later source is the same secret."""
        later = EnvironmentSource({"GATEWAY_SECRET_AI_KEYS__OPENAI": '{"k": "environment"}'})
        table = SecretTable([MemorySource({("ai-keys", "openai"): '{"k": "store"}'}), later])
        assert table.get("openai", "k") == "store"

    def test_vaults_that_only_look_alike_are_two(self) -> None:
        table = SecretTable([MemorySource({("a-b", "n"): "1", ("a_b", "n"): "2"})])
        with pytest.raises(SecretLookupError, match="2 vaults"):
            table.get_single("n")

    def test_single_name(self) -> None:
        """TP-603."""
        table = SecretTable([MemorySource({("v", "n"): "1", ("v", "twice"): "2", ("w", "twice"): "3"})])
        assert table.get_single("n") == "1"
        with pytest.raises(SecretLookupError, match="2 vaults have a secret 'twice'"):
            table.get_single("twice")
        with pytest.raises(SecretLookupError, match="no vault"):
            table.get_single("absent")

    def test_has(self) -> None:
        table = SecretTable([MemorySource({("v", "n"): "1"})])
        assert table.has("v", "n")
        assert not table.has("v", "m")

    def test_values_for_the_log_filter(self) -> None:
        """P18: whole texts and the parts of key-value secrets."""
        table = SecretTable([MemorySource({("v", "n"): '{"a": "part-one"}', ("v", "m"): "plain"})])
        assert table.values() == {'{"a": "part-one"}', "part-one", "plain"}

    def test_nothing_prints_a_value(self, tmp_path: Path) -> None:
        """TP-604, design rule 12."""
        _write(tmp_path / "v" / "n", "canary-value")
        table = SecretTable([FileSource(tmp_path), MemorySource({("v", "m"): "canary-value"})])
        assert "canary" not in repr(table)
        with pytest.raises(SecretLookupError) as caught:
            table.get("v", "absent")
        assert "canary" not in str(caught.value)

    @pytest.mark.parametrize("text", ['{"a": 1}', "[1]", "{", "", '{"a": {"b": "c"}}', "sk-key"])
    def test_other_texts_are_no_key_values(self, text: str) -> None:
        """TP-601: a flat map of strings to strings."""
        assert key_values(text) == {}


async def test_keep_fresh_sees_changes(tmp_path: Path) -> None:
    """Off the event loop: a blocking call would fail this test."""
    source = await asyncio.to_thread(FileSource, tmp_path)
    table = SecretTable([source])
    await asyncio.to_thread(_write, tmp_path / "v" / "n", "value")
    changed = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(keep_fresh(table, changed=changed.set, interval_s=0.001))
        await changed.wait()
        task.cancel()
    assert table.get("v", "n") == "value"
