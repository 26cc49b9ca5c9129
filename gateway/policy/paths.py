"""The one normalised path that rules and the router see (TP-140), and the parts of a request target.

Pure. ``.`` and ``..`` segments are removed (RFC 3986, 5.2.4) after percent-escapes of unreserved characters were
decoded; other escapes are upper-cased; repeated slashes and case are kept, since they mean something to upstreams.
"""

from __future__ import annotations

import re

_NEEDS_WORK = re.compile(r"%|/\.|^[^/]|#")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def normalise(raw_target: str) -> tuple[str, str]:
    """A request target → (normalised path, raw query without ``?``).

    ``/x/../%61dmin?q=1`` → ``('/admin', 'q=1')``; ``http://host/a`` → ``('/a', '')``; ``//admin`` and ``*`` stay.
    """
    path, _, query = raw_target.partition("?")
    if _NEEDS_WORK.search(path) is None:
        return path or "/", query
    return _clean(path, query)


def _clean(path: str, query: str) -> tuple[str, str]:
    path, fragment, _ = path.partition("#")
    if fragment:
        query = ""
    if not path.startswith("/"):
        absolute = _ABSOLUTE.match(path)
        if absolute is None:
            return path or "/", query
        path = path[absolute.end() :] or "/"
    path = _ESCAPE.sub(_decode, path)
    return (_without_dots(path) if "/." in path else path), query


def _decode(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else f"%{match[1].upper()}"


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
