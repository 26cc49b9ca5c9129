"""Categories of addresses out of the operator's own lists (TP-135): ``conn.client_ip.categories`` and what follows.

    a directory     one file for each category, named like it: a network or an address a line, ``#`` begins a comment
    a file          YAML or JSON: category → list of networks and addresses

A category's name has levels, ``blocklist.firehol_org.level_1``: what is in it is in ``blocklist.firehol_org`` and
``blocklist``, too. Nothing is shipped and nothing is fetched: lists are files that a reload reads again.

Invariant: a list with a line that is no network is not used at all, so that a truncated download is seen.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gateway.cel.networks import number_of, range_of
from gateway.document import Kind, Node, parse_document
from gateway.problems import Problems

#: error: a list that cannot be used
LIST_CODE = "ERR_TP_IP_CATEGORIES"
_NAME = re.compile(r"[a-z0-9_-]{1,64}(?:\.[a-z0-9_-]{1,64}){0,7}")
_MAX_FILE_BYTES = 64 << 20
#: any category below it makes ``is_on_blocklist`` true; this one ``is_tor_node``
BLOCKLIST, TOR = "blocklist", "proxy.anonymous.tor"

#: (category, first address, the one behind the last), as numbers of ``gateway.cel.networks``
Entry = tuple[str, int, int]


def load_categories(path: Path, problems: Problems) -> Callable[[str], tuple[str, ...]] | None:
    """Address → its categories in order; None if the lists cannot be used. Reads files."""
    entries = list(_from_directory(path, problems) if path.is_dir() else _from_file(path, problems))
    return None if problems.failed else _lookup(entries)


def _from_directory(directory: Path, problems: Problems) -> Iterator[Entry]:
    try:
        files = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        _refused(problems, directory, 1, error.strerror or "cannot be read")
        return
    for path in files:
        category = path.name.removesuffix(".txt")
        text = _read(path, problems)
        if not _NAME.fullmatch(category):
            _refused(problems, path, 1, f"'{category}' is no name of a category")
        for number, line in enumerate((text or "").splitlines(), 1):
            network = line.partition("#")[0].strip()
            if not network:
                continue
            found = _range(network)
            if found is None:
                _refused(problems, path, number, "is neither a network nor an address")
                break
            yield category, *found


def _from_file(path: Path, problems: Problems) -> Iterator[Entry]:
    text = _read(path, problems)
    inner = Problems(str(path))
    root = parse_document(text, inner) if text is not None else None
    problems.extend(inner)
    if root is None:
        return
    if root.kind is not Kind.MAPPING:
        _refused(problems, path, root.line, "must be a mapping of categories to lists of networks")
        return
    for entry in root.entries:
        if not _NAME.fullmatch(entry.name):
            _refused(problems, path, entry.key.line, f"'{entry.name}' is no name of a category")
        for item in _items(entry.value):
            found = _range(str(item.value)) if item.kind is Kind.STRING else None
            if found is None:
                _refused(problems, path, item.line, "is neither a network nor an address")
                break
            yield entry.name, *found


def _items(node: Node) -> Iterable[Node]:
    return node.items if node.kind is Kind.SEQUENCE else () if node.kind is Kind.NULL else (node,)


def _read(path: Path, problems: Problems) -> str | None:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            _refused(problems, path, 1, f"is larger than {_MAX_FILE_BYTES >> 20} MiB")
            return None
        return path.read_text("utf-8", "replace")
    except OSError as error:
        _refused(problems, path, 1, error.strerror or "cannot be read")
        return None


def _range(text: str) -> tuple[int, int] | None:
    if "/" not in text:
        text = f"{text}/{128 if ':' in text else 32}"
    return range_of(text)


def _refused(problems: Problems, path: Path, line: int, words: str) -> None:
    problems.add_error(LIST_CODE, f"ip_categories: {path}, line {line}: {words}", line=1, column=1)


def _levels(category: str) -> Iterator[str]:
    """``a.b.c`` → a, a.b, a.b.c"""
    names = category.split(".")
    for count in range(1, len(names) + 1):
        yield ".".join(names[:count])


def _lookup(entries: Iterable[Entry]) -> Callable[[str], tuple[str, ...]]:
    """The categories between every two bounds, made beforehand: an address costs one bisection."""
    changes: dict[int, list[tuple[str, int]]] = {}
    for category, first, behind in entries:
        changes.setdefault(first, []).append((category, 1))
        changes.setdefault(behind, []).append((category, -1))
    bounds = sorted(changes)
    inside: Counter[str] = Counter()
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    cells: list[tuple[str, ...]] = [()]
    for bound in bounds:
        for category, change in changes[bound]:
            inside[category] += change
            if not inside[category]:
                del inside[category]
        names = tuple(sorted({level for category in inside for level in _levels(category)}))
        cells.append(known.setdefault(names, names))

    def categories(address: str) -> tuple[str, ...]:
        # what is no address is behind every bound, where no list reaches
        return cells[bisect_right(bounds, number_of(address))]

    return categories
