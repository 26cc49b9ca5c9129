"""The audit log: JSON lines, each naming the hash of the line before it (CP-115, CP-116).

A line is written before its transaction commits and is cut off again if the commit fails, so a change without its line
cannot exist. The *head* (number, hash, length of the file) is a fact in the database, changed in the same transaction:
what lies beyond it in the file was never committed, and a file shorter than it was cut or rotated.

A process that is killed between line and commit leaves the lines of one operation beyond the head; the next append cuts
them off. More than that says that somebody wrote into the log, or that the database is an older one: it is a problem to
``verify``, and an append puts the whole file aside before it cuts.

Invariants
    1. ``hash`` is SHA-256 over the bytes of the line without its last member; ``prev_hash`` is the line before.
    2. Lines hold what the caller put into the event, nothing is added but ``seq`` and the hashes; no values of secrets.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

GENESIS: Final = "0" * 64
_PROBE: Final = b" " * 1_024
_HASH_MEMBER: Final = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n?\Z')


@dataclass(frozen=True, slots=True)
class Head:
    """The last committed line."""

    seq: int = 0
    hash: str = GENESIS
    size: int = 0

    def pack(self) -> bytes:
        return orjson.dumps([self.seq, self.hash, self.size])

    @classmethod
    def unpack(cls, packed: bytes | None) -> Head:
        return cls(*orjson.loads(packed)) if packed else cls()


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a check found: how many lines hold, and the first thing that does not (None: all hold).

    ``first``: the number of the first line; above 1 the older ones were rotated away. ``unfinished``: lines of a change
    that was never committed.
    """

    lines: int
    problem: str | None = None
    first: int = 1
    unfinished: int = 0


class AuditFile:
    """The file, as the writer's thread sees it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, events: Sequence[Mapping[str, Any]], head: Head) -> Head:
        """Writes the events after ``head`` and gives the new head; durable on return."""
        lines, seq, chain = [], head.seq, head.hash
        for event in events:
            seq += 1
            line, chain = _line(event, seq, chain)
            lines.append(line)
        text = b"".join(lines)
        with self._open() as file:
            size = min(os.fstat(file.fileno()).st_size, head.size)
            file.seek(size)
            if not _is_unfinished(file.readlines()):
                self._put_aside()
            file.truncate(size)
            file.seek(size)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return Head(seq, chain, size + len(text))

    def probe(self) -> None:
        """Whether a line could be written: writes what is none and takes it back."""
        with self._open() as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(size)
            try:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
            finally:
                os.ftruncate(file.fileno(), size)

    def cut(self, head: Head) -> None:
        """Takes back what a failed transaction wrote."""
        if self.path.exists() and self.path.stat().st_size > head.size:
            os.truncate(self.path, head.size)

    def _put_aside(self) -> None:
        """A copy of the file, for whoever has to find out."""
        copy = self.path.with_name(f"{self.path.name}.replaced-{os.stat(self.path).st_mtime_ns}")
        if not copy.exists():
            os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            shutil.copyfile(self.path, copy)

    def _open(self) -> Any:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return open(os.open(self.path, flags, 0o600), "r+b")


def verify(path: Path, head: Head) -> AuditReport:
    """Reads the whole file and follows the chain to the head of the database."""
    count, first, seq, chain = 0, 1, 0, GENESIS
    lines = _lines(path)
    for line in lines:
        if count == 0:
            # The file may begin in the middle of the chain: older lines were rotated away.
            start = _parse(line)
            seq, chain = (int(start["seq"]) - 1, str(start["prev_hash"])) if start else (0, GENESIS)
            first = seq + 1
        if (seq, chain) == (head.seq, head.hash):
            return _with_tail(AuditReport(count, first=first), [line, *lines])
        seq += 1
        problem = _check(line, seq, chain)
        if problem is not None:
            return AuditReport(count, f"line {count + 1}: {problem}", first)
        chain = _HASH_MEMBER.search(line)[1].decode()  # type: ignore[index]  # _check matched it
        count += 1
    if (seq, chain) != (head.seq, head.hash):
        return AuditReport(count, f"the log ends at line number {seq}, the store at {head.seq}", first)
    return AuditReport(count, first=first)


def _with_tail(report: AuditReport, tail: list[bytes]) -> AuditReport:
    """The report, given the lines beyond the head."""
    if _is_unfinished(tail):
        return replace(report, unfinished=len(tail))
    return replace(report, problem=f"line {report.lines + 1}: the store does not know this line")


def _is_unfinished(tail: Sequence[bytes]) -> bool:
    """Whether lines beyond the head are those of one operation, the last perhaps cut short."""
    if tail and not tail[-1].endswith(b"\n"):
        tail = tail[:-1]
    events = [_parse(line) for line in tail]
    return all(events) and len({str(event.get("operation_id")) for event in events if event}) <= 1


def _line(event: Mapping[str, Any], seq: int, previous: str) -> tuple[bytes, str]:
    body = orjson.dumps({**event, "seq": seq, "prev_hash": previous})
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}\n', digest


def _check(line: bytes, seq: int, previous: str) -> str | None:
    found = _HASH_MEMBER.search(line)
    event = _parse(line)
    if found is None or event is None:
        return "is not a line of this log"
    if hashlib.sha256(line[: found.start()] + b"}").hexdigest() != found[1].decode():
        return "was changed"
    if event.get("seq") != seq or event.get("prev_hash") != previous:
        return "does not follow the line before it"
    return None


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("seq"), int) and "prev_hash" in event else None


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
