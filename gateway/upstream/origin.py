"""Where an upstream connection leads."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """Scheme, host and port: connections are pooled by it and carry no credential (AG-55)."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The value of the ``host`` header: the port is left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"
