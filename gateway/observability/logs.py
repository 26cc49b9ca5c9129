"""Log lines on their way to standard error: one buffer, one writer thread, JSON lines or text for people.

Everything that is logged ends in ``LogSink.write``: request records (``record.py``) and, through ``logging``, events of
the process's life and warnings.

Invariants
    1. Writing never blocks: a reader of standard error that stalls costs lines (counted), not requests (P01).
    2. What is waiting is bounded by ``MAX_BUFFER_BYTES``; lines are dropped whole.
    3. Every batch passes the masker before it leaves.
    4. A line leaves within ``BATCH_S``; lines of the life cycle leave at once.

A thread instead of a timer on the event loop: a write to a full pipe blocks, and the loop must not. The buffer is one
bytearray: a list of encoded records nearly doubled the resident memory when measured.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.observability.mask import Masker

BATCH_S = 0.2
MAX_BUFFER_BYTES = 8 << 20

_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
_LEVEL_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m"}


class LogSink:
    """The buffer and its writer thread. Lines are bytes that end in a newline; any thread may write.

    Writing takes no lock: lines are appended to one bytearray, the thread alone cuts off what it has copied, and each
    is one step of the interpreter. Who writes wakes the thread only if it sleeps: once per batch.
    """

    def __init__(self, fd: int = 2, *, masker: Masker | None = None) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._lock = threading.Lock()
        #: the thread waits for ``_waiting``, or has not begun
        self._asleep = True
        self._waiting = threading.Event()
        self._urgent = threading.Event()
        #: of those who wait until what they wrote has left
        self._flushes: list[threading.Event] = []
        self._closed = False
        self._thread: threading.Thread | None = None
        #: replaced as a whole when the known secrets change
        self.masker = masker or Masker()
        #: lines lost because the reader was too slow
        self.dropped = 0

    def write(self, line: bytes) -> None:
        """Takes one line; it leaves with the next batch."""
        buffer = self._buffer
        if len(buffer) + len(line) > MAX_BUFFER_BYTES:
            self._drop(1)
            return
        buffer += line
        if self._asleep:
            self._wake()

    def write_now(self, line: bytes) -> None:
        """Takes one line and lets the batch leave at once."""
        self.write(line)
        self._urgent.set()

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Waits until everything written so far has left; False if the reader did not take it in time."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return not self._buffer
        done = threading.Event()
        self._flushes.append(done)
        self._urgent.set()
        self._waiting.set()
        return done.wait(timeout_s)

    def close(self) -> None:
        """Flushes and ends the thread; later lines are lost."""
        self.flush()
        self._closed = True
        self._urgent.set()
        self._waiting.set()
        if self._thread is not None:
            self._thread.join(timeout=0.5)

    def _wake(self) -> None:
        self._asleep = False
        with self._lock:
            if self._thread is None and not self._closed:
                # a daemon: a reader that never comes back must not keep the process from ending
                self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
                self._thread.start()
        self._waiting.set()

    def _run(self) -> None:
        buffer = self._buffer
        while not self._closed:
            self._asleep = True  # first: a line that comes after the look at the buffer wakes the thread again
            if not buffer:
                self._waiting.wait()
            self._asleep = False
            self._waiting.clear()
            self._urgent.wait(BATCH_S)
            self._urgent.clear()
            flushes = self._flushes[:]
            batch = bytes(buffer)
            if batch:
                del buffer[: len(batch)]
                self._send(self.masker.mask(batch))
            del self._flushes[: len(flushes)]
            for done in flushes:
                done.set()

    def _send(self, batch: bytes) -> None:
        view = memoryview(batch)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:  # standard error is gone; there is nowhere to say so
            self._drop(batch.count(b"\n"))

    def _drop(self, lines: int) -> None:
        with self._lock:
            self.dropped += lines


class Timestamps:
    """Unix seconds → text with milliseconds; the part up to the second is made once a second."""

    __slots__ = ("_prefix", "_second", "_shape")

    def __init__(self, shape: str) -> None:
        self._shape = shape
        self._second = -1
        self._prefix = ""

    def format(self, now_s: float) -> str:
        """``2026-01-31T12:00:00.123`` for the shape ``%Y-%m-%dT%H:%M:%S``; UTC."""
        second = int(now_s)
        if second != self._second:
            self._prefix = datetime.fromtimestamp(second, UTC).strftime(self._shape)
            self._second = second
        return f"{self._prefix}.{int((now_s - second) * 1000):03d}"


def rfc3339() -> Timestamps:
    """The form of JSON records; the caller appends ``Z``."""
    return Timestamps("%Y-%m-%dT%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "event", "message", …fields}``; ``extra={"event": …, "fields": {…}}`` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339().format(record.created) + "Z",
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    """``12:00:00.123 warning  message`` with the level coloured on a terminal."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = Timestamps("%H:%M:%S").format(record.created)
        level = "" if record.levelno == logging.INFO else record.levelname.lower() + " "
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        if self._colour:
            time = f"{_DIM}{time}{_RESET}"
            level = f"{_LEVEL_COLOURS.get(record.levelname, _DIM)}{level}{_RESET}" if level else ""
        return f"{time} {level}{message}"


class SinkHandler(logging.Handler):
    """``logging`` → sink."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a log call with wrong arguments must not break its caller
            self.handleError(record)
            return
        self._sink.write_now(line.encode("utf-8", "backslashreplace") + b"\n")


def connect_logging(sink: LogSink, *, json: bool, level: str, colour: bool) -> SinkHandler:
    """Sends everything that is logged to the sink. The caller removes the handler from the root logger at its end.

    Libraries speak from ``warning`` on: their ``info`` lines describe their inside, not this gateway.
    """
    handler = SinkHandler(sink)
    handler.setFormatter(JsonFormatter() if json else TextFormatter(colour=colour))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(level.upper())
    logging.captureWarnings(capture=True)
    return handler


def json_chosen(log_format: str | None, *, terminal: bool) -> bool:
    """SV-2: the stated form, else text on a terminal and JSON elsewhere."""
    return not terminal if log_format is None else log_format == "json"
