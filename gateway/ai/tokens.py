"""Counting tokens the way the gateway does it: with OpenAI's encodings, locally, without any network (AG-228).

Decision (2026-11): ``bpe-openai`` (MIT), whose wheel holds the vocabularies and whose time grows with the length of the
text whatever the text is. Measured on the 2-core machine: loading ``o200k_base`` 0.1 s and 60 MiB, then 1 to 4 ms per
64 KiB. Rejected: ``tiktoken`` (MIT) downloads its vocabularies, and long runs of one character cost it seconds.
Only the package's extension module is imported: importing the package itself unpacks every vocabulary, for 0.9 s.

Invariants
    1. The extension holds the interpreter's lock while it counts, so that it never gets more than ``PIECE`` characters
       at once: a thread that counts stops the event loop for about a millisecond at a time.
    2. Counting never fails: text that is no Unicode is counted with replacement characters.
    3. An encoding is loaded at most once per process, when it is first needed; without the package, or for an encoding
       that it does not have, a token is four bytes of UTF-8, rounded up.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable
from functools import lru_cache
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Final, Protocol

log = logging.getLogger("gateway.ai")

#: characters that are counted in one go
PIECE: Final = 16_384
#: how far a cut looks back for a blank, behind which no token reaches
_LOOK_BACK: Final = 256
_BYTES_PER_TOKEN: Final = 4
_PACKAGE: Final = "bpe_openai"


class Encoder(Protocol):
    """One encoding."""

    def count(self, text: str) -> int:
        """Tokens of a text; raises UnicodeEncodeError for lone surrogates."""
        ...


class ByteEncoder:
    """Where there is no vocabulary."""

    def count(self, text: str) -> int:
        return -(-len(text.encode()) // _BYTES_PER_TOKEN)


class Encoders:
    """The encodings of this process."""

    __slots__ = ("_loaded",)

    def __init__(self) -> None:
        self._loaded: dict[str, Encoder] = {}

    def loaded(self, name: str) -> Encoder | None:
        """The encoding if it is there already."""
        return self._loaded.get(name)

    def load(self, name: str) -> Encoder:
        """The encoding. Takes a tenth of a second the first time: not on the event loop."""
        encoder = self._loaded.get(name)
        if encoder is None:
            encoder = self._loaded[name] = load_encoder(name)
        return encoder


@lru_cache(maxsize=4)  # as many as there are encodings; read-only, so that the whole process may share them
def load_encoder(name: str) -> Encoder:
    """Reads a vocabulary; gives the stand-in where there is none."""
    try:
        encoder: Encoder = _extension().tokenizer_for_encoding(name)
    except (ImportError, AttributeError, ValueError) as error:
        log.warning("tokens of %s are estimated from bytes: %s", name, error)
        return ByteEncoder()
    return encoder


def _extension() -> ModuleType:
    package = importlib.util.find_spec(_PACKAGE)
    spec = PathFinder.find_spec(f"{_PACKAGE}._bindings", package.submodule_search_locations) if package else None
    if spec is None or spec.loader is None:
        raise ImportError(f"{_PACKAGE} is not installed")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def count_tokens(encoder: Encoder, texts: Iterable[str]) -> int:
    """The sum over the texts."""
    count = encoder.count
    total = 0
    for text in texts:
        for piece in (text,) if len(text) <= PIECE else _pieces(text):
            try:
                total += count(piece)
            except UnicodeEncodeError:
                total += count(piece.encode("utf-8", "replace").decode())
    return total


def _pieces(text: str) -> Iterable[str]:
    """A long text in pieces that begin with a blank or a line, if one is near: tokens begin there, too."""
    start, length = 0, len(text)
    while length - start > PIECE:
        end = start + PIECE
        place = text.rfind(" ", end - _LOOK_BACK, end)
        if place < 0:
            place = text.rfind("\n", end - _LOOK_BACK, end) + 1
        end = place if place > start else end
        yield text[start:end]
        start = end
    yield text[start:]
