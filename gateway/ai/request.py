"""The client's body: what the gateway reads from it, and where its top-level members stand.

Only ``model``, ``models``, ``stream`` and ``stream_options`` are understood; everything else passes through (P26).
Nothing here changes a byte: ``splice.py`` does, with the positions found here.

Invariants
    1. A body that parses is a JSON object in UTF-8 whose top-level names are distinct (AG-218).
    2. ``member`` tells the exact bytes of a top-level member, whatever names stand inside strings or deeper levels.
    3. No scan runs in Python per token: 32 MiB of hostile JSON cost a few C passes, not seconds.

How names are proven distinct, cheapest first: the document written back gives the same bytes (compact clients); or
``"name"`` occurs once in the body, or once as a name, for every name (then it is the member itself, as no name is
spelt with escapes); or the members are walked one by one.

Source: ai-gateway.md AG-70, AG-72, AG-211, AG-218, AG-244.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from gateway.ai.surfaces import Surface
from gateway.errors import INVALID_BODY, GatewayError, failure

MAX_NAMES: Final = 64
#: above this many members counting every name costs more than walking the members
_COUNTED_MEMBERS: Final = 24

#: names that cannot be written with an escape unless ``\u003`` to ``\u007`` stands in the body
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,48}")
_ESCAPED_NAME_CHARACTER: Final = re.compile(rb"\\u00(?:3[0-9]|[4-7])")
_NAME_END: Final = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_MEMBER_HEAD: Final = re.compile(rb'[ \t\n\r]*,?[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_SCALAR: Final = re.compile(rb"[^ \t\n\r,}\]]+")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


#: the standard library's scanner takes what orjson refuses: lone surrogates and numbers beyond a double (AG-218)
_tolerant: Final = json.JSONDecoder(parse_constant=_refuse_constant)
#: its C core, on the body read as Latin-1 (one character per byte): gives the end of any value at C speed
_scan_value: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder(
    parse_int=str, parse_float=str, parse_constant=str
).scan_once  # type: ignore[attr-defined]  # not in the stubs; documented through json.scanner since 2.6

#: name → ``"name"``; bounded
_NEEDLES: dict[str, bytes] = {}
_NEEDLES_LIMIT: Final = 1_024


class Member(NamedTuple):
    """Where one member stands: its name's quote, its value's first byte, the byte behind its value."""

    start: int
    value: int
    end: int


class AiRequest:
    """One parsed request body. ``document`` is read-only: edits go through ``splice.build_body``."""

    __slots__ = (
        "_also_values", "_compact", "_document", "_members", "body", "client_set_stream_options", "model", "models",
        "names", "stream", "surface",
    )  # fmt: skip

    def __init__(self, surface: Surface, body: bytes, document: dict[str, Any]) -> None:
        self.surface = surface
        self.body = body
        self._document: dict[str, Any] | None = document
        #: as sent; None where it is absent, null or blank
        self.model: str | None = None
        #: the entries of ``models`` that are not blank
        self.models: tuple[str, ...] = ()
        #: the request list (AG-72): ``model`` first, then ``models``, in order
        self.names: tuple[str, ...] = ()
        #: what the client asked for; whether the answer streams is judged on the forwarded body (AG-261)
        self.stream = document.get("stream") is True
        #: ``stream_options.include_usage`` is present, with either value (AG-244)
        options = document.get("stream_options")
        self.client_set_stream_options = options is not None and sets_include_usage(options)
        # how the names were proven distinct: a compact body, members walked, or else every name stands there once,
        # except for those that stand there as values, too
        self._compact = False
        self._also_values: tuple[str, ...] = ()
        self._members: dict[str, Member] | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The members. (Not by ``__getattr__``, which makes every read of a class slow.)"""
        document = self._document
        if document is None:
            document = self._document = _load(self.body)
        return document

    def forget_document(self) -> None:
        """For the time of a long answer: ``document`` takes more memory than the body, from which it is read again."""
        self._document = None

    def member(self, name: str) -> Member:
        """The place of a top-level member of ``document``; KeyError if there is none."""
        if self._members is None:
            if name not in self.document:
                raise KeyError(name)
            found = self._quick_member(name)
            if found is not None:
                return found
            self._members = scan_members(self.body)
        return self._members[name]

    def _quick_member(self, name: str) -> Member | None:
        """Without walking the members: from the compact form, or because the name occurs only once."""
        body = self.body
        if self._compact:
            start = self._compact_start(name)
        else:
            needle = _needle(name)
            start = body.find(needle + b":" if name in self._also_values else needle)
        quoted = _STRING.match(body, start)
        colon = _NAME_END.match(body, quoted.end()) if quoted else None
        return None if colon is None else Member(start, colon.end(), value_end(body, colon.end()))

    def _compact_start(self, name: str) -> int:
        before: dict[str, Any] = {}
        for key, value in self.document.items():
            if key == name:
                break
            before[key] = value
        # the comma behind the members before it takes the place of their closing brace
        return len(orjson.dumps(before)) if before else 1


def parse_request(surface: Surface, body: bytes) -> AiRequest:
    """Parses one decoded body; raises GatewayError 3801 (AG-70, AG-72)."""
    document = _load(body)
    if not isinstance(document, dict):
        raise _invalid("not a JSON object")
    request = AiRequest(surface, body, document)
    if not _names_are_distinct(request, document):
        request._members = scan_members(body)
    model, models = document.get("model"), document.get("models")
    if model is not None and not isinstance(model, str):
        raise _invalid("'model' must be a string")
    if model and not model.isspace():
        request.model = model
        request.names = (model,)
    if models is not None:
        request.models = _models(models)
        request.names += request.models
        if len(request.names) > MAX_NAMES:
            raise _invalid(f"more than {MAX_NAMES} model names")
    return request


def sets_include_usage(stream_options: Any) -> bool:
    """Whether a ``stream_options`` value has ``include_usage``; null equals absent."""
    return isinstance(stream_options, dict) and stream_options.get("include_usage") is not None


def scan_members(body: bytes) -> dict[str, Member]:
    """Walks the members of a valid JSON object; raises GatewayError 3801 for a repeated name (AG-218)."""
    text = body.decode("latin-1")
    members: dict[str, Member] = {}
    position = text.index("{") + 1
    try:
        while (head := _MEMBER_HEAD.match(body, position)) is not None:
            raw_name = head[1]
            name = raw_name[1:-1].decode() if b"\\" not in raw_name else _unescaped(raw_name)
            if name in members:
                raise _invalid(f"the member '{_shown(name)}' is given twice")
            value = head.end()
            position = _scan_value(text, value)[1]
            members[name] = Member(head.start(1), value, position)
    except RecursionError:
        raise _invalid("nested too deeply") from None
    return members


def value_end(body: bytes, start: int) -> int:
    """The index behind the value that begins at ``start`` of a valid JSON text."""
    first = body[start]
    if first == 0x22:
        found = _STRING.match(body, start)
    elif first in b"{[":
        try:
            return start + _scan_value(body[start:].decode("latin-1"), 0)[1]
        except RecursionError:
            raise _invalid("nested too deeply") from None
    else:
        found = _SCALAR.match(body, start)
    if found is None:
        raise ValueError("no value here")
    return found.end()


def _load(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _load_tolerant(body, error)


def _load_tolerant(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """What orjson refuses though it is JSON; anything else fails with orjson's reason, which names line and column."""
    if "surrogate" in str(error) or "infinity" in str(error):
        try:
            return _tolerant.decode(body.decode("utf-8"))
        except RecursionError:
            raise _invalid("nested too deeply") from None
        except ValueError:
            pass
    raise _invalid(f"not valid JSON: {error}" if body.strip() else "the body is empty") from None


def _names_are_distinct(request: AiRequest, document: dict[str, Any]) -> bool:
    """Proves it cheaply, or gives False: then the members have to be walked."""
    body = request.body
    if body[body.find(b'":') + 2] != 0x20:  # what stands behind the first name tells whether it is worth a try
        try:
            request._compact = compact = orjson.dumps(document) == body
        except TypeError:  # a lone surrogate, or a number beyond 64 bits
            compact = False
        if compact:
            return True
    if len(document) > _COUNTED_MEMBERS or _may_escape_names(body):
        return False
    count = body.count
    needles = _NEEDLES
    for name in document:
        needle = needles.get(name)
        if needle is None:
            if not _PLAIN_NAME.fullmatch(name):
                return False
            needle = _needle(name)
        if count(needle) != 1:
            if not _is_one_name(body, needle):
                return False
            request._also_values += (name,)
    return True


def _is_one_name(body: bytes, needle: bytes) -> bool:
    """Whether only one of a text's occurrences is a member's name, as in ``{"role": "user", …, "user": 1}``."""
    count = body.count
    if count(needle + b":") != 1:
        return False
    return 1 + count(needle + b",") + count(needle + b"}") + count(needle + b"]") == count(needle)


def _may_escape_names(body: bytes) -> bool:
    return b"\\u00" in body and _ESCAPED_NAME_CHARACTER.search(body) is not None


def _needle(name: str) -> bytes:
    needle = _NEEDLES.get(name)
    if needle is None:
        needle = b'"%b"' % name.encode()
        if len(_NEEDLES) < _NEEDLES_LIMIT:
            _NEEDLES[name] = needle
    return needle


def _unescaped(raw_name: bytes) -> str:
    name: str = _tolerant.decode(raw_name.decode())
    return name


def _models(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _invalid("'models' must be an array of strings")
    return tuple(name for name in value if name.strip())


def _shown(name: str) -> str:
    return name[:64].encode("utf-8", "replace").decode()


def _invalid(reason: str) -> GatewayError:
    return failure(INVALID_BODY, reason=reason)
