"""What user agents tell: TP 6.4, CL-55, CL-63."""

from __future__ import annotations

import time

import pytest

from gateway.policy.user_agent import UserAgent

# ruff: noqa: E501 - headers stand as they are sent
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
CASES = [
    ("", "", "", "", "", ""),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36", "Chrome", "126.0.0.0", "Windows", "10.0", "desktop"),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0 Safari/537.36 Edg/126.0.2592", "Edge", "126.0.2592", "Windows", "10.0", "desktop"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15", "Safari", "17.4", "macOS", "10.15.7", "desktop"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox", "127.0", "Linux", "", "desktop"),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", "Safari", "17.5", "iOS", "17.5", "mobile"),
    ("Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1", "Safari", "16.6", "iOS", "16.6", "tablet"),
    (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/126.0 Mobile Safari/537.36", "Chrome", "126.0", "Android", "14", "mobile"),
    (f"Mozilla/5.0 (Linux; Android 13; SM-X700) {WEBKIT} Chrome/126.0 Safari/537.36", "Chrome", "126.0", "Android", "13", "tablet"),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", "2.1", "", "", "bot"),
    ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "GPTBot", "1.2", "", "", "bot"),
    ("curl/8.5.0", "curl", "8.5.0", "", "", "bot"),
    ("python-requests/2.32.3", "python-requests", "2.32.3", "", "", "bot"),
    ("OpenAI/Python 3.3.1", "OpenAI/Python", "3.3.1", "", "", ""),
    ("claude-cli/2.0.1 (external, cli)", "claude-cli", "2.0.1", "", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("header", "name", "version", "os", "os_version", "device"), CASES)
def test_agents(header: str, name: str, version: str, os: str, os_version: str, device: str) -> None:
    agent = UserAgent(header)
    assert agent == header
    assert (agent.name, agent.version, agent.os, agent.os_version) == (name, version, os, os_version)
    flags = {"desktop": agent.is_desktop, "mobile": agent.is_mobile, "tablet": agent.is_tablet, "bot": agent.is_bot}
    assert [kind for kind, holds in flags.items() if holds] == ([device] if device else [])


def test_devices_and_urls() -> None:
    assert UserAgent("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)").device == "iPhone"
    assert UserAgent("Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/X) Mobile").device == "Pixel 8"
    assert UserAgent("Bot/1 (+https://x.example/bot; hi)").url == "https://x.example/bot"
    assert (UserAgent("x").device, UserAgent("x").url) == ("", "")


def test_only_known_members() -> None:
    with pytest.raises(AttributeError):
        _ = UserAgent("x").brand


@pytest.mark.parametrize("piece", ["Version/1", "iPhone", "Android ", "bot", "Mozilla/5.0 (", "a-b_c.", "Trident/"])
def test_hostile_headers_take_bounded_time(piece: str) -> None:
    """CL-96: only a bounded part is read, by expressions without nested repetition."""
    started = time.process_time()
    assert UserAgent(piece * 20_000).name is not None
    assert time.process_time() - started < 1
