"""The audit chain: what verification accepts and what it finds (CP-115, CP-116)."""

from __future__ import annotations

import orjson
import pytest

from gateway.store.audit import AuditFile, Head, verify


@pytest.fixture
def log(tmp_path):
    return AuditFile(tmp_path / "audit.log")


def events(count, start=0):
    return [{"event_id": f"ev_{number}", "event_type": "vault_created.v0"} for number in range(start, start + count)]


def test_lines_are_json_and_hold_the_event_as_given(log):
    head = log.append(events(2), Head())
    first, second = map(orjson.loads, log.path.read_bytes().splitlines())
    assert (first["event_id"], first["seq"], first["prev_hash"]) == ("ev_0", 1, "0" * 64)
    assert second["prev_hash"] == first["hash"]
    assert (head.seq, head.hash, head.size) == (2, second["hash"], log.path.stat().st_size)
    assert verify(log.path, head).lines == 2


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("harm", ["edit", "remove", "swap", "insert"])
def test_every_tampering_is_found(log, at, harm):
    head = log.append(events(4), Head())
    lines = log.path.read_bytes().splitlines(keepends=True)
    if harm == "edit":
        lines[at] = lines[at].replace(b"vault_created", b"vault_deleted")
    elif harm == "remove":
        del lines[at]
    elif harm == "swap":
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    else:
        lines.insert(at, lines[at])
    log.path.write_bytes(b"".join(lines))
    report = verify(log.path, head)
    if (harm, at) == ("remove", 0):
        # A file may begin anywhere: earlier lines may have been rotated away, which is not hidden either.
        assert report.lines == 3
    else:
        assert report.problem is not None


def test_lines_cut_from_the_end_are_found(log):
    head = log.append(events(3), Head())
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:2]))
    assert verify(log.path, head).problem == "the log ends at line number 2, the store at 3"


def test_a_rewritten_log_does_not_match_the_store(log):
    head = log.append(events(3), Head())
    log.path.unlink()
    log.append(events(3, start=7), Head())
    assert verify(log.path, head).problem is not None


def test_what_was_never_committed_is_cut_by_the_next_append(log):
    head = log.append(events(1), Head())
    log.append(events(1, start=5), head)
    head = log.append(events(1, start=1), head)
    assert [orjson.loads(line)["event_id"] for line in log.path.read_bytes().splitlines()] == ["ev_0", "ev_1"]
    assert verify(log.path, head).problem is None


def operation(name, count):
    return [{"event_id": f"ev_{name}_{number}", "operation_id": f"op_{name}"} for number in range(count)]


@pytest.mark.parametrize("cut", [0, 7])
def test_the_lines_of_a_killed_transaction_are_told_apart(log, cut):
    """P22: a process may die between line and commit; that is no tampering, and the last line may be cut short."""
    head = log.append(operation("done", 2), Head())
    log.append(operation("killed", 3), head)
    log.path.write_bytes(log.path.read_bytes()[: -cut or None])
    report = verify(log.path, head)
    assert (report.lines, report.problem, report.unfinished) == (2, None, 3)
    head = log.append(operation("next", 1), head)
    report = verify(log.path, head)
    assert (report.lines, report.problem, report.unfinished) == (3, None, 0)
    assert [path.name for path in log.path.parent.iterdir()] == ["audit.log"]


def test_lines_of_several_operations_beyond_the_head_are_found_and_kept(log):
    """Somebody appended to the log, or put an older database under it."""
    old = log.append(operation("one", 1), Head())
    head = log.append(operation("two", 1), old)
    log.append(operation("three", 1), head)
    whole = log.path.read_bytes()
    assert verify(log.path, old).problem == "line 2: the store does not know this line"
    head = log.append(operation("next", 1), old)
    assert verify(log.path, head).lines == 2
    aside = [path for path in log.path.parent.iterdir() if path != log.path]
    assert [path.read_bytes() for path in aside] == [whole]
    assert aside[0].stat().st_mode & 0o777 == 0o600


def test_junk_beyond_the_head_is_found(log):
    head = log.append(events(1), Head())
    with log.path.open("ab") as file:
        file.write(b"{}\n")
    assert verify(log.path, head).problem == "line 2: the store does not know this line"


def test_a_rotated_log_goes_on_with_the_chain(log):
    head = log.append(events(2), Head())
    log.path.rename(log.path.with_suffix(".1"))
    head = log.append(events(2, start=2), head)
    report = verify(log.path, head)
    assert (report.lines, report.problem, report.first) == (2, None, 3)


def test_an_empty_log_of_a_new_store_holds(log):
    assert verify(log.path, Head()).problem is None


@pytest.mark.parametrize("junk", [b"\n", b"{}\n", b"[1]\n", b"\xff\n", b'{"seq":1,"prev_hash":"0","hash":"x"}\n'])
def test_junk_is_reported_not_raised(log, junk):
    log.path.write_bytes(junk)
    assert verify(log.path, Head()).problem is not None
