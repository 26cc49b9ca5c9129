"""What start-up does about being reached by others: a warning for open keys, no memory on disk (CP-111, CP-112)."""

from __future__ import annotations

import ctypes
import logging
import resource
from typing import TYPE_CHECKING

from gateway.policy.checks import UNGUARDED

if TYPE_CHECKING:
    from gateway.problems import Problems
    from gateway.settings import Settings
    from gateway.settings.model import EndpointSettings

log = logging.getLogger("gateway")

EXPOSED = "ERR_AIGW_EXPOSED"
_PR_SET_DUMPABLE = 4


def warn_exposed(entry: EndpointSettings, settings: Settings, problems: Problems) -> None:
    """CP-111: an address that others reach, keys of the operator, and nobody who asks for a credential.

    ``problems`` are those of the endpoint's policy: they say whether it uses keys unguarded (TP-18).
    """
    listen = entry.listen
    if listen is None or listen.loopback or entry.gateway_keys == "required":
        return
    if entry.policy is not None:
        open_keys = any(problem.code == UNGUARDED for problem in problems)
    else:
        open_keys = entry.ai_gateway and entry.gateway_keys == "optional" and bool(settings.ai.managed_keys)
    if open_keys:
        words = f"endpoint {entry.name} listens on {listen}: anyone who can reach this URL can spend these keys"
        problems.add_warning(EXPOSED, words, line=1, column=1)


def forbid_dumps() -> None:
    """No core dump of this process, wherever the system would put one: its memory holds opened secrets (CP-112).

    The limit covers files; the flag also covers handlers that the kernel pipes dumps to, and keeps other processes of
    the same user from attaching.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        failed = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (OSError, AttributeError):
        failed = -1  # no Linux
    if failed:
        log.warning("core dumps could not be turned off entirely")
