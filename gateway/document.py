"""YAML and JSON text → a tree of ``gateway.node.Node``.

What the tree means is ``gateway.schema``'s business. Both notations give equal trees (TP-2); YAML is read with the
1.2 core schema as plain data (TP-3). How they are read stands in ``gateway.notations``.

Invariants
    1. ``parse_document`` raises nothing; whatever is wrong is in ``problems``, and then the result may be None.
    2. Integers fit 64 bits (larger ones are numbers, as in ``json.decode``), numbers are finite, keys are strings.
    3. At most ``MAX_NODES`` nodes after expanding aliases, nested at most ``MAX_DEPTH`` deep.
"""

from __future__ import annotations

from gateway.node import Entry, Kind, Node
from gateway.notations import JsonReader, Unreadable, YamlReader, position
from gateway.problems import Codes, Problem, Problems, Severity

__all__ = ["Codes", "Entry", "Kind", "Node", "Problem", "Problems", "Severity", "parse_document"]

MAX_SOURCE_BYTES = 1 << 20


def parse_document(source: str | bytes, problems: Problems, *, is_json: bool | None = None) -> Node | None:
    """The document's root, or None if it is empty or cannot be read.

    It is JSON when the file's name (``problems.file``) ends in ``.json`` or the first character is ``{`` (TP-2),
    unless ``is_json`` says so.
    """
    try:
        text = _decode(source)
        if is_json is None:
            is_json = problems.file.endswith(".json") or text.lstrip()[:1] == "{"
        if not text.strip():
            return None
        return (JsonReader(text, problems) if is_json else YamlReader(text, problems)).read()
    except Unreadable as stop:
        problems.add(Severity.ERROR, problems.codes.syntax, stop.message, line=stop.line, column=stop.column)
    except RecursionError:
        problems.add(Severity.ERROR, problems.codes.syntax, "the document is nested too deeply", line=1, column=1)
    return None


def _decode(source: str | bytes) -> str:
    try:
        raw = source.encode("utf-8") if isinstance(source, str) else source
        if len(raw) > MAX_SOURCE_BYTES:
            raise Unreadable("the source is larger than 1 MiB", 1, 1)
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeError as error:
        at: int = getattr(error, "start", 0)
        before = source[:at] if isinstance(source, str) else source[:at].decode("utf-8")
        raise Unreadable("the source is not valid UTF-8", *position(before, len(before))) from None
