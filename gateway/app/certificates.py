"""Certificates of the listeners, read at start and on every reload (SV-11); ``--check`` reads them, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.problems import Problems
from gateway.proxy.tls import ListenerContext, listener_context

if TYPE_CHECKING:
    from gateway.settings import Settings


def read_certificates(settings: Settings) -> tuple[dict[str, ListenerContext], Problems]:
    """What connections begin with, by listener, and what is wrong with the files. Blocks."""
    problems, contexts = Problems("<tls>"), {}
    for endpoint in settings.endpoints:
        if endpoint.tls is None or endpoint.listener in contexts:
            continue
        try:
            contexts[endpoint.listener] = listener_context(endpoint.tls)
        except (OSError, ValueError) as error:
            report_unusable(problems, f"endpoint {endpoint.name}, {endpoint.tls.cert_file}", error)
    return contexts, problems


def report_unusable(problems: Problems, where: str, error: Exception) -> None:
    """A certificate, or its key, that cannot be used."""
    problems.add_error("ERR_AIGW_CONFIG", f"{where}: {error}", line=1, column=1)
