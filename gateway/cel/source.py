"""Positions: offset in a text ↔ line and column; several expressions compiled as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.cel.errors import CelError


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column count from 1, offset and index from 0."""

    line: int
    column: int
    offset: int
    index: int = 0


class Source:
    """One or more expressions, laid out one after the other with a newline between them.

    Nodes carry offsets into that layout; generated code carries its line numbers, so that both lead back to the
    expression's own line and column.
    """

    __slots__ = ("_bases", "_lines", "pieces", "text")

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self._bases = [0]
        for piece in self.pieces:
            self._bases.append(self._bases[-1] + len(piece) + 1)
        self.text = "\n".join(self.pieces)
        self._lines = [0] + [offset + 1 for offset, character in enumerate(self.text) if character == "\n"]

    def base(self, index: int) -> int:
        """Where expression ``index`` begins in the layout."""
        return self._bases[index]

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line from 1 and column from 0 in the layout, as code objects want them."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1]

    def position(self, offset: int) -> Position:
        """Where an offset of the layout lies in its own expression."""
        index = min(bisect_right(self._bases, offset), len(self.pieces)) - 1
        base = self._bases[index]
        line, column = self.line_column(offset)
        first_line, _ = self.line_column(base)
        return Position(line - first_line + 1, column + 1, offset - base, index)

    def at_line(self, line: int, column: int) -> Position:
        """The same for a line and column of the layout (from a traceback)."""
        return self.position(self._lines[min(line, len(self._lines)) - 1] + column)

    def error(self, kind: type[CelError], offset: int, message: str) -> CelError:
        """An error of that class at that offset of the layout."""
        place = self.position(offset)
        return kind(message, place.line, place.column, place.offset, place.index)
