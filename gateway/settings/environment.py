"""The environment of the process: the only reader and writer of ``os.environ``.

Captured once at start as a frozen value that the rest of the program is handed. Secrets are then removed from the
process's environment, so that no child inherits them (CP-112).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Variables that hold secrets, beside ``GATEWAY_SECRET_*`` and the keys of providers.
SECRET_VARIABLES = ("GATEWAY_MASTER_KEY", "GATEWAY_BOOTSTRAP_API_KEY", "GATEWAY_API_KEY", "NGROK_API_KEY")
SECRET_PREFIX = "GATEWAY_SECRET_"  # noqa: S105 - a name
_FIRST_LISTEN_FD = 3


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables as they were at start. ``repr`` shows none of them."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> str | None:
        """The value of a variable that is set and not empty."""
        return self.variables.get(name) or None

    def directory(self, name: str) -> Path | None:
        """A variable that holds a path; of several, as systemd writes them, the first."""
        value = self.get(name)
        return Path(value.partition(":")[0]) if value else None

    @property
    def credentials_directory(self) -> Path | None:
        """Where systemd puts ``LoadCredential`` (SV-12)."""
        return self.directory("CREDENTIALS_DIRECTORY")

    @property
    def state_directory(self) -> Path:
        """The default of ``--data-dir`` (SV-2)."""
        own = self.directory("STATE_DIRECTORY")
        if own is not None:
            return own
        state = self.directory("XDG_STATE_HOME") or Path(self.get("HOME") or "/") / ".local" / "state"
        return state / "gateway"

    @property
    def notify_socket(self) -> str | None:
        """Where systemd listens for READY, RELOADING, STOPPING, WATCHDOG (SV-22)."""
        return self.get("NOTIFY_SOCKET")

    @property
    def watchdog_s(self) -> float:
        """Seconds between two signs of life that systemd expects; 0.0: none."""
        microseconds = self.get("WATCHDOG_USEC") or ""
        for_us = self.get("WATCHDOG_PID") in (None, str(os.getpid()))
        return int(microseconds) / 1e6 if microseconds.isdecimal() and for_us else 0.0

    @property
    def listen_descriptors(self) -> tuple[tuple[int, str], ...]:
        """(descriptor, name) of sockets that systemd opened for this process (SV-22)."""
        count = self.get("LISTEN_FDS") or ""
        if not count.isdecimal() or self.get("LISTEN_PID") != str(os.getpid()):
            return ()
        names = (self.get("LISTEN_FDNAMES") or "").split(":")
        names += [""] * int(count)
        return tuple((_FIRST_LISTEN_FD + index, names[index]) for index in range(int(count)))

    @property
    def has_proxies(self) -> bool:
        """Whether any proxy is named at all."""
        return any(self._either_case(f"{scheme}_proxy") for scheme in ("http", "https"))

    def proxy_for(self, scheme: str, host: str) -> str | None:
        """The proxy for requests to a host: ``HTTPS_PROXY``, ``HTTP_PROXY``, except what ``NO_PROXY`` lists."""
        value = self._either_case(f"{scheme}_proxy")
        if value is None or self._bypasses_proxy(host.lower()):
            return None
        return value if "://" in value else f"http://{value}"

    def _bypasses_proxy(self, host: str) -> bool:
        for entry in (self._either_case("no_proxy") or "").lower().split(","):
            name = entry.strip().removeprefix("*").removeprefix(".")
            if entry.strip() == "*" or (name and (host == name or host.endswith(f".{name}"))):
                return True
        return False

    def _either_case(self, name: str) -> str | None:
        return self.get(name) or self.get(name.upper())

    @property
    def secrets(self) -> dict[str, str]:
        """Every variable that holds a secret: for the log filter, and removed from the process after start."""
        return {
            name: value
            for name, value in self.variables.items()
            if value and (name in SECRET_VARIABLES or name.startswith(SECRET_PREFIX) or name.endswith("_API_KEY"))
        }


def read_environment() -> Environment:
    """The environment of this process."""
    return Environment(dict(os.environ))


def forget_secrets(environment: Environment) -> None:
    """Removes captured secrets from the process's environment (CP-112)."""
    for name in environment.secrets:
        os.environ.pop(name, None)
