"""The frozen values of the configuration. What each means and its default: ``gateway.settings.shapes``.

Invariants
    1. ``repr`` shows no secret: values that may hold one are left out of it.
    2. Durations are seconds, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from gateway.node import Node
from gateway.settings.address import Listen, PublicUrl
from gateway.settings.environment import Environment
from gateway.settings.files import FileState

Network = IPv4Network | IPv6Network
DEFAULT_LISTEN = Listen("127.0.0.1", 8080)
DEFAULT_ADMIN_LISTEN = Listen("127.0.0.1", 4041)


@dataclass(frozen=True, slots=True, kw_only=True)
class AiSettings:
    """AG appendix A."""

    #: provider id → keys, each a string as in ``api_keys[].value`` (AG-192)
    managed_keys: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), repr=False)
    passthrough: str = "allow"
    allow_http_hosts: frozenset[str] = frozenset()
    ca_file: Path | None = None
    catalog_file: Path | None = None
    prices: str = "off"
    max_body_bytes: int = 32 << 20
    max_attempts: int = 20
    connect_timeout_s: float = 10.0
    stream_idle_timeout_s: float = 300.0
    client_write_timeout_s: float = 300.0
    drain_timeout_s: float = 30.0
    stream_progress_timeout_s: float = 900.0
    stream_keepalive_s: float = 0.0
    key_cooldown: bool = True
    uniform_upstream_status: bool = True
    inject_stream_usage: bool = True
    response_headers: bool = True
    alert_rate_limit: float = 0.1
    random_seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """TP-25."""

    require_termination: bool = False
    unavailable_variables: str = "error"
    rate_limit_min_window_s: float = 1.0
    jwt_require_exp: bool = False
    max_buffered_body_bytes: int = 32 << 20
    max_sse_message_bytes: int = 1 << 20
    http_request_allow_external: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The process as a whole."""

    #: peers whose ``x-forwarded-for`` counts (SV-13)
    trusted_proxies: tuple[Network, ...] = ()
    region: str = ""
    #: per listener (SV-26)
    max_connections: int = 20_000
    data_dir: Path = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """A certificate chain and its key; read again on reload."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """The management listener (CP-1 to CP-5)."""

    listen: Listen = DEFAULT_ADMIN_LISTEN
    tls: TlsSettings | None = None
    allow_plaintext: bool = False
    public_metrics: bool = False
    auth_failures_per_minute: int = 10
    rate_limit: int = 0
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    public_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoipSettings:
    """Databases behind ``conn.geo`` and ``conn.client_ip.as`` (TP-130)."""

    city_db: Path | None = None
    asn_db: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsSettings:
    """Read-only sources beside the store (SV-12)."""

    dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySettings:
    """CP-105."""

    master_key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSettings:
    """CP-51."""

    retention_s: float = 90 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """SV-2: ``format`` is None for text on a terminal, else JSON."""

    format: str | None = None
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDestination:
    """Where events are sent besides the log, as JSON by POST."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsSettings:
    """AG-332, CP-58, CP-116."""

    destinations: tuple[EventDestination, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IpRule:
    """One entry of an IP policy."""

    cidr: Network
    action: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IpPolicySettings:
    """A named list of networks for ``restrict-ips`` (TP-305)."""

    id: str
    rules: tuple[IpRule, ...] = ()
    description: str = ""
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySource:
    """A policy that has been found but not understood yet (TP-5).

    ``node`` for a mapping inside the configuration file, whose positions count in ``file``; else ``text``.
    """

    file: str
    text: str = field(default="", repr=False)
    node: Node | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """One endpoint (SV-11)."""

    id: str
    name: str
    #: the host selects the endpoint on a shared listener; ``*`` takes what no other endpoint names
    url: PublicUrl
    #: False: no ``url`` was given, so the real listener is shown instead (SV-6)
    has_url: bool = True
    #: None: reached through ``forward-internal`` only
    listen: Listen | None = None
    tls: TlsSettings | None = None
    policy: PolicySource | None = None
    upstream_url: str | None = None
    ai_gateway: bool = True
    gateway_keys: str = "auto"
    proxy_protocol: bool = False
    description: str = ""
    metadata: str = ""
    #: port 0 is another one than that of an earlier endpoint, which has the same host
    own_port: bool = False

    @property
    def listener(self) -> str:
        """Endpoints with the same share a socket."""
        return f"{self.listen} {self.id}" if self.own_port else str(self.listen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the operator decided."""

    endpoints: tuple[EndpointSettings, ...] = ()
    admin: AdminSettings = field(default_factory=AdminSettings)
    ai: AiSettings = field(default_factory=AiSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    geoip: GeoipSettings = field(default_factory=GeoipSettings)
    #: file or directory of category → networks (TP-135)
    ip_categories: Path | None = None
    ip_policies: tuple[IpPolicySettings, ...] = ()
    secrets: SecretsSettings = field(default_factory=SecretsSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    usage: UsageSettings = field(default_factory=UsageSettings)
    log: LogSettings = field(default_factory=LogSettings)
    events: EventsSettings = field(default_factory=EventsSettings)
    environment: Environment = field(default_factory=Environment)
    #: what ``--watch`` looks at (SV-20): the configuration and every file it names, as they were when they were read
    files: Mapping[Path, FileState] = field(default_factory=dict)
    watch: bool = False
    #: what the command line said, to read everything again (SV-20)
    flags: Mapping[str, str | None] = field(default_factory=dict)
