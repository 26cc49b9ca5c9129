"""Where secrets come from beside the store: files, systemd credentials, the environment (SV-12). Read-only.

    files           <dir>/<vault>/<name>
    credentials     $CREDENTIALS_DIRECTORY/<vault>.<name>
    environment     GATEWAY_SECRET_<VAULT>__<NAME>

A *key-value secret* (TP-601) is a value whose text is a JSON object of strings. Such a text can be read whole as well,
since a provider's credentials may themselves be a JSON object.

Invariants
    1. ``get`` never touches a disk: the table answers from memory. ``refresh`` looks at modification times and runs off
       the event loop, once a second (``keep_fresh``), so that a changed file is seen without a reload.
    2. The first source that has a secret wins; what it shadows is not asked (TP-602).
    3. No message and no ``repr`` holds a value; messages name vaults and secrets.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

MAX_VALUE_BYTES = 64 << 10
REFRESH_S = 1.0
ENVIRONMENT_PREFIX = "GATEWAY_SECRET_"
_NAME = re.compile(r"[A-Za-z0-9_/.-]{1,128}")
_OTHER = re.compile(r"[^A-Z0-9]")


class SecretLookupError(LookupError):
    """No secret, or more than one, under that name. The message is for policy authors (TP-86)."""


class SecretSource(Protocol):
    """One place that holds secrets. The store's is in ``gateway.secrets.table``; tests use ``MemorySource``."""

    def get(self, vault: str, name: str) -> str | None:
        """The text of one secret."""
        ...

    def named(self, name: str) -> Iterable[tuple[str, str]]:
        """(vault, text) of every secret with that name, in whichever vault."""
        ...

    def values(self) -> Iterable[str]:
        """Every text, for the log filter."""
        ...

    def refresh(self) -> bool:
        """Looks for changes; True if there were any. May block on a disk."""
        ...


class FlatSource:
    """Secrets under flat keys that join vault and name with a separator.

    Either part may contain the separator, so a key is never split for ``get``; ``named`` considers every split.
    """

    def __init__(self, separator: str, entries: Mapping[str, str]) -> None:
        self._separator = separator
        self.replace(entries)

    def replace(self, entries: Mapping[str, str]) -> None:
        """Takes a new set of secrets as a whole."""
        names: dict[str, list[str]] = {}
        for key in entries:
            at = key.find(self._separator)
            while at >= 0:
                names.setdefault(key[at + len(self._separator) :], []).append(key)
                at = key.find(self._separator, at + 1)
        # one store of one attribute: readers on the event loop see the old set or the new one
        self._view = dict(entries), names

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._view[0])} secrets)"

    def spell(self, part: str) -> str:
        """A vault's or secret's name as it stands in a key."""
        return part

    def get(self, vault: str, name: str) -> str | None:
        return self._view[0].get(f"{self.spell(vault)}{self._separator}{self.spell(name)}")

    def named(self, name: str) -> Iterator[tuple[str, str]]:
        tail = self.spell(name)
        entries, names = self._view
        for key in names.get(tail, ()):
            yield key[: -len(self._separator) - len(tail)], entries[key]

    def values(self) -> Iterable[str]:
        return self._view[0].values()

    def refresh(self) -> bool:
        return False


class EnvironmentSource(FlatSource):
    """``GATEWAY_SECRET_AI_KEYS__OPENAI`` for vault ``ai-keys``, secret ``openai``. Takes the whole environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        cut = len(ENVIRONMENT_PREFIX)
        super().__init__(
            "__", {name[cut:]: text for name, text in environment.items() if name.startswith(ENVIRONMENT_PREFIX)}
        )

    def spell(self, part: str) -> str:
        return _OTHER.sub("_", part.upper())


class FileSource(FlatSource):
    """Files under a directory; ``separator`` is ``/`` for a tree, ``.`` for systemd's flat credentials.

    One newline at the end of a file does not belong to the secret. Names starting with ``..`` are the bookkeeping of
    mounted volumes. Unreadable or unfit files are listed in ``unusable`` and otherwise absent.
    """

    def __init__(self, directory: Path, *, separator: str = "/") -> None:
        super().__init__(separator, {})
        self._directory = directory
        self._nested = separator == "/"
        self._signatures: dict[str, tuple[int, int, int]] = {}
        #: path below the directory → why it is not used
        self.unusable: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> bool:
        signatures = dict(self._scan(self._directory, ""))
        if signatures == self._signatures:
            return False
        old, entries, unusable = self._signatures, {}, {}
        for key, signature in signatures.items():
            known = self._view[0].get(key) if old.get(key) == signature else None
            text, reason = (known, "") if known is not None else _read(self._directory / key)
            if text is not None:
                entries[key] = text
            else:
                unusable[key] = reason
        self._signatures, self.unusable = signatures, unusable
        self.replace(entries)
        return True

    def _scan(self, directory: Path, prefix: str) -> Iterator[tuple[str, tuple[int, int, int]]]:
        """Path below the directory → modification time, size, inode; follows links."""
        try:
            with os.scandir(directory) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:  # not there (yet), or not ours to read: no secrets
            return
        for entry in found:
            key = prefix + entry.name
            if entry.name.startswith("..") or not _NAME.fullmatch(key.replace("/", "")):
                continue
            try:
                if entry.is_dir():
                    if self._nested and prefix.count("/") < 8:
                        yield from self._scan(directory / entry.name, key + "/")
                    continue
                status = entry.stat()
            except OSError:  # vanished meanwhile
                continue
            yield key, (status.st_mtime_ns, status.st_size, status.st_ino)


def _read(path: Path) -> tuple[str | None, str]:
    """The text of a file, or None and the reason."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_VALUE_BYTES + 2)
    except OSError as error:
        return None, error.strerror or "not readable"
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not raw or len(raw) > MAX_VALUE_BYTES:
        return None, "empty" if not raw else f"larger than {MAX_VALUE_BYTES} bytes"
    try:
        return raw.decode("utf-8"), ""
    except UnicodeDecodeError:
        return None, "not UTF-8"


class MemorySource(FlatSource):
    """Secrets given as ``{(vault, name): text}``: policy tests and examples."""

    def __init__(self, entries: Mapping[tuple[str, str], str]) -> None:
        super().__init__("\0", {f"{vault}\0{name}": text for (vault, name), text in entries.items()})


class SecretTable:
    """What expressions ask: ``secrets.get(a, b)`` and ``secrets.get(a)``, over all sources in order."""

    def __init__(self, sources: Sequence[SecretSource] = ()) -> None:
        #: the store comes first, then SV-12's order
        self.sources = tuple(sources)

    def __repr__(self) -> str:
        return f"SecretTable({', '.join(map(repr, self.sources))})"

    def get(self, vault: str, name: str) -> str:
        """TP-602: vault ``vault``, secret ``name``; else the key ``name`` of the one key-value secret ``vault``."""
        for source in self.sources:
            text = source.get(vault, name)
            if text is not None:
                return text
        found = [pairs[name] for pairs in map(key_values, self._everywhere(vault).values()) if name in pairs]
        if len(found) > 1:
            raise SecretLookupError(f"{len(found)} key-value secrets named '{vault}' have a key '{name}'")
        if not found:
            raise SecretLookupError(f"no secret '{name}' in vault '{vault}', and no key-value secret '{vault}' with it")
        return found[0]

    def get_single(self, name: str) -> str:
        """TP-603: the secret of that name if exactly one vault has it."""
        found = self._everywhere(name)
        if len(found) > 1:
            raise SecretLookupError(f"{len(found)} vaults have a secret '{name}'; name the vault")
        if not found:
            raise SecretLookupError(f"no vault has a secret '{name}'")
        return next(iter(found.values()))

    def has(self, vault: str, name: str) -> bool:
        """Whether ``get`` would answer; for warnings at load (TP-606)."""
        try:
            self.get(vault, name)
        except SecretLookupError:
            return False
        return True

    def has_single(self, name: str) -> bool:
        """Whether ``get_single`` would answer."""
        try:
            self.get_single(name)
        except SecretLookupError:
            return False
        return True

    def values(self) -> set[str]:
        """Everything that must not appear in a log: whole texts and the parts of key-value secrets."""
        values: set[str] = set()
        for source in self.sources:
            for text in source.values():
                values.add(text)
                values.update(key_values(text).values())
        return values

    def refresh(self) -> bool:
        """Looks for changes in every source; True if there were any. Blocks on disks: not for the event loop."""
        changes = [source.refresh() for source in self.sources]
        return any(changes)

    def _everywhere(self, name: str) -> dict[str, str]:
        """Vault → text, the first source winning; the environment's spelling of a vault already seen is that vault."""
        found: dict[str, str] = {}
        for source in self.sources:
            spelled = {source.spell(vault) for vault in found} if isinstance(source, EnvironmentSource) else ()
            for vault, text in source.named(name):
                if vault not in spelled:
                    found.setdefault(vault, text)
        return found


def key_values(text: str) -> Mapping[str, str]:
    """``{"key-one": "…"}`` → its pairs; nothing for any other text."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        pairs = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(pairs, dict) or not all(isinstance(value, str) for value in pairs.values()):
        return {}
    return pairs


async def keep_fresh(
    table: SecretTable, *, changed: Callable[[], None] = lambda: None, interval_s: float = REFRESH_S
) -> None:
    """Refreshes a table for as long as it runs; ``changed`` is for the log filter. Started by the composition root."""
    while True:
        await asyncio.sleep(interval_s)
        if await asyncio.to_thread(table.refresh):
            changed()


def build_sources(
    directory: Path | None, credentials: Path | None, environment: Mapping[str, str]
) -> list[SecretSource]:
    """The sources of SV-12, in order; the store's goes before them."""
    sources: list[SecretSource] = []
    if directory is not None:
        sources.append(FileSource(directory))
    if credentials is not None:
        sources.append(FileSource(credentials, separator="."))
    sources.append(EnvironmentSource(environment))
    return sources
