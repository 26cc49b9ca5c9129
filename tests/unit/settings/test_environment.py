"""The process's environment as a frozen value (SV-2, SV-12, SV-22, CP-112)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.settings.environment import Environment, forget_secrets, read_environment


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/gateway:/other", "HOME": "/h"}, "/var/lib/gateway"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/gateway"),
        ({"HOME": "/h"}, "/h/.local/state/gateway"),
    ],
)
def test_state_directory(variables: dict[str, str], expected: str) -> None:
    """SV-2: ``$STATE_DIRECTORY``, else ``$XDG_STATE_HOME/gateway``, else ``~/.local/state/gateway``."""
    assert Environment(variables).state_directory == Path(expected)


def test_sockets_of_systemd() -> None:
    """SV-22: only those that were opened for this process."""
    variables = {"LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b", "LISTEN_PID": str(os.getpid())}
    assert Environment(variables).listen_descriptors == ((3, "a"), (4, "b"), (5, ""))
    assert Environment(variables | {"LISTEN_PID": "1"}).listen_descriptors == ()
    assert Environment(variables | {"LISTEN_FDS": "x"}).listen_descriptors == ()
    assert Environment().listen_descriptors == ()


def test_watchdog() -> None:
    assert Environment({"WATCHDOG_USEC": "30000000"}).watchdog_s == 30.0
    assert Environment({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).watchdog_s == 0.0
    assert Environment().watchdog_s == 0.0


@pytest.mark.parametrize(
    ("scheme", "host", "proxy"),
    [
        ("https", "api.example.com", "http://secure:1"),
        ("http", "api.example.com", "http://plain:2"),
        ("https", "LOCAL.example", None),
        ("https", "deep.local.example", None),
        ("https", "notlocal.example", "http://secure:1"),
        ("https", "10.0.0.1", None),
    ],
)
def test_proxy(scheme: str, host: str, proxy: str | None) -> None:
    variables = {"HTTPS_PROXY": "http://secure:1", "http_proxy": "plain:2", "NO_PROXY": ".local.example, 10.0.0.1,"}
    assert Environment(variables).proxy_for(scheme, host) == proxy


def test_no_proxy_for_anything() -> None:
    assert Environment({"HTTPS_PROXY": "http://p", "no_proxy": "*"}).proxy_for("https", "h") is None


def test_secrets_are_removed_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """CP-112; the captured value keeps them, and does not show them."""
    monkeypatch.setenv("GATEWAY_SECRET_V__N", "canary-1")
    monkeypatch.setenv("OPENAI_API_KEY", "canary-2")
    monkeypatch.setenv("GATEWAY_MASTER_KEY", "canary-3")
    monkeypatch.setenv("GATEWAY_LISTEN", "127.0.0.1:1")
    environment = read_environment()
    forget_secrets(environment)
    for name in ("GATEWAY_SECRET_V__N", "OPENAI_API_KEY", "GATEWAY_MASTER_KEY"):
        assert name not in read_environment().variables
        assert environment.get(name) is not None
    assert read_environment().get("GATEWAY_LISTEN") == "127.0.0.1:1"
    assert "canary" not in repr(environment)


def test_empty_is_not_set() -> None:
    assert Environment({"X": ""}).get("X") is None
