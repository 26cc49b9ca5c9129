"""Flags over environment over file over defaults → ``Settings`` (SV-2, SV-10). Reads disks; not for the event loop.

Everything that is wrong is in the returned ``Problems``, by file, line and column; a flag or variable is a source of
its own: ``<--listen>:1:1``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from gateway.document import parse_document
from gateway.node import Kind, Node
from gateway.problems import Problems, Severity
from gateway.schema.reader import Invalid, Shape
from gateway.schema.shapes import Field, Record, anything, list_of, record, text
from gateway.schema.shapes import field as declare
from gateway.settings.address import Listen, PublicUrl
from gateway.settings.endpoint import ENDPOINT, PHASES, EndpointEntry
from gateway.settings.environment import Environment
from gateway.settings.files import FileState, state_of
from gateway.settings.model import DEFAULT_LISTEN, EndpointSettings, PolicySource, Settings
from gateway.settings.reader import CODE, CODES, SettingsReader
from gateway.settings.shapes import (
    ADMIN,
    AI,
    EVENTS,
    FILE,
    GEOIP,
    IP_POLICY,
    LISTEN,
    LOG,
    LOG_FORMAT,
    LOG_LEVEL,
    PATH,
    POLICY,
    SECRETS,
    SECURITY,
    SERVER,
    USAGE,
)

T = TypeVar("T")
PREFIX = "GATEWAY_"
_BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DEFAULTS = Settings()

#: flag → (shape, meaning); every flag is a variable ``GATEWAY_<NAME>`` too
FLAGS: dict[str, tuple[Shape[Any], str]] = {
    "config": (text(minimum=1), "configuration file"),
    "policy": (text(minimum=1), "policy of one endpoint 'default'; excludes 'endpoints' in the file"),
    "listen": (LISTEN, "HOST:PORT or unix:PATH of that one endpoint; port 0 picks a free one"),
    "admin_listen": (LISTEN, "management listener"),
    "data_dir": (PATH, "store, keys, audit log"),
    "log_format": (LOG_FORMAT, "'text' for people, 'json' for machines; default: text on a terminal"),
    "log_level": (LOG_LEVEL, "'debug', 'info', 'warning' or 'error'"),
}


FILE_FIELDS: dict[str, Field] = {
    "endpoints": declare(list_of(ENDPOINT, minimum=1), None, null_is_absent=True, doc="listeners and their policies"),
    "admin": declare(ADMIN, _DEFAULTS.admin, null_is_absent=True, doc="management listener"),
    "ai": declare(AI, _DEFAULTS.ai, null_is_absent=True, doc="model requests"),
    "policy": declare(POLICY, _DEFAULTS.policy, null_is_absent=True, doc="the policy engine"),
    "server": declare(SERVER, _DEFAULTS.server, null_is_absent=True, doc="the process"),
    "geoip": declare(GEOIP, _DEFAULTS.geoip, null_is_absent=True, doc="databases of addresses"),
    "ip_categories": declare(
        FILE, None, null_is_absent=True, doc="addresses by category: a directory of lists, or a file"
    ),
    "ip_policies": declare(
        list_of(IP_POLICY, unique=lambda policy: policy.id), (), null_is_absent=True, doc="lists for `restrict-ips`"
    ),
    "secrets": declare(SECRETS, _DEFAULTS.secrets, null_is_absent=True, doc="read-only sources of secrets"),
    "security": declare(SECURITY, _DEFAULTS.security, null_is_absent=True, doc="the master key"),
    "usage": declare(USAGE, _DEFAULTS.usage, null_is_absent=True, doc="usage events"),
    "log": declare(LOG, _DEFAULTS.log, null_is_absent=True, doc="the log"),
    "events": declare(EVENTS, _DEFAULTS.events, null_is_absent=True, doc="where events are sent"),
    "version": declare(anything(), None, doc="accepted for the reference's files"),
    "api_key": declare(anything(), None, doc="accepted for the reference's files"),
    "api_url": declare(anything(), None, doc="accepted for the reference's files"),
    "agent": declare(anything(), None, tolerated="'agent' has no meaning here and is ignored"),
    **PHASES,
}
CONFIGURATION: Record[dict[str, Any]] = record(dict, **FILE_FIELDS)
_NOT_SETTINGS = {"endpoints", "version", "api_key", "api_url", "agent", *PHASES}
_KEPT = tuple(name for name in FILE_FIELDS if name not in _NOT_SETTINGS)


def load_settings(
    flags: Mapping[str, str | None],
    environment: Environment,
    *,
    watch: bool = False,
    files: dict[Path, FileState] | None = None,
) -> tuple[Settings | None, Problems]:
    """The settings, or None and what is wrong. ``flags`` has the names of ``FLAGS``; None is "not given".

    ``files`` is made to hold the state of what was read, and of what could not be read, whatever comes of it.
    """
    loader = _Loader(flags, environment)
    settings = loader.load()
    if files is not None:
        files.clear()
        files.update(loader.files)
    if settings is None or loader.problems.failed:
        return None, loader.problems
    settings = replace(settings, environment=environment, files=loader.files, watch=watch, flags=dict(flags))
    return settings, loader.problems


@dataclass
class _Loader:
    """One run of ``load_settings``: what it was given, what it found."""

    flags: Mapping[str, str | None]
    environment: Environment
    problems: Problems = field(default_factory=lambda: Problems("<flags>", codes=CODES))
    files: dict[Path, FileState] = field(default_factory=dict)

    def load(self) -> Settings | None:
        overrides = {name: self.override(name) for name in FLAGS}
        values, reader = self.read_file(overrides["config"])
        if values is None or reader is None:
            return None
        entries: tuple[EndpointEntry, ...] | None = values["endpoints"]
        settings = Settings(**{name: values[name] for name in _KEPT})
        settings = self.apply(settings, overrides)
        defaults = entries is None
        endpoints = self.default_endpoint(overrides) if defaults else self.endpoints(entries or (), reader, overrides)
        settings = replace(settings, endpoints=endpoints)
        self.check_listeners(settings, entries or (), reader)
        self.problems.extend(reader.problems)
        return settings

    def given(self, name: str) -> tuple[str, str] | None:
        """Where a flag's value comes from, and its text."""
        flag = self.flags.get(name)
        if flag is not None:
            return f"<--{name.replace('_', '-')}>", flag
        variable = PREFIX + name.upper()
        value = self.environment.get(variable)
        return (f"<{variable}>", value) if value is not None else None

    def override(self, name: str) -> Any:
        """The value of a flag or its variable, None if neither is given or it is wrong."""
        found = self.given(name)
        if found is None:
            return None
        problems = Problems(found[0], codes=CODES)
        value = FLAGS[name][0].read(
            Node(Kind.STRING, 1, 1, found[1]), SettingsReader(problems, self.environment, Path())
        )
        self.problems.extend(problems)
        return None if isinstance(value, Invalid) else value

    def read_file(self, name: str | None) -> tuple[dict[str, Any] | None, SettingsReader | None]:
        """The values of the configuration file, or its defaults without one."""
        root: Node | None = None
        problems = Problems(name or "<defaults>", codes=CODES)
        if name is not None:
            self.files[Path(name)] = state_of(Path(name))
            source = self.read_text(Path(name), "config")
            root = parse_document(source, problems) if source is not None else None
            if problems.failed or source is None:
                self.problems.extend(problems)
                return None, None
        reader = SettingsReader(problems, self.environment, Path(name or ".").parent, self.files)
        values = CONFIGURATION.read(root or Node(Kind.MAPPING, 1, 1), reader)
        if isinstance(values, Invalid):
            self.problems.extend(problems)
            return None, None
        return values, reader

    def read_text(self, path: Path, flag: str) -> str | None:
        """A file that a flag names."""
        text, reason = _read(path)
        if text is None:
            found = self.given(flag)
            problems = Problems(found[0] if found else f"<--{flag}>", codes=CODES)
            problems.add(Severity.ERROR, CODE, f"{path}: {reason}", line=1, column=1)
            self.problems.extend(problems)
        return text

    def apply(self, settings: Settings, overrides: Mapping[str, Any]) -> Settings:
        """Flags and variables over the file."""
        log = replace(
            settings.log,
            format=overrides["log_format"] or settings.log.format,
            level=overrides["log_level"] or settings.log.level,
        )
        admin = replace(settings.admin, listen=overrides["admin_listen"] or settings.admin.listen)
        data_dir = overrides["data_dir"] or settings.server.data_dir
        if data_dir == Path():
            data_dir = self.environment.state_directory
        return replace(settings, log=log, admin=admin, server=replace(settings.server, data_dir=data_dir))

    def default_endpoint(self, overrides: Mapping[str, Any]) -> tuple[EndpointSettings, ...]:
        """The one endpoint of ``--policy``, or the built-in handler alone (SV-3, SV-6)."""
        listen: Listen = overrides["listen"] or DEFAULT_LISTEN
        policy = None
        if overrides["policy"] is not None:
            path = Path(overrides["policy"])
            self.files[path] = state_of(path)
            source = self.read_text(path, "policy")
            if source is not None:
                policy = PolicySource(file=str(path), text=source)
        return (
            EndpointSettings(
                id=stable_id("default"), name="default", url=PublicUrl("http", "*", listen.port), has_url=False,
                listen=listen, policy=policy,
            ),
        )  # fmt: skip

    def endpoints(
        self, entries: tuple[EndpointEntry, ...], reader: SettingsReader, overrides: Mapping[str, Any]
    ) -> tuple[EndpointSettings, ...]:
        """The endpoints of the file; ``--policy`` and ``--listen`` speak of another one (SV-2)."""
        for flag in ("policy", "listen"):
            found = self.given(flag)
            if found is not None and overrides[flag] is not None:
                problems = Problems(found[0], codes=CODES)
                message = f"excludes 'endpoints' in {reader.problems.file}"
                problems.add(Severity.ERROR, CODE, message, line=1, column=1)
                self.problems.extend(problems)
        return _with_ports(endpoint for entry in entries if (endpoint := self.endpoint(entry, reader)) is not None)

    def endpoint(self, entry: EndpointEntry, reader: SettingsReader) -> EndpointSettings | None:
        """One entry, with what it leaves out filled in."""
        listen, url = entry.listen, entry.url
        if url is None:
            if listen is None:
                reader.error(entry.node, CODE, "needs 'url' or 'listen'")
                return None
            url = PublicUrl("https" if entry.tls else "http", "*", listen.port)
        elif listen is None and not url.internal:
            listen = url.listen()
            if url.scheme == "https" and entry.tls is None:
                reader.error(entry.node, CODE, "an https URL needs 'tls', or 'listen' behind a proxy that ends TLS")
                return None
        given = str(entry.url) if entry.url is not None else ""
        name = entry.name or given or str(listen)
        return EndpointSettings(
            id=entry.id or stable_id(given or name),
            name=name,
            url=url,
            has_url=entry.url is not None,
            listen=listen,
            tls=entry.tls,
            policy=self.policy(entry, reader),
            upstream_url=entry.upstream_url,
            ai_gateway=entry.upstream_url is None if entry.ai_gateway is None else entry.ai_gateway,
            gateway_keys=entry.gateway_keys,
            proxy_protocol=entry.proxy_protocol,
            description=entry.description,
            metadata=entry.metadata,
        )

    def policy(self, entry: EndpointEntry, reader: SettingsReader) -> PolicySource | None:
        """The entry's policy; a file is read now."""
        if entry.policy_file is None:
            return entry.policy
        text, reason = _read(entry.policy_file)
        if text is None:
            at = entry.node.get("traffic_policy_file") or entry.node
            reader.error(at, CODE, reason)
            return None
        return PolicySource(file=str(entry.policy_file), text=text)

    def check_listeners(self, settings: Settings, entries: tuple[EndpointEntry, ...], reader: SettingsReader) -> None:
        """What only shows when all listeners are known."""
        admin = settings.admin
        root = Node(Kind.MAPPING, 1, 1)
        if not (admin.listen.loopback or admin.tls or admin.allow_plaintext):
            message = f"admin.listen {admin.listen} is not loopback: set admin.tls or admin.allow_plaintext (CP-1)"
            reader.error(root, CODE, message)
        if admin.listen.port and any(endpoint.listen == admin.listen for endpoint in settings.endpoints):
            reader.error(root, CODE, f"admin.listen {admin.listen} is an endpoint's listener, too")
        if len(entries) == len(settings.endpoints):
            for index, message in _clashes(settings.endpoints):
                reader.error(entries[index].node, CODE, message)


def _with_ports(endpoints: Iterable[EndpointSettings]) -> tuple[EndpointSettings, ...]:
    """Free ports do not clash: an endpoint that cannot share the port of an earlier one gets another."""
    seen: set[tuple[str, str]] = set()
    found = []
    for endpoint in endpoints:
        place = str(endpoint.listen), endpoint.url.host
        free = endpoint.listen is not None and not (endpoint.listen.port or endpoint.listen.path)
        found.append(replace(endpoint, own_port=True) if free and place in seen else endpoint)
        seen.add(place)
    return tuple(found)


def _clashes(endpoints: tuple[EndpointSettings, ...]) -> Iterator[tuple[int, str]]:
    """(index, message) of every endpoint that cannot stand beside an earlier one."""
    seen: dict[tuple[str, Any], EndpointSettings] = {}
    for index, endpoint in enumerate(endpoints):
        keys: list[tuple[str, Any, str]] = [
            ("name", endpoint.name, "has the name of another endpoint, '{}'"),
            ("id", endpoint.id, f"has the id of endpoint '{{}}', {endpoint.id}"),
        ]
        shared = endpoint.listen is not None and (endpoint.listen.port or endpoint.listen.path)
        if shared:
            keys.append(("host", (endpoint.listen, endpoint.url.host), "has the host and listener of endpoint '{}'"))
        elif endpoint.listen is None:
            keys.append(("host", endpoint.url.host, "has the host of endpoint '{}'"))
        for kind, key, message in keys:
            earlier = seen.setdefault((kind, key), endpoint)
            if earlier is not endpoint:
                yield index, message.format(earlier.name)
                break
        if shared:
            earlier = seen.setdefault(("tls", endpoint.listen), endpoint)
            for name in ("tls", "proxy_protocol"):
                if getattr(earlier, name) != getattr(endpoint, name):
                    yield index, f"shares its listener with endpoint '{earlier.name}' and needs the same '{name}'"
                    break


def stable_id(text: str) -> str:
    """``ep_…``, the same for the same name or URL on every machine (SV-6, CP-75)."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    digits = []
    for _ in range(27):
        number, digit = divmod(number, 62)
        digits.append(_BASE_62[digit])
    return "ep_" + "".join(digits)


def _read(path: Path) -> tuple[str | None, str]:
    """The text of a file, or None and the reason."""
    try:
        return path.read_text("utf-8"), ""
    except OSError as error:
        return None, error.strerror or "cannot be read"
    except UnicodeDecodeError:
        return None, "is not UTF-8"
