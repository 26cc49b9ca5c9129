"""What loading a policy has to know about the endpoint and the installation it is for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.policy.environments import unavailable_variables
from gateway.policy.model import Protocol

_SECRET = re.compile(r"""\bsecrets\.get\(\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*(?:,\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*)?\)""")


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The defaults are those of ``gateway policy check``: an AI gateway endpoint of a plain installation (SV-3)."""

    protocol: Protocol = Protocol.HTTP
    #: TP-18 as an error
    require_termination: bool = False
    #: ``policy.unavailable_variables: absent`` (TP-130)
    unavailable_absent: bool = False
    #: what the installation has of ``geo asn feed tls``
    available: frozenset[str] = frozenset()
    #: the endpoint has an upstream (TP-50 (1)); it has the built-in handler (TP-50 (2))
    has_upstream: bool = False
    has_builtin_gateway: bool = True
    #: callers are authenticated by gateway keys before the policy serves them
    authenticated: bool = False
    #: None: secrets cannot be looked up here; takes the vault, or None for the one-argument form, and the name
    secret_exists: Callable[[str | None, str], bool] | None = None
    #: ids that ``restrict-ips`` may refer to (TP-305)
    ip_policies: frozenset[str] = frozenset()
    rate_limit_min_window_s: float = 1.0
    jwt_require_exp: bool = False
    max_buffered_body_bytes: int = 32 << 20
    max_sse_message_bytes: int = 1 << 20
    http_request_allow_external: tuple[str, ...] = ()
    #: ids and aliases of the catalog's providers in lower case; None: any id may be without a ``base_url`` (AG 1.2)
    catalog_providers: frozenset[str] | None = None
    #: ``ai.allow_http_hosts`` (AG-45); (host, port) of the management listener (AG-46)
    allow_http_hosts: frozenset[str] = frozenset()
    admin_listeners: tuple[tuple[str, int], ...] = ()

    def doubts(self, reads: frozenset[str], source: str) -> Iterator[str]:
        """Warnings about an expression: variables that are always absent here, secrets that do not exist (TP-606)."""
        if self.unavailable_absent:
            for name, reason in unavailable_variables(self.available).items():
                if any(read == name or read.startswith(f"{name}.") for read in reads):
                    yield f"variable not available: {name} ({reason}); it is absent"
        if self.secret_exists is None:
            return
        for single, double, single_name, double_name in _SECRET.findall(source):
            first, name = single or double, single_name or double_name
            if not (self.secret_exists(first, name) if name else self.secret_exists(None, first)):
                yield f"there is no secret '{name or first}'" + (f" in vault '{first}' yet" if name else " yet")
