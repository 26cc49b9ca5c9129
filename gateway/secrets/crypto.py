"""Sealing and opening values at rest: the only user of the cipher library.

A sealed value is an envelope (CP-104): the text under a random data key, the data key under the master key, both with
AES-256-GCM, a fresh 96-bit nonce, and the *place* of the value (table, row, column) as additional data. So two rows
cannot be swapped, and changing the master key re-seals 32 bytes per value, never the value itself (CP-106).

Invariants
    1. Nothing here touches a disk, and no error names a value or a key.
    2. A nonce is used once: every sealing draws a new one, and every value has a data key of its own.
    3. While a rotation runs both master keys open; only the current one seals.

Layout of an envelope: version (1) · master key id (8) · nonce (12) · sealed data key (48) · nonce (12) · sealed text.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_AT: Final = 1 + _ID_BYTES
_TEXT_AT: Final = _KEY_AT + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
_LEAST: Final = _TEXT_AT + _NONCE_BYTES + _TAG_BYTES
_CHECK_TEXT: Final = b"master key check"


class SealError(Exception):
    """A value could not be opened: damaged, moved to another place, or sealed with a key that is not here."""


class Place(NamedTuple):
    """Where a sealed value lives; it opens nowhere else."""

    table: str
    row: str
    column: str

    def bind(self, role: bytes) -> bytes:
        """The additional data; ``role`` keeps a data key from passing as a text."""
        return b"\x00".join((role, self.table.encode(), self.row.encode(), self.column.encode()))


CHECK_PLACE: Final = Place("installation", "master_key", "check")


class MasterKey:
    """32 bytes and the short id that envelopes name it by. The id is a hash, so it may be shown."""

    __slots__ = ("_cipher", "id")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a master key has {KEY_BYTES} bytes, not {len(key)}")
        self.id = hashlib.sha256(b"aigw key id\x00" + key).digest()[:_ID_BYTES]
        self._cipher = AESGCM(_derive(key, b"aigw data keys v1"))

    def wrap(self, data_key: bytes, place: Place) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data_key, place.bind(b"key"))

    def unwrap(self, wrapped: bytes, place: Place) -> bytes:
        return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], place.bind(b"key"))

    def __repr__(self) -> str:
        return f"MasterKey({self.id.hex()})"


class SealBox:
    """Seals with the current master key, opens with it or with the one that a running rotation replaces."""

    __slots__ = ("_current", "_keys")

    def __init__(self, current: MasterKey, *previous: MasterKey) -> None:
        self._current = current
        self._keys = {key.id: key for key in (*previous, current)}

    def seal(self, text: bytes, place: Place) -> bytes:
        data_key = os.urandom(KEY_BYTES)
        nonce = os.urandom(_NONCE_BYTES)
        sealed_text = AESGCM(data_key).encrypt(nonce, text, place.bind(b"text"))
        return _VERSION + self._current.id + self._current.wrap(data_key, place) + nonce + sealed_text

    def open(self, sealed: bytes, place: Place) -> bytes:
        """The text; SealError when it cannot be had."""
        data_key = self._data_key(sealed, place)
        nonce = sealed[_TEXT_AT : _TEXT_AT + _NONCE_BYTES]
        try:
            return AESGCM(data_key).decrypt(nonce, sealed[_TEXT_AT + _NONCE_BYTES :], place.bind(b"text"))
        except InvalidTag:
            raise SealError(f"{place.table}.{place.column} of {place.row} is damaged or was moved") from None

    def reseal(self, sealed: bytes, place: Place) -> bytes | None:
        """The envelope under the current master key; None if it is already (rotation, resumable)."""
        if sealed[1:_KEY_AT] == self._current.id:
            return None
        wrapped = self._current.wrap(self._data_key(sealed, place), place)
        return _VERSION + self._current.id + wrapped + sealed[_TEXT_AT:]

    def under(self, key: MasterKey) -> SealBox:
        """A box that seals with a new key and still opens what this one opens."""
        return SealBox(key, *self._keys.values())

    def check_value(self) -> bytes:
        """A sealed constant: whoever opens it has the right master key (CP-105)."""
        return self.seal(_CHECK_TEXT, CHECK_PLACE)

    def passes(self, check_value: bytes) -> bool:
        """Whether this box opens what another sitting sealed."""
        try:
            return hmac.compare_digest(self.open(check_value, CHECK_PLACE), _CHECK_TEXT)
        except SealError:
            return False

    def _data_key(self, sealed: bytes, place: Place) -> bytes:
        if len(sealed) < _LEAST or not sealed.startswith(_VERSION):
            raise SealError(f"{place.table}.{place.column} of {place.row} is not a sealed value")
        key = self._keys.get(sealed[1:_KEY_AT])
        if key is None:
            raise SealError(f"{place.table}.{place.column} of {place.row} was sealed with another master key")
        try:
            return key.unwrap(sealed[_KEY_AT:_TEXT_AT], place)
        except InvalidTag:
            raise SealError(f"{place.table}.{place.column} of {place.row} is damaged or was moved") from None


def _derive(key: bytes, purpose: bytes) -> bytes:
    """One key per purpose, so that the operator's bytes never meet the cipher directly."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key)
