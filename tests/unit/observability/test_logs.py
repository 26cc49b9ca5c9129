"""Log lines: buffer, writer thread, forms (SV-30, P01)."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from gateway.observability import logs
from gateway.observability.logs import JsonFormatter, LogSink, TextFormatter, Timestamps, connect_logging, json_chosen
from gateway.observability.mask import Masker


@pytest.fixture
def target(tmp_path: Path) -> Iterator[tuple[LogSink, Path]]:
    """A sink that writes into a file."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    sink = LogSink(descriptor)
    yield sink, path
    sink.close()
    os.close(descriptor)


def test_lines_leave_in_order(target: tuple[LogSink, Path]) -> None:
    sink, path = target
    for number in range(1_000):
        sink.write(b"%d\n" % number)
    assert sink.flush()
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(1_000))


def test_many_threads(target: tuple[LogSink, Path]) -> None:
    """Lines stay whole whoever writes them."""
    sink, path = target

    def write(name: int) -> None:
        for number in range(500):
            (sink.write if number % 7 else sink.write_now)(b"%d-%d\n" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.flush()
    expected = {b"%d-%d" % (name, number) for name in range(4) for number in range(500)}
    lines = path.read_bytes().splitlines()
    assert len(lines) == 2_000
    assert set(lines) == expected


def test_flush_without_lines(target: tuple[LogSink, Path]) -> None:
    assert target[0].flush()


def test_batch_passes_the_masker(target: tuple[LogSink, Path]) -> None:
    """P18: whatever produced the line. A secret learned later counts for lines that have not left."""
    sink, path = target
    sink.write(b"key is canary-secret\n")
    sink.masker = Masker(["canary-secret"])
    assert sink.flush()
    assert path.read_bytes() == b"key is ***\n"


def test_stalled_reader_costs_lines_not_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """P01: what waits is bounded, lines are dropped whole and counted, and writing goes on without a wait."""
    monkeypatch.setattr(logs, "MAX_BUFFER_BYTES", 1_000)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    sink = LogSink(writer)
    try:
        sink.write_now(b"x" * 999 + b"\n")
        sink.flush()
        pipe_bytes = 1 << 20
        for _ in range(2 * pipe_bytes // 1_000):  # nobody reads: the pipe fills, then the buffer
            sink.write_now(b"y" * 99 + b"\n")
        while not sink.dropped:
            sink.write(b"y" * 99 + b"\n")
        taken = b""
        while not sink.flush(0.01):
            taken += os.read(reader, pipe_bytes)
        taken += os.read(reader, pipe_bytes)
        assert set(map(len, taken.splitlines())) == {999, 99}
    finally:
        sink.close()
        os.close(reader)
        os.close(writer)


def test_lost_output_is_counted() -> None:
    """Standard error may be closed; nothing raises."""
    reader, writer = os.pipe()
    os.close(reader)
    sink = LogSink(writer)
    sink.write(b"one\n")
    sink.write(b"two\n")
    assert sink.flush()
    assert sink.dropped == 2
    sink.close()
    os.close(writer)


def test_close_ends_the_thread(target: tuple[LogSink, Path]) -> None:
    sink, path = target
    sink.write(b"last\n")
    sink.close()
    assert path.read_bytes() == b"last\n"
    assert "log-writer" not in {thread.name for thread in threading.enumerate()}


def test_timestamps() -> None:
    times = Timestamps("%Y-%m-%dT%H:%M:%S")
    assert times.format(1_700_000_000.0) == "2023-11-14T22:13:20.000"
    assert times.format(1_700_000_000.9999) == "2023-11-14T22:13:20.999"
    assert times.format(1_700_000_001.25) == "2023-11-14T22:13:21.250"


class TestForms:
    @staticmethod
    def _record(message: str, *arguments: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
        record = logging.LogRecord("gateway.app", level, __file__, 1, message, arguments, None)
        record.created = 1_700_000_000.5
        record.__dict__.update(extra)
        return record

    def test_json(self) -> None:
        record = self._record("listening on %s", "http://h", event="listening", fields={"url": "http://h"})
        assert orjson.loads(JsonFormatter().format(record)) == {
            "time": "2023-11-14T22:13:20.500Z",
            "level": "info",
            "event": "listening",
            "logger": "gateway.app",
            "message": "listening on http://h",
            "url": "http://h",
        }

    def test_json_takes_anything(self) -> None:
        """A field that is no JSON value is written as text; an event's name has a default."""
        line = orjson.loads(JsonFormatter().format(self._record("m", fields={"path": Path("/x"), 1: "one"})))
        assert (line["path"], line["1"], line["event"]) == ("/x", "one", "log")

    def test_text(self) -> None:
        plain = TextFormatter(colour=False)
        assert plain.format(self._record("hello")) == "22:13:20.500 hello"
        assert plain.format(self._record("careful", level=logging.WARNING)) == "22:13:20.500 warning careful"

    def test_text_on_a_terminal(self) -> None:
        line = TextFormatter(colour=True).format(self._record("broken", level=logging.ERROR))
        assert line == "\x1b[2m22:13:20.500\x1b[0m \x1b[31merror \x1b[0mbroken"

    @pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter(colour=False)])
    def test_traceback(self, formatter: logging.Formatter) -> None:
        try:
            raise ValueError("the cause")
        except ValueError as error:
            record = self._record("failed", exc_info=(type(error), error, error.__traceback__))
        assert "ValueError: the cause" in formatter.format(record)


def test_logging_goes_through_the_sink(target: tuple[LogSink, Path]) -> None:
    """Life-cycle events from ``info`` on; libraries from ``warning`` on; warnings of Python as well."""
    sink, path = target
    root_level = logging.getLogger().level
    handler = connect_logging(sink, json=True, level="info", colour=False)
    try:
        logging.getLogger("gateway.app").info("started", extra={"event": "start"})
        logging.getLogger("gateway.app").debug("detail")
        logging.getLogger("library").info("inside")
        logging.getLogger("library").warning("trouble %s", "x")
        assert sink.flush()
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger().setLevel(root_level)
        logging.getLogger("gateway").setLevel(logging.NOTSET)
        logging.captureWarnings(capture=False)
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [(line["event"], line["message"]) for line in lines] == [("start", "started"), ("log", "trouble x")]


def test_form_by_terminal() -> None:
    """SV-2: text on a terminal, else JSON, unless stated."""
    assert json_chosen(None, terminal=False)
    assert not json_chosen(None, terminal=True)
    assert json_chosen("json", terminal=True)
    assert not json_chosen("text", terminal=False)
