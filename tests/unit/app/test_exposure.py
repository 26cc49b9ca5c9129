"""Warnings for keys that anybody may spend, and no memory on disk (CP-111, CP-112)."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from gateway.app.exposure import EXPOSED, warn_exposed
from gateway.policy.checks import UNGUARDED
from gateway.problems import Problems, Severity
from gateway.settings import Settings
from gateway.settings.address import Listen, PublicUrl
from gateway.settings.model import AiSettings, EndpointSettings, PolicySource

PUBLIC = Listen("0.0.0.0", 8080)
ENDPOINT = EndpointSettings(id="ep_x", name="x", url=PublicUrl("http", "*", 8080), listen=PUBLIC)
WITH_POLICY = replace(ENDPOINT, policy=PolicySource(file="p.yaml"))
OPEN = replace(ENDPOINT, gateway_keys="optional")
MANAGED = Settings(ai=AiSettings(managed_keys=(("openai", ("sk-x",)),)))


@pytest.mark.parametrize(
    ("endpoint", "settings", "unguarded", "warned"),
    [
        (WITH_POLICY, Settings(), True, True),
        (WITH_POLICY, Settings(), False, False),
        (replace(WITH_POLICY, listen=Listen("127.0.0.1", 8080)), Settings(), True, False),
        (replace(WITH_POLICY, listen=Listen("::", 8080)), Settings(), True, True),
        (replace(WITH_POLICY, listen=Listen(path="/run/x.sock")), Settings(), True, False),
        (replace(WITH_POLICY, listen=None), Settings(), True, False),
        (replace(WITH_POLICY, gateway_keys="required"), Settings(), True, False),
        (OPEN, MANAGED, False, True),
        (OPEN, Settings(), False, False),
        (replace(OPEN, ai_gateway=False), MANAGED, False, False),
        (ENDPOINT, MANAGED, False, False),
    ],
    ids=[
        "keys of the policy, nobody asks", "guarded", "loopback", "every IPv6 address", "socket", "internal only",
        "gateway keys required", "managed keys, optional", "passthrough", "no gateway", "managed keys, auto",
    ],
)  # fmt: skip
def test_cp_111_open_keys_on_a_public_address(
    endpoint: EndpointSettings, settings: Settings, unguarded: bool, warned: bool
) -> None:
    problems = Problems("p.yaml")
    if unguarded:
        problems.add_warning(UNGUARDED, "'ai-gateway' uses keys of this policy", line=3, column=5)
    warn_exposed(endpoint, settings, problems)
    found = [problem for problem in problems if problem.code == EXPOSED]
    assert len(found) == warned
    for problem in found:
        assert problem.severity is Severity.WARNING
        assert "anyone who can reach this URL can spend these keys" in problem.message
        assert str(endpoint.listen) in problem.message


def test_cp_112_no_core_dumps() -> None:
    """Neither to a file nor to a handler of the system's."""
    program = (
        "import ctypes, resource; from gateway.app.exposure import forbid_dumps; forbid_dumps();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    written = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert written.stdout.split("\n")[0] == "(0, 0) 0"
    assert written.stderr == ""
