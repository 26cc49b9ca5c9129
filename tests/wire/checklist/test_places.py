"""Checklist: rules by category and place, where the operator has lists and databases (CL-47, CL-55)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.settings.model import GeoipSettings, Settings
from tests.unit.policy.mmdb import write_database
from tests.wire.checklist.documents import behind_a_proxy
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows

FOLDER = TemporaryDirectory()
LISTS = {
    "com.acme.monitoring": ["198.51.100.0/28"],
    "com.openai.gptbot.ipv4": ["203.0.113.0/28"],
    "proxy.anonymous.tor": ["203.0.113.66/32"],
    "blocklist.firehol_org.level_1": ["203.0.113.128/25"],
}
PLACES = {
    "192.0.2.0/25": {"country": {"iso_code": "KP"}, "continent": {"names": {"en": "Asia"}}},
    "192.0.2.128/25": {
        "country": {"iso_code": "FR", "is_in_european_union": True}, "continent": {"names": {"en": "Europe"}},
    },
}  # fmt: skip


def with_lists(settings: Settings) -> Settings:
    """Categories of addresses; 127.0.0.1 is believed about the client's address."""
    path = Path(FOLDER.name) / "categories.json"
    path.write_text(json.dumps(LISTS))
    return replace(behind_a_proxy(settings), ip_categories=path)


def with_databases(settings: Settings) -> Settings:
    """A database of places."""
    path = write_database(Path(FOLDER.name) / "city.mmdb", "GeoLite2-City", PLACES)
    return replace(behind_a_proxy(settings), geoip=GeoipSettings(city_db=path))


@row(
    47,
    """
        on_http_request:
          - expressions: ["!('com.acme' in conn.client_ip.categories)"]
            actions:
              - type: rate-limit
                config: {name: n, algorithm: sliding_window, capacity: 2, rate: 60s, bucket_key: [conn.client_ip]}
          - {type: custom-response, config: {body: reached}}
    """,
    change=with_lists,
)
async def limit_with_an_exemption(stage: Stage) -> None:
    for address, expected in (("198.51.100.7", [200] * 4), ("198.51.100.77", [200, 200, 429, 429])):
        assert [(await stage.ask(x_forwarded_for=address)).status for _ in range(4)] == expected


def told(*conditions: str) -> str:
    """A policy that says which condition is the first that holds."""
    return "        on_http_request:\n" + "".join(
        f"          - expressions: [{json.dumps(condition)}]\n"
        f"            actions: [{{type: custom-response, config: {{status_code: 403, body: '{number}'}}}}]\n"
        for number, condition in enumerate((*conditions, "true"))
    )


async def first_that_holds(stage: Stage, expected: dict[str, int]) -> None:
    found = {address: int((await stage.ask(x_forwarded_for=address)).text) for address in expected}
    assert found == expected


@row(
    55,
    told("'com.openai' in conn.client_ip.categories", "conn.client_ip.is_tor_node", "conn.client_ip.is_on_blocklist"),
    change=with_lists,
)
async def category_tor_and_blocklist(stage: Stage) -> None:
    expected = {"203.0.113.1": 0, "203.0.113.66": 1, "203.0.113.200": 2, "203.0.113.67": 3, "::1": 3}
    await first_that_holds(stage, expected)


@row(
    55,
    told(
        "conn.geo.country_code in ['KP', 'IR']", "conn.client_ip.geo.location.is_eu",
        "conn.client_ip.geo.location.continent == 'Asia'",
    ),
    change=with_databases,
)  # fmt: skip
async def country_union_and_continent(stage: Stage) -> None:
    await first_that_holds(stage, {"192.0.2.1": 0, "192.0.2.200": 1, "198.51.100.1": 3, "::1": 3})


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
