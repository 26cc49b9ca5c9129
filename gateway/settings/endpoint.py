"""One entry of ``endpoints`` (SV-11), with the fields of the reference's agent configuration that mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gateway.node import Kind, Node
from gateway.schema.reader import INVALID, Invalid, JsonSchema, Reader, Shape, wrong_type
from gateway.schema.shapes import Record, anything, boolean, enum, field, record, text, then
from gateway.settings.address import Listen, PublicUrl, parse_upstream_url
from gateway.settings.model import PolicySource, TlsSettings
from gateway.settings.reader import CODE, SettingsReader
from gateway.settings.shapes import FILE, LISTEN, TLS, URL, parsed


@dataclass(frozen=True, slots=True)
class PolicyShape:
    """A policy inside an endpoint: a mapping, a list, or a string with the document (TP-4, TP-5)."""

    def read(self, node: Node, reader: Reader) -> PolicySource | Invalid | None:
        if node.kind is Kind.NULL:
            return None
        if node.kind is Kind.STRING:
            literal = reader.resolve(node)
            return PolicySource(file="<inline>", text=str(literal.value)) if literal is not None else INVALID
        if node.kind not in (Kind.MAPPING, Kind.SEQUENCE):
            return wrong_type(node, reader, "a policy: a mapping, or a string that holds one")
        tree = cast("SettingsReader", reader).resolve_tree(node)
        return PolicySource(file=reader.problems.file, node=tree) if tree is not None else INVALID

    def json_schema(self) -> JsonSchema:
        return {"type": ["object", "array", "string", "null"]}


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A phase outside a policy (TP-5)."""

    def read(self, node: Node, reader: Reader) -> Invalid:
        return reader.error(node, CODE, "a phase belongs under 'traffic_policy' of an entry of 'endpoints'")

    def json_schema(self) -> JsonSchema:
        return {"not": {}}


_PHASE_NAMES = (
    "on_tcp_connect", "on_http_request", "on_http_response", "on_event_stream_message", "inbound", "outbound",
)  # fmt: skip
PHASES = {name: field(Misplaced(), None) for name in _PHASE_NAMES}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointEntry:
    """An endpoint as it stands in the file."""

    node: Node
    id: str | None
    name: str | None
    url: PublicUrl | None
    listen: Listen | None
    tls: TlsSettings | None
    policy: PolicySource | None
    policy_file: Path | None
    upstream_url: str | None
    ai_gateway: bool | None
    gateway_keys: str
    proxy_protocol: bool
    description: str
    metadata: str


def _upstream(**values: Any) -> str:
    return cast("str", values["url"])


UPSTREAM = record(
    _upstream,
    url=field(parsed(parse_upstream_url, "an http or https URL"), doc="where unhandled requests go"),
    protocol=field(enum("http1"), "http1", doc="accepted for the reference's files"),
)

_ID = text(maximum=64, pattern=r"ep_[A-Za-z0-9_]+", hint="must be 'ep_' and letters, digits, '_'")

ENDPOINT_FIELDS: Record[dict[str, Any]] = record(
    dict,
    id=field(_ID, None, doc="default: derived from the URL"),
    name=field(text(minimum=1, maximum=255), None, doc="default: the URL"),
    url=field(URL, None, doc="public URL; its host selects the endpoint on a shared listener"),
    listen=field(LISTEN, None, doc="`HOST:PORT` or `unix:PATH`; default: from `url`"),
    tls=field(TLS, None, doc="certificate of the listener"),
    traffic_policy=field(PolicyShape(), None, doc="the policy, as a mapping or as a string"),
    traffic_policy_file=field(FILE, None, doc="the policy's file instead"),
    upstream=field(UPSTREAM, None, doc="where requests go that the policy leaves unhandled"),
    ai_gateway=field(boolean(), None, doc="answer unhandled model requests; default: true without `upstream`"),
    gateway_keys=field(enum("auto", "required", "optional"), "auto", doc="whether clients need a gateway key"),
    proxy_protocol=field(boolean(), default=False, doc="connections start with a PROXY protocol header"),
    description=field(text(), "", doc="for people"),
    metadata=field(text(coerce=True, maximum=4_096), "", doc="for programs"),
    policy=field(PolicyShape(), alias_of="traffic_policy", tolerated="'policy' is the old name of 'traffic_policy'"),
    bindings=field(anything(), None, tolerated="'bindings' has no meaning here and is ignored"),
    pooling_enabled=field(anything(), None, tolerated="'pooling_enabled' has no meaning here and is ignored"),
    **PHASES,
)  # fmt: skip


def _entry(values: dict[str, Any], node: Node, reader: Reader) -> EndpointEntry | Invalid:
    if values["traffic_policy"] is not None and values["traffic_policy_file"] is not None:
        at = node.key("traffic_policy_file") or node
        return reader.error(at, CODE, "'traffic_policy' and 'traffic_policy_file' exclude each other")
    kept = (
        "id",
        "name",
        "url",
        "listen",
        "tls",
        "ai_gateway",
        "gateway_keys",
        "proxy_protocol",
        "description",
        "metadata",
    )
    return EndpointEntry(
        node=node,
        policy=values["traffic_policy"],
        policy_file=values["traffic_policy_file"],
        upstream_url=values["upstream"],
        **{name: values[name] for name in kept},
    )


ENDPOINT: Shape[EndpointEntry] = then(ENDPOINT_FIELDS, _entry)
