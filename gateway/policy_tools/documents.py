"""Case files and request files: their shapes, and the frozen values they become.

A file of cases (``NAME.test.yaml`` beside ``NAME.yaml``) and a file with one request for ``explain`` have the same
vocabulary. What a file says holds for all of its cases, what a case says for all of its steps; the narrower wins.

    secrets: {gateway-auth: {access-token: right}}
    cases:
      - name: no header
        expect: {status: 401}
      - name: the right token
        request: {headers: {authorization: Bearer right}}
        expect: {status: 200, provider: openai}
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.document import Node, parse_document
from gateway.problems import Problems
from gateway.schema.shapes import (
    INVALID,
    Field,
    Invalid,
    Reader,
    Shape,
    anything,
    boolean,
    duration,
    enum,
    field,
    integer,
    list_of,
    map_of,
    nullable,
    record,
    text,
    then,
)

T = TypeVar("T")

CHAT_PATH = "/v1/chat/completions"
CLIENT_IP = "203.0.113.10"
HOST = "gateway.example"
MODEL = "gpt-4o"
#: vault → name → value; None takes a secret away
Secrets = Mapping[str, Mapping[str, str | None]]
_RAW = re.compile(rb"[A-Z]{3,16} \S+ HTTP/1\.[01]\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPart:
    """What a document says about a request; None for what it leaves open."""

    method: str | None = None
    path: str | None = None
    host: str | None = None
    #: values None: the header is taken away again
    headers: tuple[tuple[str, tuple[str, ...] | None], ...] = ()
    client_ip: str | None = None
    #: of the default body
    model: str | None = None
    stream: bool | None = None
    body: Any = None

    def over(self, wider: RequestPart) -> RequestPart:
        """This, and ``wider`` where this leaves something open."""
        merged = {name.lower(): (name, value) for name, value in (*wider.headers, *self.headers)}
        names = ("method", "path", "host", "client_ip", "model", "stream", "body")
        values = {name: getattr(wider if getattr(self, name) is None else self, name) for name in names}
        return RequestPart(headers=tuple(merged.values()), **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One upstream answer: for which attempts, and what it is."""

    provider: str | None
    model: str | None
    key: str | None
    #: how many attempts it answers; None: all
    times: int | None
    status: int
    headers: tuple[tuple[str, str], ...]
    body: Any
    events: tuple[Any, ...] | None
    error: str | None
    #: seconds until it is there
    takes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What has to be true of the answer; None: not looked at."""

    status: int | None
    decision: str | None
    rule: str | None
    code: str | None
    headers: tuple[tuple[str, Any], ...]
    body: Any
    body_contains: tuple[str, ...]
    body_lacks: tuple[str, ...]
    provider: str | None
    model: str | None
    key: str | None
    tried: tuple[str, ...] | None
    sent: Sent | None
    log: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the last upstream request has to look like."""

    path: str | None
    headers: tuple[tuple[str, Any], ...]
    body: Any
    body_lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request, ``repeat`` times, ``after`` seconds after the one before."""

    after: float
    repeat: int
    secrets: Secrets
    request: RequestPart
    upstream: tuple[Played, ...] | None
    expect: Expected | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A story of one or more steps, told to a gateway that has just started."""

    name: str
    line: int
    clock: float | None
    secrets: Secrets
    request: RequestPart
    upstream: tuple[Played, ...] | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IpRule:
    """One entry of an IP policy."""

    cidr: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """``jwks``: URL of a key document → the document; ``services``: URL → what is answered there."""

    clock: float
    seed: int
    secrets: Secrets
    request: RequestPart
    upstream: tuple[Played, ...]
    jwks: Mapping[str, Any]
    services: Mapping[str, Played] = dataclasses.field(default_factory=dict)
    ip_policies: Mapping[str, tuple[IpRule, ...]] = dataclasses.field(default_factory=dict)
    gateway_keys: tuple[str, ...] = ()
    cases: tuple[Case, ...]


# ---- shapes -------------------------------------------------------------------------------------------------------


def _moment(written: str, node: Node, reader: Reader) -> float | Invalid:
    try:
        moment = datetime.datetime.fromisoformat(written)
    except ValueError:
        return reader.error(node, reader.codes.unparsable, "must be a moment such as '2026-01-31T12:00:00Z'")
    return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()


def _secrets(pairs: tuple[tuple[str, Any], ...], node: Node, reader: Reader) -> Secrets:
    return {vault: dict(names) for vault, names in pairs}


def _header(value: Any, node: Node, reader: Reader) -> tuple[str, ...] | Invalid | None:
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str | int | float) for each in values):
        return reader.error(node, reader.codes.wrong_type, "must be a string, a list of strings, or null")
    return tuple(str(each) for each in values)


def _document(value: tuple[tuple[str, Any], ...], node: Node, reader: Reader) -> Mapping[str, Any]:
    return dict(value)


def _case(node: Node, build: dict[str, Any], reader: Reader) -> Case | Invalid:
    """A case without ``steps`` is its own only step."""
    steps, expect = build.pop("steps"), build.pop("expect")
    if steps is None:
        alone = Step(after=0.0, repeat=1, secrets={}, request=RequestPart(), upstream=None, expect=expect)
        return Case(line=node.line, steps=(alone,), **build)
    if expect is not None:
        return reader.error(node.get("expect") or node, reader.codes.not_allowed, "with 'steps', each says its own")
    return Case(line=node.line, steps=steps, **build)


_SECRETS = then(map_of(map_of(nullable(text(minimum=1, coerce=True)))), _secrets)
_REQUEST = record(
    RequestPart,
    method=field(text(minimum=1), None, doc="default: POST with a body, else GET"),
    path=field(text(minimum=1), None, doc="with query; default: /v1/chat/completions"),
    host=field(text(minimum=1), None, doc="default: gateway.example"),
    headers=field(map_of(then(anything(), _header)), (), doc="name → value, or a list of values; null takes it away"),
    client_ip=field(text(minimum=1), None, doc="default: 203.0.113.10"),
    model=field(text(), None, doc="model of the body that is sent when 'body' is not given; default: gpt-4o"),
    stream=field(boolean(), None, doc="whether that body asks for a stream"),
    body=field(anything(), None, doc="text as it is, anything else as JSON"),
)
_ANSWER: dict[str, Field] = {
    "status": field(integer(100, 599), 200, doc="status of the answer"),
    "headers": field(map_of(text(coerce=True)), (), doc="headers of the answer"),
    "body": field(anything(), None, doc="text as it is, anything else as JSON; default: what the API would answer"),
    "error": field(enum("connection", "timeout"), None, doc="no answer at all"),
}
_SERVICE = record(
    lambda **answer: Played(provider=None, model=None, key=None, times=None, events=None, takes=0.0, **answer),
    **_ANSWER,
)
_IP_RULE = record(
    IpRule,
    cidr=field(text(minimum=1), doc="network"),
    action=field(enum("allow", "deny"), doc="what becomes of its addresses"),
)
_PLAYED = list_of(
    record(
        Played,
        provider=field(text(), None, doc="only for attempts at this provider"),
        model=field(text(), None, doc="only for attempts at this model, as the provider calls it"),
        key=field(text(), None, doc="only for attempts with this key"),
        times=field(integer(1), None, doc="only the first attempts that fit; default: all"),
        **_ANSWER,
        events=field(list_of(anything()), None, doc="an event stream instead: the data of each event"),
        takes=field(duration(), 0.0, doc="time until the answer is there"),
    )
)
_SENT = record(
    Sent,
    path=field(text(), None, doc="path and query"),
    headers=field(map_of(anything()), (), doc="name → value; true: any value, null: not there"),
    body=field(anything(), None, doc="text: exactly this; mapping or list: at least this"),
    body_lacks=field(list_of(text(minimum=1)), (), doc="texts that must not be in it"),
)
_EXPECT = record(
    Expected,
    status=field(integer(100, 599), None, doc="status of the answer"),
    decision=field(
        enum("answered", "refused", "forwarded", "closed"), None,
        doc="by the policy, by an error, by an upstream, or not at all",
    ),
    rule=field(text(), None, doc="the rule that decided: its name, or like 'on_http_request[1]'"),
    code=field(text(), None, doc="code of the error"),
    headers=field(map_of(anything()), (), doc="name → value; true: any value, null: not there"),
    body=field(anything(), None, doc="text: exactly this; mapping or list: at least this"),
    body_contains=field(list_of(text(minimum=1)), (), doc="texts that must be in it"),
    body_lacks=field(list_of(text(minimum=1)), (), doc="texts that must not be in it"),
    provider=field(text(), None, doc="the provider that answered"),
    model=field(text(), None, doc="the model that answered, as its provider calls it"),
    key=field(text(), None, doc="the key it was asked with; empty: none"),
    tried=field(list_of(text(minimum=1)), None, doc="every attempt in order: 'provider', 'provider key', …"),
    sent=field(_SENT, None, doc="the last request to an upstream"),
    log=field(anything(), None, doc="metadata of the 'log' actions that ran, in order"),
)  # fmt: skip
_STEP = record(
    Step,
    after=field(duration(), 0.0, doc="time since the step before"),
    repeat=field(integer(1, 10_000), 1, doc="how often the request is sent; all answers have to fit"),
    secrets=field(_SECRETS, {}, doc="secrets that change now"),
    request=field(_REQUEST, RequestPart(), doc="over that of the case"),
    upstream=field(_PLAYED, None, doc="instead of those of the case"),
    expect=field(_EXPECT, None, doc="what has to be true of the answer"),
)
_CASE = then(
    record(
        lambda **values: values,
        name=field(text(minimum=1), doc="what the case shows"),
        clock=field(then(text(), _moment), None, doc="moment at which it begins"),
        secrets=field(_SECRETS, {}, doc="over those of the file"),
        request=field(_REQUEST, RequestPart(), doc="over that of the file"),
        upstream=field(_PLAYED, None, doc="answers of upstreams, before those of the file"),
        expect=field(_EXPECT, None, doc="what has to be true of the answer"),
        steps=field(list_of(_STEP, minimum=1), None, doc="several requests, one after the other"),
    ),
    lambda values, node, reader: _case(node, values, reader),
)
START_S = 1_767_225_600.0
_SURROUNDINGS = {
    "clock": field(then(text(), _moment), START_S, doc="default: 2026-01-01T00:00:00Z"),
    "seed": field(integer(0), 0, doc="of everything random"),
    "secrets": field(_SECRETS, {}, doc="vault → name → value"),
    "request": field(_REQUEST, RequestPart(), doc="what all requests have in common"),
    "upstream": field(_PLAYED, (), doc="answers of upstreams; the first that fits is given"),
    "jwks": field(then(map_of(anything()), _document), {}, doc="URL → key document of an identity provider"),
    "services": field(then(map_of(_SERVICE), _document), {}, doc="URL → answer of an endpoint or host behind it"),
    "ip_policies": field(then(map_of(list_of(_IP_RULE)), _document), {}, doc="id → rules"),
    "gateway_keys": field(list_of(text(minimum=1)), (), doc="keys that exist; with any, one is required"),
}
CASES = record(CaseFile, **_SURROUNDINGS, cases=field(list_of(_CASE, minimum=1), doc="the examples"))
#: the file of ``explain --request``: surroundings and one request
REQUEST = record(CaseFile, **_SURROUNDINGS, cases=field(list_of(_CASE), (), doc="one of them is chosen by its name"))


# ---- reading ------------------------------------------------------------------------------------------------------


def read_cases(source: bytes, problems: Problems) -> CaseFile | None:
    """A file of cases; None after reporting."""
    return _read(source, CASES, problems)


def read_request(source: bytes, problems: Problems) -> CaseFile | None:
    """A file with a request: a document, or an HTTP request as it stands on the wire; None after reporting."""
    if _RAW.match(source):
        return CaseFile(
            clock=START_S, seed=0, secrets={}, request=parse_raw(source), upstream=(), jwks={}, cases=()
        )  # fmt: skip
    return _read(source, REQUEST, problems)


def _read(source: bytes, shape: Shape[T], problems: Problems) -> T | None:
    root = parse_document(source, problems)
    if root is None:
        if not problems.failed:
            problems.add_error(problems.codes.syntax, "the file is empty", line=1, column=1)
        return None
    value = Reader(problems).read(shape, root)
    return None if isinstance(value, Invalid) or problems.failed else value


def parse_raw(source: bytes) -> RequestPart:
    """``GET /v1/models HTTP/1.1`` and so on; bare line feeds will do."""
    head, _, body = source.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    method, path, _ = first.split(" ", 2)
    headers: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() not in ("content-length", "host", ""):
            headers[name.strip()] = (*headers.get(name.strip(), ()), value.strip())
    host = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:")]
    content = body.decode("utf-8", "surrogateescape")
    return RequestPart(
        method=method, path=path, host=host[0] if host else None, headers=tuple(headers.items()), body=content or None
    )  # fmt: skip


def merged_secrets(*layers: Secrets) -> dict[tuple[str, str], str]:
    """(vault, name) → value; later layers win, None removes."""
    found: dict[tuple[str, str], str] = {}
    for layer in layers:
        for vault, names in layer.items():
            for name, value in names.items():
                if value is None:
                    found.pop((vault, name), None)
                else:
                    found[vault, name] = value
    return found


def body_bytes(body: Any) -> bytes:
    """A body as the documents write it."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogateescape")
    return json.dumps(body, ensure_ascii=False).encode()


__all__ = [
    "CHAT_PATH", "CLIENT_IP", "HOST", "INVALID", "MODEL", "Case", "CaseFile", "Expected", "Played", "RequestPart",
    "Secrets", "Sent", "Step", "body_bytes", "merged_secrets", "parse_raw", "read_cases", "read_request",
]  # fmt: skip
