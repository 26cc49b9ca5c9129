"""``conn.client_ip`` and lists of addresses behind proxies (TP-132, TP-300, SV-13, P29)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.settings.model import Settings
from tests.wire.checklist.stage import Stage, row, staged

SHOW = """
on_http_request:
  - type: restrict-ips
    config: {enforce: false, allow: [203.0.113.0/24]}
  - type: custom-response
    config: {body: "${conn.client_ip} ${actions.ngrok.restrict_ips.action}"}
"""


async def shown(lines: Sequence[str], *networks: str) -> str:
    """What a rule sees of a request with these ``x-forwarded-for`` lines, behind these trusted proxies."""

    async def nothing(stage: Stage) -> None:
        pass

    def change(settings: Settings) -> Settings:
        trusted = tuple(ip_network(network) for network in networks)
        return replace(settings, server=replace(settings.server, trusted_proxies=trusted))

    async with staged(row(0, SHOW, change=change)(nothing), "yaml") as stage:
        return (await stage.ask("/x", [("X-Forwarded-For", line) for line in lines])).text


@pytest.mark.parametrize(
    "lines", [[], ["203.0.113.1"], ["203.0.113.1, 203.0.113.2"], ["203.0.113.1", "203.0.113.2"], ["127.0.0.1"]]
)
async def test_nobody_is_believed_by_default(lines: list[str]) -> None:
    """P29: also with proxies that are trusted, where the peer is none of them."""
    assert await shown(lines) == "127.0.0.1 deny"
    assert await shown(lines, "10.0.0.0/8", "::1/128") == "127.0.0.1 deny"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "127.0.0.1 deny"),
        (["203.0.113.1"], "203.0.113.1 allow"),
        (["203.0.113.1, 6.6.6.6"], "6.6.6.6 deny"),
        (["6.6.6.6, 203.0.113.1"], "203.0.113.1 allow"),
        (["203.0.113.1", "6.6.6.6"], "6.6.6.6 deny"),
        (["203.0.113.1,127.0.0.5 ,  10.1.1.1"], "203.0.113.1 allow"),
        (["203.0.113.1", "127.0.0.5"], "203.0.113.1 allow"),
        (["127.0.0.9, 10.0.0.1"], "127.0.0.9 deny"),
        (["::ffff:203.0.113.1"], "203.0.113.1 allow"),
        (["2001:DB8:0:0::1"], "2001:db8::1 deny"),
        (["203.0.113.1, nonsense"], "127.0.0.1 deny"),
        (["203.0.113.1, "], "127.0.0.1 deny"),
        (["nonsense, 203.0.113.1"], "203.0.113.1 allow"),
        (["203.0.113.1, nonsense, 127.0.0.5"], "127.0.0.5 deny"),
        (["203.0.113.1:4711"], "127.0.0.1 deny"),
        (["203.0.113.1, unknown"], "127.0.0.1 deny"),
    ],
)
async def test_the_right_most_address_that_is_no_proxy_counts(lines: list[str], expected: str) -> None:
    """SV-13: what stands left of it anybody may have written; an entry that is no address ends the search."""
    assert await shown(lines, "127.0.0.0/8", "10.0.0.0/8") == expected
