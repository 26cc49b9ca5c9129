"""Header maps: one mutable structure that expressions read, actions change and the wire is written from.

Names are lower case (TP-90), every header line is one element (TP-91), order of names is order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class ValueList(list[str]):
    """The values of one header or query name (TP-93): a list that also answers string predicates in expressions."""

    __slots__ = ()


_NAMES: dict[bytes, str] = {}
_NAMES_LIMIT = 4_096


def lower_name(raw: bytes) -> str:
    """The lower-case name of a header as it stood on the wire; cached, since clients repeat themselves."""
    name = _NAMES.get(raw)
    if name is None:
        name = raw.decode("latin-1").lower()
        if len(_NAMES) < _NAMES_LIMIT:
            _NAMES[raw] = name
    return name


class HeaderMap(dict[str, ValueList]):
    """Lower-case name → its values. Look up with a lower-case name; ``get`` gives None when there is none."""

    __slots__ = ()

    @classmethod
    def from_raw(cls, raw: Iterable[tuple[bytes, bytes]]) -> HeaderMap:
        """From the (name, value) byte pairs of an HTTP parser."""
        headers = cls()
        names = _NAMES
        for raw_name, raw_value in raw:
            name = names.get(raw_name) or lower_name(raw_name)
            value = raw_value.decode("utf-8", "surrogateescape").strip(" \t")
            values = headers.get(name)
            if values is None:
                headers[name] = ValueList((value,))
            else:
                values.append(value)
        return headers

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> HeaderMap:
        """From (name, value) strings; names are lower-cased."""
        headers = cls()
        for name, value in pairs:
            headers.add(name.lower(), value)
        return headers

    def add(self, name: str, value: str) -> None:
        """Appends a line (TP-371)."""
        values = self.get(name)
        if values is None:
            self[name] = ValueList((value,))
        else:
            values.append(value)

    def set(self, name: str, value: str) -> None:
        """Replaces all lines of that name."""
        self[name] = ValueList((value,))

    def first(self, name: str) -> str | None:
        """The first value, or None."""
        values = self.get(name)
        return values[0] if values else None

    def lines(self) -> Iterator[tuple[str, str]]:
        """Every (name, value) line, grouped by name."""
        for name, values in self.items():
            for value in values:
                yield name, value

    def copy(self) -> HeaderMap:
        """An independent copy."""
        twin = HeaderMap()
        for name, values in self.items():
            twin[name] = ValueList(values)
        return twin
