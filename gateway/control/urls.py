"""What the API says to a provider's base URL (CP-36)."""

from __future__ import annotations

from collections.abc import Collection

from gateway.ai.providers import check_base_url
from gateway.control.plane import UrlFault


def base_url_fault(
    url: str, allow_http_hosts: Collection[str], admin_listeners: Collection[tuple[str, int]]
) -> UrlFault | None:
    """The first thing against a URL; that it does not parse comes before that it is refused."""
    problems = sorted(check_base_url(url, allow_http_hosts, admin_listeners), key=lambda problem: problem.forbidden)
    return UrlFault(str(problems[0]), problems[0].forbidden) if problems else None
