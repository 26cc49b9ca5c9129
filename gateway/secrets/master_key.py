"""Where the master key and the token pepper come from, and how they are replaced.

The master key opens sealed values (CP-104); the pepper keys the hashes of tokens (CP-101). Both live beside the
database, never in it, so that a copy of the database alone opens nothing and tests no token.

Order of sources (CP-105): the environment's value (base64) · the configured file · ``master-key`` in the data
directory, made at first start. The pepper is always a file: beside the configured key file, else in the data directory.

Rotation (CP-106) writes the new key to ``<file>.next``, re-seals, stores a new check value, then renames. Whichever
step it died in, the next start finds both files, and the check value in the store says which key is current.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.secrets.crypto import KEY_BYTES, MasterKey, SealBox

MASTER_KEY_FILE: Final = "master-key"
PEPPER_FILE: Final = "token-pepper"
_NEXT: Final = ".next"


class MasterKeyError(Exception):
    """The key material is missing, malformed, readable by others, or not the store's; start must fail (CP-105)."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where to look. ``value`` is GATEWAY_MASTER_KEY, ``file`` is ``security.master_key_file``."""

    data_dir: Path
    value: str | None = None
    file: Path | None = None

    @property
    def path(self) -> Path:
        """The key file, whether or not it is the one used."""
        return self.file or self.data_dir / MASTER_KEY_FILE

    @property
    def next_path(self) -> Path:
        return self.path.with_name(self.path.name + _NEXT)

    @property
    def pepper_path(self) -> Path:
        return self.path.with_name(PEPPER_FILE)


@dataclass(frozen=True, slots=True)
class Keys:
    """What start-up found. ``made`` names files that were created just now, for a warning to move them."""

    box: SealBox
    pepper: bytes
    made: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        return "Keys(***)"


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What the store knows about its keys: check values, and whether anything depends on them."""

    master_check: bytes | None = None
    pepper_check: bytes | None = None


def load_keys(source: KeySource, facts: StoreFacts) -> Keys:
    """The key material that fits the store; made only if the store has none yet. Raises MasterKeyError."""
    made: list[Path] = []
    box = _load_box(source, facts.master_check, made)
    pepper = _load_pepper(source, facts.pepper_check, made)
    return Keys(box, pepper, tuple(made))


def pepper_check(pepper: bytes) -> bytes:
    """A value that tells whether a pepper is the one the stored hashes were made with."""
    return hmac.digest(pepper, b"aigw pepper check", hashlib.sha256)


def key_id_key(pepper: bytes) -> bytes:
    """What ids of provider keys are made with: the same at every start, in another installation another (AG-120)."""
    return hmac.digest(pepper, b"aigw key ids", hashlib.sha256)


def begin_rotation(source: KeySource, new_value: str | None = None) -> MasterKey:
    """The key to rotate to: the one given, else that of an interrupted rotation, else a new one; kept in ``.next``."""
    if new_value is not None:
        return MasterKey(parse_key(new_value))
    if not source.next_path.exists():
        write_key(source.next_path, os.urandom(KEY_BYTES))
    return MasterKey(parse_key(read_key_file(source.next_path)))


def finish_rotation(source: KeySource) -> None:
    """Puts the new key file in the old one's place; nothing to do when the key was given by value."""
    if source.next_path.exists():
        source.next_path.replace(source.path)
        _sync_directory(source.path.parent)


def parse_key(text: str) -> bytes:
    """32 bytes of base64; raises MasterKeyError without repeating the text."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise MasterKeyError("the master key is not base64; make one with: openssl rand -base64 32") from None
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"the master key has {len(key)} bytes instead of {KEY_BYTES}")
    return key


def read_key_file(path: Path) -> str:
    """The text of a key file that nobody else can read (mode 0600 or stricter)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise MasterKeyError(f"cannot read {path}: {error.strerror}") from None
    with open(descriptor, encoding="ascii", errors="replace") as file:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            raise MasterKeyError(f"{path} can be read by others; run: chmod 600 {path}")
        return file.read(4_096)


def write_key(path: Path, key: bytes) -> None:
    """Writes 32 bytes as base64, mode 0600, durable; never over an existing file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(base64.b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    _sync_directory(path.parent)


def _load_box(source: KeySource, check: bytes | None, made: list[Path]) -> SealBox:
    if source.value is None and source.file is None and not source.path.exists() and check is None:
        write_key(source.path, os.urandom(KEY_BYTES))
        made.append(source.path)
    candidates = _candidates(source)
    if not candidates:
        raise MasterKeyError(f"the store holds sealed values, but {source.path} is missing; restore the master key")
    if check is None:
        return SealBox(candidates[0])
    for current in candidates:
        if SealBox(current).passes(check):
            # A rotation may be half done: values under either key must open.
            return SealBox(current, *(key for key in candidates if key is not current))
    raise MasterKeyError("the master key does not open this store: it is the key of another store, or an older one")


def _candidates(source: KeySource) -> Sequence[MasterKey]:
    texts = [source.value] if source.value is not None else []
    paths = [source.path, source.next_path] if source.value is None else [source.next_path]
    texts += [read_key_file(path) for path in paths if path.exists() or path == source.file]
    return [MasterKey(parse_key(text)) for text in texts]


def _load_pepper(source: KeySource, check: bytes | None, made: list[Path]) -> bytes:
    path = source.pepper_path
    if not path.exists():
        if check is not None:
            raise MasterKeyError(f"{path} is missing: without it no stored token can be recognised; restore it")
        write_key(path, os.urandom(KEY_BYTES))
        made.append(path)
    pepper = parse_key(read_key_file(path))
    if check is not None and not hmac.compare_digest(pepper_check(pepper), check):
        raise MasterKeyError(f"{path} is not the pepper this store's tokens were hashed with")
    return pepper


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
