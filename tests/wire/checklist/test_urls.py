"""Checklist: headers, redirects and rewritten URLs (CL-59 to CL-62, CL-86, CL-88)."""

from __future__ import annotations

import json

import pytest

from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows


@row(
    59,
    """
        on_http_request:
          - type: add-headers
            config:
              headers:
                x-client-ip: "${conn.client_ip}"
                x-endpoint-id: "${endpoint.id}"
                x-path: "${req.url.path}"
                x-location: "${conn.server_region}"
                x-kept: "added"
                host: backend.example.com
        on_http_response:
          - type: add-headers
            config:
              headers:
                strict-transport-security: max-age=31536000; includeSubDomains
                x-content-type-options: nosniff
                content-security-policy: default-src 'self'
    """,
    forwards=True,
)
async def added_headers(stage: Stage) -> None:
    answered = await stage.ask("/a/b?c", x_kept="first")
    assert answered.sent("x-client-ip") == ["127.0.0.1"]
    assert answered.sent("x-endpoint-id") == [stage.last.endpoint.id]
    assert answered.sent("x-path") == ["/a/b"]
    assert answered.sent("x-location") == [""]
    assert answered.sent("x-kept") == ["first", "added"], "appended (TP-371)"
    assert answered.sent("host") == ["backend.example.com"], "replaced"
    assert answered.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.headers["content-security-policy"] == "default-src 'self'"


@row(
    60,
    """
        on_http_request:
          - type: remove-headers
            config: {headers: [X-Secret, x-not-there, Authorization]}
          - type: remove-headers
            config: {headers: [x-replaced]}
          - type: add-headers
            config: {headers: {x-replaced: new}}
        on_http_response:
          - type: remove-headers
            config: {headers: [Server, x-powered-by]}
          - type: add-headers
            config: {headers: {x-removed: "${actions.ngrok.remove_headers.headers_removed.join(' ')}"}}
    """,
    forwards=True,
)
async def removed_and_replaced_headers(stage: Stage) -> None:
    lines = [
        ("x-secret", "a"),
        ("X-SECRET", "b"),
        ("authorization", "Bearer x"),
        ("x-replaced", "old"),
        ("x-other", "c"),
    ]
    answered = await stage.ask("/x", lines)
    assert (answered.sent("x-secret"), answered.sent("authorization")) == ([], [])
    assert (answered.sent("x-replaced"), answered.sent("x-other")) == (["new"], ["c"])
    stage.service.otherwise = answer(b"x", server="nginx", x_powered_by="PHP", x_stays="yes")
    answered = await stage.ask()
    assert "server" not in answered.headers
    assert "x-powered-by" not in answered.headers
    assert (answered.headers["x-stays"], answered.headers["x-removed"]) == ("yes", "server x-powered-by")


@row(
    60,
    """
        on_http_response:
          - expressions: ["res.location != ''"]
            actions:
              - type: set-vars
                config: {vars: [{path: "${url.parse(res.location).path}"}]}
              - type: remove-headers
                config: {headers: [location]}
              - type: add-headers
                config: {headers: {location: "https://${req.host}${vars.path}"}}
        on_http_request: [{type: log, config: {metadata: {a: b}}}]
    """,
    forwards=True,
)
async def location_is_rebuilt(stage: Stage) -> None:
    stage.service.otherwise = answer(status=302, location="http://10.0.0.7:8000/login?next=%2F")
    answered = await stage.ask()
    assert (answered.status, answered.location) == (302, "https://gateway.test/login")
    stage.service.otherwise = answer(b"fine")
    assert (await stage.ask()).location is None


def redirect(config: str) -> str:
    return f"""
        on_http_request:
          - {{type: redirect, config: {{{config}}}}}
          - {{type: custom-response, config: {{body: stayed}}}}
    """


async def moved(stage: Stage, target: str, location: str | None, status: int = 302) -> None:
    """Where a request is sent to; None: it stays."""
    answered = await stage.ask(target)
    assert (answered.status, answered.location) == (200 if location is None else status, location)
    if location is None:
        assert answered.text == "stayed"


@row(61, redirect("from: '^http://gateway.test/products/([0-9]+)/?$', to: 'https://shop.test/p/$1?ref=$2'"))
async def anchored_url_with_groups(stage: Stage) -> None:
    await moved(stage, "/products/42", "https://shop.test/p/42?ref=")
    await moved(stage, "/products/42/reviews", None)
    await moved(stage, "/x?u=http://gateway.test/products/42", None)


@row(61, redirect("from: '/old/', to: '/new/'"))
async def substring(stage: Stage) -> None:
    await moved(stage, "/old/a?b=/old/", "http://gateway.test/new/a?b=/new/")
    await moved(stage, "/older/a", None)


@row(61, redirect("from: '^http://([^/]+)\\.test', to: 'https://www.$1.example'"))
async def new_host(stage: Stage) -> None:
    await moved(stage, "/a b?c=d".replace(" ", "%20"), "https://www.gateway.example/a%20b?c=d")


@row(61, redirect("to: '/login?next=${url.escape(req.url.path)}', status_code: 307"))
async def relative_target(stage: Stage) -> None:
    await moved(stage, "/a/b", "http://gateway.test/login?next=%2Fa%2Fb", 307)


@row(61, redirect("from: '^http:', to: 'https:', status_code: 301, headers: {x-why: '${req.method} moved'}"))
async def permanent_with_a_header(stage: Stage) -> None:
    answered = await stage.ask("/a?b", method="POST", body=b"x")
    assert (answered.status, answered.location) == (301, "https://gateway.test/a?b")
    assert answered.headers["x-why"] == "POST moved"


@row(61, redirect("from: 'gateway', to: 'gateway'"))
async def nothing_changes(stage: Stage) -> None:
    await moved(stage, "/a", None)


def rewrite(*configs: str) -> str:
    return "        on_http_request:\n" + "".join(
        f"          - {{type: url-rewrite, config: {{{config}}}}}\n" for config in configs
    )


@row(62, rewrite("from: '/v1/users$', to: '/users/list'"), forwards=True)
async def exact_path(stage: Stage) -> None:
    assert (await stage.ask("/v1/users")).target == "/users/list"
    assert (await stage.ask("/v1/users/7")).target == "/v1/users/7"


@row(62, rewrite(r"from: '/articles/([0-9]+)(?:/([a-z]+))?$', to: '/get?id=$1&view=$2'"), forwards=True)
async def groups_into_the_query(stage: Stage) -> None:
    assert (await stage.ask("/articles/7/full")).target == "/get?id=7&view=full"
    assert (await stage.ask("/articles/7")).target == "/get?id=7&view="


@row(62, rewrite(r"from: '/blog/(\d{4})/(\d{2})/([a-z0-9-]+)', to: '/posts?year=$1&month=$2&slug=$3'"), forwards=True)
async def blog_permalinks(stage: Stage) -> None:
    assert (await stage.ask("/blog/2026/11/hello-world")).target == "/posts?year=2026&month=11&slug=hello-world"


@row(
    62,
    """
        on_http_request:
          - expressions: ["rand.double() < 0.5"]
            actions: [{type: url-rewrite, config: {from: '/app', to: '/next'}}]
    """,
    forwards=True,
)
async def half_of_the_traffic(stage: Stage) -> None:
    targets = [(await stage.ask("/app")).target for _ in range(100)]
    assert set(targets) == {"/app", "/next"}
    assert 20 <= targets.count("/next") <= 80


@row(86, rewrite("from: 'http://gateway.test/users?id=([0-9]+)', to: '/user/$1'"), forwards=True)
async def unescaped_question_mark(stage: Stage) -> None:
    assert (await stage.ask("/users?id=1")).target == "/users?id=1"


@row(88, rewrite("from: '^${req.url.authority}/api', to: '/v2'"), forwards=True)
async def authority_at_the_start(stage: Stage) -> None:
    """The subject starts with the scheme (TP-396)."""
    assert any("never matches" in warning for warning in stage.warnings())
    assert (await stage.ask("/api")).target == "/api"


@row(88, rewrite("from: '^${req.url.scheme}://${req.url.authority}/api', to: 'http://other.test/v2'"), forwards=True)
async def scheme_and_authority_at_the_start(stage: Stage) -> None:
    answered = await stage.ask("/api/a?b")
    assert answered.target == "/v2/a?b"
    assert answered.sent("host") == ["gateway.test"], "authority and upstream stay (TP-395)"
    assert json.loads(answered.body)["method"] == "GET"


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
