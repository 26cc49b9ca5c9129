"""Requests that the gateway makes for itself (TP-325, TP-470, TP-471, TP-473, P14, P19)."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.headers import HeaderMap
from gateway.upstream.fetch import (
    Fetcher,
    FetchError,
    FetchRequest,
    FetchRules,
    is_public,
    may_be_dialled,
    redirected,
    resolve_system,
    split_url,
)
from gateway.upstream.session import build_session

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def site(handler: Handler) -> AsyncIterator[int]:
    """A server on this machine; gives its port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Names:
    """A resolver; remembers what was asked."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = {name.replace("_", "."): found for name, found in addresses.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError("no such host")
        return self.addresses[host]


@asynccontextmanager
async def fetcher(names: Names) -> AsyncIterator[Fetcher]:
    session = build_session(None, 2.0)
    try:
        yield Fetcher(session, resolve=names)
    finally:
        await session.close()


LISTED = FetchRules(frozenset({"api.example", "other.example"}))


async def echo(request: web.Request) -> web.StreamResponse:
    return web.json_response(
        {
            "host": request.host,
            "path": request.raw_path,
            "body": (await request.read()).decode(),
            "method": request.method,
        },
        headers={"x-names": ",".join(sorted(name.lower() for name in request.headers))},
    )


async def test_a_request_as_it_was_asked_for() -> None:
    names = Names(api_example=["127.0.0.1"])
    async with site(echo) as port, fetcher(names) as fetch:
        request = FetchRequest(
            "POST", f"http://api.example:{port}/a%2Fb?x=%20", HeaderMap.of([("x-one", "1")]), b"body"
        )
        answer = await fetch.send(request, LISTED)
    assert answer.status == 200
    assert answer.resolved_ip == "127.0.0.1"
    assert b'"path": "/a%2Fb?x=%20"' in answer.body
    assert f'"host": "api.example:{port}"'.encode() in answer.body
    assert b'"method": "POST"' in answer.body
    assert answer.headers.first("x-names") == "content-length,host,x-one", "nothing is added"


@pytest.mark.parametrize(
    ("rules", "addresses", "reason"),
    [
        (FetchRules(), ["93.184.216.34"], "not in policy"),
        (FetchRules(frozenset({"other.example"})), ["93.184.216.34"], "not in policy"),
        (FetchRules(frozenset({"*"})), ["127.0.0.1"], "no address that may be used"),
        (FetchRules(frozenset({"*"})), ["169.254.169.254", "10.0.0.1", "::1"], "no address that may be used"),
        (FetchRules(frozenset({"*"})), [], "no address"),
        (FetchRules(frozenset({"*"}), private=True), ["169.254.169.254"], "no address that may be used"),
        (FetchRules(frozenset({"*"}), https_only=True), ["93.184.216.34"], "only https"),
    ],
)
async def test_hosts_and_addresses_that_are_not_asked_tp471_p19(
    rules: FetchRules, addresses: list[str], reason: str
) -> None:
    async with fetcher(Names(api_example=addresses)) as fetch:
        with pytest.raises(FetchError, match=reason):
            await fetch.send(FetchRequest("GET", "http://api.example/"), rules)


async def test_a_listed_host_may_be_private_tp471() -> None:
    async with site(echo) as port, fetcher(Names(api_example=["127.0.0.1"])) as fetch:
        assert (await fetch.send(FetchRequest("GET", f"http://API.example:{port}/"), LISTED)).status == 200
        private = FetchRules(frozenset({"*"}), private=True)
        assert (await fetch.send(FetchRequest("GET", f"http://api.example:{port}/"), private)).status == 200


async def test_a_public_name_with_a_private_first_address_uses_the_public_one() -> None:
    names = Names(api_example=["10.0.0.1", "127.0.0.1"])
    fetch = Fetcher(None, resolve=names)  # type: ignore[arg-type] # nothing is sent
    rules = FetchRules(frozenset({"*"}))
    names.addresses["api.example"] = ["10.0.0.1", "1.1.1.1"]
    assert await fetch._address("api.example", 80, rules) == "1.1.1.1"


def redirecting(*, to: Callable[[web.Request], str | None], status: int = 302) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        target = to(request)
        if target is None:
            return await echo(request)
        return web.Response(status=status, headers={"location": target})

    return handler


async def test_redirects_are_not_followed_by_default_tp470() -> None:
    async with site(redirecting(to=lambda request: "/b")) as port, fetcher(Names(api_example=["127.0.0.1"])) as fetch:
        answer = await fetch.send(FetchRequest("GET", f"http://api.example:{port}/a"), LISTED)
    assert (answer.status, answer.headers.first("location")) == (302, "/b")


async def test_redirects_are_followed_and_counted_tp470() -> None:
    steps = {"/a": "/b", "/b": "/c?x=1"}
    async with (
        site(redirecting(to=lambda request: steps.get(request.path))) as port,
        fetcher(Names(api_example=["127.0.0.1"])) as fetch,
    ):
        request = FetchRequest("GET", f"http://api.example:{port}/a")
        two = FetchRules(LISTED.external, max_redirects=2)
        assert b"/c?x=1" in (await fetch.send(request, two)).body
        with pytest.raises(FetchError, match="too many redirects"):
            await fetch.send(request, FetchRules(LISTED.external, max_redirects=1))


async def test_each_redirect_is_checked_again_tp471_p19() -> None:
    targets = iter(["http://metadata.example/", "http://169.254.169.254/latest/", "http://2130706433/", "ftp://x/"])
    names = Names(
        api_example=["127.0.0.1"], metadata_example=["169.254.169.254"],
        **{"169_254_169_254": ["169.254.169.254"], "2130706433": ["127.0.0.1"]},
    )  # fmt: skip
    rules = FetchRules(frozenset({"*", "api.example"}), max_redirects=3)
    async with site(redirecting(to=lambda request: next(targets))) as port, fetcher(names) as fetch:
        for reason in ("no address", "no address", "no address", "not an http"):
            with pytest.raises(FetchError, match=reason):
                await fetch.send(FetchRequest("GET", f"http://api.example:{port}/"), rules)


def test_credentials_do_not_follow_to_another_origin() -> None:
    headers = HeaderMap.of([("authorization", "x"), ("cookie", "x"), ("x-api-key", "x"), ("accept", "x")])
    request = FetchRequest("GET", "https://a.example/x", headers)
    assert dict(redirected(request, 302, "https://b.example/").headers) == {"accept": ["x"]}
    assert dict(redirected(request, 302, "http://a.example/").headers) == {"accept": ["x"]}
    assert redirected(request, 302, "/y").headers == headers


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("POST", 301, ("GET", b"")),
        ("POST", 302, ("GET", b"")),
        ("PUT", 303, ("GET", b"")),
        ("POST", 307, ("POST", b"x")),
        ("POST", 308, ("POST", b"x")),
        ("PUT", 302, ("PUT", b"x")),
    ],
)
def test_the_method_after_a_redirect(method: str, status: int, expected: tuple[str, bytes]) -> None:
    request = redirected(FetchRequest(method, "http://a/b/c", HeaderMap(), b"x"), status, "../d")
    assert (request.method, request.body, request.url) == (*expected, "http://a/d")


async def test_the_size_is_limited_before_and_after_decoding_tp473_p14() -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        if request.path == "/bomb":
            return web.Response(body=gzip.compress(bytes(3_000_000)), headers={"content-encoding": "gzip"})
        if request.path == "/gzip":
            return web.Response(body=gzip.compress(b"fine"), headers={"content-encoding": "gzip"})
        return web.Response(body=bytes(262_144 if request.path == "/fits" else 262_145))

    async with site(large) as port, fetcher(Names(api_example=["127.0.0.1"])) as fetch:
        url = f"http://api.example:{port}"
        assert len((await fetch.send(FetchRequest("GET", f"{url}/fits"), LISTED)).body) == 262_144
        assert (await fetch.send(FetchRequest("GET", f"{url}/gzip"), LISTED)).body == b"fine"
        for path in ("/large", "/bomb"):
            with pytest.raises(FetchError, match="response size exceeded"):
                await fetch.send(FetchRequest("GET", url + path), LISTED)


@pytest.mark.parametrize(("coding", "reason"), [("x-own", "unsupported"), ("gzip", "broken")])
async def test_codings_that_cannot_be_read(coding: str, reason: str) -> None:
    async def odd(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"odd", headers={"content-encoding": coding})

    async with site(odd) as port, fetcher(Names(api_example=["127.0.0.1"])) as fetch:
        with pytest.raises(FetchError, match=reason):
            await fetch.send(FetchRequest("GET", f"http://api.example:{port}/"), LISTED)


async def test_a_host_that_is_not_there() -> None:
    async with fetcher(Names(api_example=["127.0.0.1"])) as fetch:
        with pytest.raises(FetchError, match="failed: Client"):
            await fetch.send(FetchRequest("GET", "http://api.example:1/"), LISTED)
        with pytest.raises(FetchError, match="cannot be resolved"):
            await fetch.send(FetchRequest("GET", "http://other.example/"), LISTED)


async def test_documents_tp325() -> None:
    async def documents(request: web.Request) -> web.StreamResponse:
        return web.Response(text="keys", status=200 if request.path == "/keys" else 404)

    async with site(documents) as port, fetcher(Names(localhost=["127.0.0.1"])) as fetch:
        rules = FetchRules(frozenset({"*"}), max_redirects=3, max_bytes=1 << 20, https_only=True, private=True)
        assert await fetch.get(f"http://localhost:{port}/keys", rules) == b"keys"
        with pytest.raises(FetchError, match="status 404"):
            await fetch.get(f"http://localhost:{port}/none", rules)


async def test_a_slow_answer_ends_when_its_time_does() -> None:
    over = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with site(slow) as port, fetcher(Names(api_example=["127.0.0.1"])) as fetch:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await fetch.send(FetchRequest("GET", f"http://api.example:{port}/"), LISTED)
        over.set()


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("1.1.1.1", True), ("2606:4700::1111", True), ("::ffff:1.1.1.1", True), ("64:ff9b::1.1.1.1", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("0.0.0.0", False),
        ("169.254.169.254", False), ("100.100.100.200", False), ("192.0.2.1", False), ("224.0.0.1", False),
        ("255.255.255.255", False), ("240.0.0.1", False), ("::1", False), ("::", False), ("fe80::1", False),
        ("fd00:ec2::254", False), ("ff02::1", False), ("fec0::1", False), ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False), ("64:ff9b::10.0.0.1", False), ("2002:7f00:1::", False),
        ("2001:0:1::1", False),
    ],
)  # fmt: skip
def test_public_addresses_p19(text: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(text)) is public


def test_private_addresses_without_metadata_services() -> None:
    assert may_be_dialled(ipaddress.ip_address("10.0.0.1"), private=True)
    assert may_be_dialled(ipaddress.ip_address("::1"), private=True)
    for text in ("169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1"):
        assert not may_be_dialled(ipaddress.ip_address(text), private=True)


@pytest.mark.parametrize(
    "url", ["", "x", "/x", "ftp://a/", "http://", "http://u:p@a/", "http://a:99999/", "http://[::1", "http://a/\r\n"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(FetchError):
        split_url(url)


def test_url_parts() -> None:
    assert split_url("HTTPS://Api.Example.:8443/x")[1:] == ("api.example", 8443)
    assert split_url("http://a/")[2] == 80
    assert split_url("https://a/")[2] == 443


async def test_the_systems_resolver() -> None:
    assert "127.0.0.1" in await resolve_system("127.0.0.1", 80)
