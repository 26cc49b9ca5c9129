"""What may stand in a configuration file (SV-10, SV-11, AG appendix A, TP-25). The README's reference is made from it.

Defaults are those of ``gateway.settings.model``; a name in the file is a field's name without its unit.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from gateway.node import Node
from gateway.schema.reader import Invalid, Reader, Shape
from gateway.schema.shapes import (
    REQUIRED,
    Record,
    boolean,
    duration,
    enum,
    field,
    integer,
    list_of,
    map_of,
    number,
    record,
    size,
    text,
    then,
)
from gateway.settings.address import Listen, PublicUrl, parse_listen, parse_public_url
from gateway.settings.model import (
    AdminSettings,
    AiSettings,
    EventDestination,
    EventsSettings,
    GeoipSettings,
    IpPolicySettings,
    IpRule,
    LogSettings,
    Network,
    PolicySettings,
    SecretsSettings,
    SecuritySettings,
    ServerSettings,
    TlsSettings,
    UsageSettings,
)
from gateway.settings.reader import CODE, SettingsReader

T = TypeVar("T")
Entry = tuple[Shape[Any], str]


def section(build: Callable[..., T], **entries: Entry) -> Record[T]:
    """A record of settings: name → (shape, meaning). Names, units and defaults come from the dataclass ``build``."""
    known = {attribute.name: attribute for attribute in fields(cast("Any", build))}
    names = {name: next(full for full in (name, f"{name}_s", f"{name}_bytes") if full in known) for name in entries}
    declared = {name: field(shape, default_of(known[names[name]]), doc=doc) for name, (shape, doc) in entries.items()}

    def build_section(**values: Any) -> T:
        return build(**{names[name]: value for name, value in values.items()})

    return record(build_section, **declared)


def default_of(attribute: Field[Any]) -> Any:
    """A dataclass field's default, or REQUIRED."""
    if attribute.default_factory is not MISSING:
        return attribute.default_factory()
    return REQUIRED if attribute.default is MISSING else attribute.default


def parsed(parse: Callable[[str], T | None], words: str) -> Shape[T]:
    """A string with a form of its own."""

    def step(value: str, node: Node, reader: Reader) -> T | Invalid:
        result = parse(value)
        return reader.error(node, CODE, f"must be {words}") if result is None else result

    return then(text(coerce=True), step)


def _path(value: str, node: Node, reader: Reader) -> Path | Invalid:
    return cast("SettingsReader", reader).path(value)


def _file(value: str, node: Node, reader: Reader) -> Path | Invalid:
    path = cast("SettingsReader", reader).file(value)
    return path if path is not None else reader.error(node, CODE, "no such file or directory")


def _network(value: str) -> Network | None:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None


def _exact_network(value: str) -> Network | None:
    try:
        return ipaddress.ip_network(value) if "/" in value else None
    except ValueError:
        return None


PATH: Shape[Path] = then(text(minimum=1), _path)
FILE: Shape[Path] = then(text(minimum=1), _file)
NAMES = list_of(text(minimum=1, maximum=255))
HOSTS: Shape[frozenset[str]] = then(NAMES, lambda names, _node, _reader: frozenset(map(str.lower, names)))
LISTEN: Shape[Listen] = parsed(parse_listen, "HOST:PORT or unix:PATH")
URL: Shape[PublicUrl] = parsed(parse_public_url, "a URL such as 'https://ai.example.com' or 'http://*:8080'")
NETWORKS = list_of(parsed(_network, "an IP address or a network such as '10.0.0.0/8'"))
LOG_FORMAT = enum("text", "json")
LOG_LEVEL = enum("debug", "info", "warning", "error")

TLS = record(
    TlsSettings,
    cert_file=field(FILE, doc="certificate chain, PEM"),
    key_file=field(FILE, doc="its private key, PEM"),
)

AI = section(
    AiSettings,
    managed_keys=(
        map_of(list_of(text(minimum=1), minimum=1)),
        "provider id → keys that stand for the gateway's own inference",
    ),
    passthrough=(enum("allow", "deny"), "whether a client's own provider key may be used"),
    allow_http_hosts=(HOSTS, "hosts that may be reached without TLS"),
    ca_file=(FILE, "additional root certificates for providers, PEM"),
    catalog_file=(FILE, "providers and models laid over the built-in catalog"),
    prices=(enum("off", "genai-prices"), "where prices of models come from"),
    max_body=(size(1, 1 << 30), "largest request body"),
    max_attempts=(integer(1, 1_000), "upstream requests for one client request"),
    connect_timeout=(duration(above_s=0), "to connect to a provider"),
    stream_idle_timeout=(duration(above_s=0), "without a byte from a running stream"),
    stream_progress_timeout=(duration(above_s=0), "with nothing but comments and pings from a running stream"),
    stream_keepalive=(duration(), "interval of comments to a waiting client; 0s: none"),
    client_write_timeout=(duration(above_s=0), "a client may take nothing for this long"),
    drain_timeout=(duration(), "running requests may go on for this long at shutdown"),
    key_cooldown=(boolean(), "rest keys that providers rate-limit"),
    uniform_upstream_status=(boolean(), "if all attempts failed with one status, answer with it"),
    inject_stream_usage=(boolean(), "ask official providers for usage in streams"),
    response_headers=(boolean(), "tell clients provider, model and attempts in headers"),
    alert_rate_limit=(number(0, 1), "share of rate-limited attempts of a key that raises an event"),
    random_seed=(integer(), "makes random choices repeatable, for tests"),
)  # fmt: skip

POLICY = section(
    PolicySettings,
    require_termination=(boolean(), "refuse policies that may leave a request unhandled"),
    unavailable_variables=(enum("error", "absent"), "what a variable that cannot be provided is: an error or absent"),
    rate_limit_min_window=(duration(above_s=0), "shortest window of a rate limit"),
    jwt_require_exp=(boolean(), "refuse tokens without an expiry"),
    max_buffered_body=(size(1, 1 << 30), "largest body that a rule may read"),
    max_sse_message=(size(1, 1 << 30), "largest stream event that a rule may read"),
    http_request_allow_external=(NAMES, "hosts outside private networks that `http-request` may call"),
)  # fmt: skip

SERVER = section(
    ServerSettings,
    trusted_proxies=(NETWORKS, "peers whose `x-forwarded-for` is believed"),
    region=(text(), "value of `conn.server_region`"),
    max_connections=(integer(1, 1_000_000), "per listener; beyond it accepting pauses"),
    data_dir=(PATH, "store, keys, audit log"),
)

ADMIN = section(
    AdminSettings,
    listen=(LISTEN, "management listener"),
    tls=(TLS, "certificate of the management listener"),
    allow_plaintext=(boolean(), "serve the management API beyond loopback without TLS"),
    public_metrics=(boolean(), "`/metrics` without a key"),
    auth_failures_per_minute=(integer(0), "failed authentications per address; 0: no limit"),
    rate_limit=(integer(0), "requests per minute; 0: no limit"),
    allowed_hosts=(NAMES, "further `host` headers that are accepted"),
    cors_origins=(NAMES, "origins that browsers may call from"),
    public_url=(text(), "URL in resources' `uri`"),
)

GEOIP = section(
    GeoipSettings,
    city_db=(FILE, "MaxMind City database, behind `conn.geo`; needs `ai-gateway[geoip]`"),
    asn_db=(FILE, "MaxMind ASN database, behind `conn.client_ip.as`; the same"),
)
SECRETS = section(SecretsSettings, dir=(PATH, "directory with secrets as `<vault>/<name>`"))
SECURITY = section(SecuritySettings, master_key_file=(PATH, "32 bytes, base64, mode 0600"))
USAGE = section(UsageSettings, retention=(duration(above_s=0), "usage events are kept for this long"))
LOG = section(
    LogSettings, format=(LOG_FORMAT, "`text` for people, `json` for machines"), level=(LOG_LEVEL, "least level")
)
DESTINATION = section(
    EventDestination,
    url=(text(pattern=r"https?://.+", hint="must be an http or https URL"), "receives events as JSON by POST"),
    headers=(map_of(text()), "headers of those requests"),
)  # fmt: skip
EVENTS = section(EventsSettings, destinations=(list_of(DESTINATION), "where events go besides the log"))

IP_POLICY = section(
    IpPolicySettings,
    id=(text(minimum=1, pattern=r"ipp_[A-Za-z0-9_]+", hint="must start with 'ipp_'"), "name in `restrict-ips`"),
    rules=(
        list_of(
            section(
                IpRule,
                cidr=(parsed(_exact_network, "a network in CIDR notation without host bits"), "network"),
                action=(enum("allow", "deny"), "what happens to its addresses"),
                description=(text(), "for people"),
            )
        ),
        "networks and what happens to them",
    ),
    description=(text(), "for people"),
    metadata=(text(), "for programs"),
)
