"""Databases of addresses in a real process: named by the settings, used by rules, read again on SIGHUP (TP-130)."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import aiohttp

from tests.e2e.serving_process import run, serving
from tests.unit.policy.mmdb import write_database

POLICY = """
on_http_request:
  - actions:
      - type: custom-response
        config: {body: "${conn.geo.country_code} ${conn.client_ip.as.number} ${conn.client_ip.as.organization}"}
"""


def databases(folder: Path, country: str, number: int) -> None:
    """Puts new ones in the place of the old ones, by renaming."""
    places = {"127.0.0.0/8": {"country": {"iso_code": country}}}
    systems = {"127.0.0.0/8": {"autonomous_system_number": number, "autonomous_system_organization": "Loopback"}}
    write_database(folder / "new", "GeoLite2-City", places).rename(folder / "city.mmdb")
    write_database(folder / "new", "GeoLite2-ASN", systems).rename(folder / "asn.mmdb")


def configured(folder: Path, geoip: dict[str, str]) -> str:
    endpoint = {"name": "default", "listen": "127.0.0.1:0", "traffic_policy": POLICY}
    (folder / "gateway.json").write_text(json.dumps({"endpoints": [endpoint], "geoip": geoip}))
    return str(folder / "gateway.json")


async def get(url: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return await answer.text()


async def test_databases_are_used_and_read_again(tmp_path: Path) -> None:
    databases(tmp_path, "DE", 64_500)
    config = configured(tmp_path, {"city_db": "city.mmdb", "asn_db": "asn.mmdb"})
    async with serving(tmp_path, "--config", config) as gateway:
        url = await gateway.url()
        assert await get(url) == "DE 64500 Loopback"
        databases(tmp_path, "FR", 64_501)
        assert await get(url) == "DE 64500 Loopback"
        gateway.signal(signal.SIGHUP)
        await gateway.line("reloaded")
        assert await get(url) == "FR 64501 Loopback"
        seen = len(gateway.lines)
        (tmp_path / "broken").write_text("nothing")
        (tmp_path / "broken").rename(tmp_path / "city.mmdb")
        gateway.signal(signal.SIGHUP)
        await gateway.line(r"geoip\.city_db: .*city\.mmdb is no MaxMind database", seen)
        await gateway.line("reload failed", seen)
        assert await get(url) == "FR 64501 Loopback"


async def test_without_databases_the_gateway_does_not_start(tmp_path: Path) -> None:
    """The error says which setting would help; one that names a file which is not there does not."""
    status, said = await run("serve", "--data-dir", str(tmp_path / "data"), "--config", configured(tmp_path, {}))
    assert status == 2
    assert "variable not available: conn.geo (needs a city database: set geoip.city_db)" in said
    status, said = await run("serve", "--config", configured(tmp_path, {"city_db": "none.mmdb"}))
    assert status == 2
    assert "geoip.city_db" in said
