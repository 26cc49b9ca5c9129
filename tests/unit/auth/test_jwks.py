"""The cache of signing keys (TP-325, P31)."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.auth import jwks
from gateway.auth.jwks import JwksCache, JwksUnavailableError, parse_document
from gateway.clock import ManualClock
from tests.unit.auth.issuers import Site, document, jwk

URL = "https://a.example/jwks"
K1 = document(jwk("RS256", "k1"))
K2 = document(jwk("RS256", "k2", number=1))


class Setup:
    """A cache in front of a site."""

    def __init__(self, content: bytes | None = K1) -> None:
        self.site = Site()
        self.clock = ManualClock()
        self.cache = JwksCache(fetch=self.site.fetch, spawn=self.site.spawn, clock=self.clock)
        if content is not None:
            self.site.documents[URL] = content

    async def kids(self, kid: str | None = "k1", *urls: str, algorithm: str = "RS256") -> list[str | None]:
        return [key.kid for key in await self.cache.find(urls or (URL,), kid, algorithm)]

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_document_is_fetched_once() -> None:
    setup = Setup()
    assert [await setup.kids() for _ in range(3)] == [["k1"]] * 3
    assert setup.site.fetched == [URL]


async def test_everybody_waits_for_the_same_fetch() -> None:
    setup = Setup()
    assert await asyncio.gather(*[setup.kids() for _ in range(50)]) == [["k1"]] * 50
    assert setup.site.fetched == [URL]


async def test_who_leaves_stops_nobody_else() -> None:
    setup = Setup()
    setup.site.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(setup.kids()), group.create_task(setup.kids())
        await setup.settle()
        first.cancel()
        await setup.settle()
        setup.site.gate.set()
    assert second.result() == ["k1"]
    assert setup.site.fetched == [URL]


async def test_it_is_renewed_in_the_background_tp325() -> None:
    setup = Setup()
    await setup.kids()
    setup.site.documents[URL] = K2
    setup.clock.advance(899)
    await setup.kids()
    assert len(setup.site.fetched) == 1
    setup.clock.advance(1)
    assert await setup.kids() == ["k1"], "who asks does not wait"
    await setup.settle()
    assert await setup.kids("k2") == ["k2"]
    assert len(setup.site.fetched) == 2


async def test_rotation_is_seen_at_once_p31() -> None:
    setup = Setup()
    await setup.kids()
    setup.site.documents[URL] = K2
    assert await setup.kids("k2") == ["k2"]


async def test_ten_thousand_unknown_kids_cause_one_fetch_per_interval_p31() -> None:
    setup = Setup()
    await setup.kids()
    for n in range(10_000):
        assert await setup.kids(f"random-{n}") == []
    assert len(setup.site.fetched) == 2
    setup.clock.advance(30)
    await asyncio.gather(*[setup.kids(f"again-{n}") for n in range(100)])
    assert len(setup.site.fetched) == 3


async def test_a_document_fetched_just_now_is_not_fetched_again() -> None:
    setup = Setup()
    assert await setup.kids("unknown") == []
    assert len(setup.site.fetched) == 1


async def test_the_last_good_keys_are_kept_for_a_day_tp325(caplog: pytest.LogCaptureFixture) -> None:
    setup = Setup()
    await setup.kids()
    del setup.site.documents[URL]
    with caplog.at_level(logging.WARNING):
        for _ in range(23):
            setup.clock.advance(3_600)
            assert await setup.kids() == ["k1"]
            await setup.settle()
    assert "could not be fetched" in caplog.text
    setup.clock.advance(3_600)
    with pytest.raises(JwksUnavailableError):
        await setup.kids()


@pytest.mark.parametrize(
    "content", [None, b"<html>", b"[]", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [{"kty": "oct"}]}']
)
async def test_no_keys_at_all_tp325(content: bytes | None) -> None:
    setup = Setup(content)
    for _ in range(10):
        with pytest.raises(JwksUnavailableError):
            await setup.kids()
    assert len(setup.site.fetched) == 1, "not asked again at once"
    setup.site.documents[URL] = K1
    setup.clock.advance(jwks.RETRY_S)
    assert await setup.kids() == ["k1"]


async def test_a_broken_document_does_not_replace_a_good_one() -> None:
    setup = Setup()
    await setup.kids()
    setup.site.documents[URL] = b"{}"
    assert await setup.kids("k2") == []
    assert await setup.kids() == ["k1"]


async def test_urls_in_order_tp325() -> None:
    setup = Setup()
    other = "https://b.example/jwks"
    setup.site.documents[other] = document(jwk("RS256", "k1", number=1), jwk("RS256", "k3", number=2))
    assert await setup.kids("k1", URL, other) == ["k1", "k1"]
    assert (await setup.cache.find((other, URL), "k1", "RS256"))[0].key != (
        await setup.cache.find((URL, other), "k1", "RS256")
    )[0].key
    assert await setup.kids("k3", URL, other) == ["k3"]


async def test_one_url_that_fails_leaves_the_others() -> None:
    setup = Setup()
    assert await setup.kids("k1", "https://gone.example/", URL) == ["k1"]


async def test_without_a_kid_every_fitting_key_counts() -> None:
    setup = Setup(document(jwk("RS256", "k1"), jwk("ES256", "e1"), jwk("RS256", None, number=1)))
    assert await setup.kids(None) == ["k1", None]
    assert await setup.kids(None, algorithm="ES256") == ["e1"]
    assert await setup.kids(None, algorithm="EdDSA") == []


async def test_a_slow_site_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FETCH_S", 0.01)
    setup = Setup()
    setup.site.gate = asyncio.Event()
    with pytest.raises(JwksUnavailableError):
        await setup.kids()


async def test_the_number_of_urls_is_bounded_p31(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "MAX_SOURCES", 3)
    setup = Setup()
    for n in range(10):
        with pytest.raises(JwksUnavailableError):
            await setup.kids("k1", f"https://{n}.example/")
    assert len(setup.cache._sources) == 3


def test_a_document_is_bounded_tp325() -> None:
    with pytest.raises(ValueError, match="1 MiB"):
        parse_document(b" " * (jwks.MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(ValueError, match="deep"):
        parse_document(b"[" * 100_000)
    many = document(*[jwk("ES256", f"k{n}") for n in range(300)])
    assert len(parse_document(many)) == jwks.MAX_KEYS
