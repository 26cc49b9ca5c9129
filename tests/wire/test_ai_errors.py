"""Every error of the data plane through real sockets, in both dialects: the tables of AG-81, AG-176 and AG 12.2.

``USES`` repeats the column *Use* of AG 12.2. ``test_no_row_is_missing`` holds it against the error table of the program
and against the scenarios below, so that neither a code nor a scenario can be left out.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from gateway import errors
from gateway.demo.server import DemoProvider
from gateway.settings.model import Settings
from tests.wire.managed import ManagedGateway
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, HELLO, MESSAGES_PATH, provider_entry

PATHS = (CHAT_PATH, MESSAGES_PATH)
#: code without ``ERR_NGROK_`` → what AG 12.2 says of its use
USES: dict[str, frozenset[str]] = {
    **{code: frozenset(("final", "attempt")) for code in ("3800", "3802", "3808", "3811")},
    **{
        code: frozenset(("final",))
        for code in (
            "3801", "3803", "3804", "3805", "3806", "3807", "3810", "3812", "3813", "3814", "4026", "27007", "27008",
            "27009", "27201", "27204", "27205", "27237", "2238",
        )
    },
    **{
        code: frozenset(("attempt",))
        for code in (
            "3817", "3819", "27202", "27207", "27210", "27211", "27212", "27213", "27214", "27215", "27216", "27217",
            "27218", "27219", "27220", "27221", "27222", "27223", "27234",
        )
    },
    "3809": frozenset(("load",)),
}  # fmt: skip
#: what an attempt that could not connect is called: 27223; 3800 is the code of the whole request then
BESIDE = {"3800": "27223"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body["error"]
        return found

    @property
    def attempts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.error.get("details", {}).get("attempts", [])
        return found


@dataclass(frozen=True)
class Ask:
    """One request."""

    body: Mapping[str, Any] | bytes = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    #: behind ``/v1/messages`` or ``/v1/chat/completions``, or a path of its own
    suffix: str = ""


async def reply(gateway: RunningGateway, path: str, ask: Ask) -> Reply:
    body = ask.body
    if not isinstance(body, bytes):
        body = json.dumps({"model": "demo", "messages": HELLO, "max_tokens": 50, **body}).encode()
    headers = {"content-type": "application/json", **ask.headers}
    async with (
        gateway.session as client,
        client.request(ask.method, path + ask.suffix, data=body, headers=headers) as answer,
    ):
        return Reply(answer.status, answer.headers, json.loads(await answer.read()))


@dataclass(frozen=True)
class World:
    """A policy over the demo provider. ``keys``: faults of its keys; ``entries``: further providers."""

    keys: Sequence[str] = ("good",)
    entry: Mapping[str, Any] = field(default_factory=dict)
    entries: Sequence[Mapping[str, Any]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    ai: Mapping[str, Any] = field(default_factory=dict)
    before: str = ""
    required: bool = False

    def settings(self, base_url: str) -> Settings:
        # the padding tells keys with the same fault apart
        keys = [f"demo-key-{fault}:n={number + 2}" for number, fault in enumerate(self.keys)]
        entries = [provider_entry(base_url, *keys, **self.entry)]
        entries += [{**provider_entry(base_url), **entry} for entry in self.entries]
        settings = settings_for(ai_policy(entries, self.before, **self.config), **self.ai)
        if not self.required:
            return settings
        return replace(settings, endpoints=tuple(replace(e, gateway_keys="required") for e in settings.endpoints))

    async def __call__(self, path: str, ask: Ask) -> Reply:
        async with DemoProvider() as provider, RunningGateway(self.settings(provider.base_url)) as gateway:
            return await reply(gateway, path, ask)


Produce = Callable[[str], Awaitable[Reply]]


def ask(world: World | None = None, *, dialects: Mapping[str, Ask] | None = None, **request: Any) -> Produce:
    """A request to a world; ``dialects`` where it has to differ between the two."""

    async def produce(path: str) -> Reply:
        asked = Ask(**request) if dialects is None else dialects[path]
        return await (world or World())(path, asked)

    return produce


def managed(scenario: Callable[[ManagedGateway, str], Awaitable[Reply]], **world: Any) -> Produce:
    """With a store and its API."""

    async def produce(path: str) -> Reply:
        async with DemoProvider() as provider, ManagedGateway(World(**world).settings(provider.base_url)) as gateway:
            return await scenario(gateway, path)

    return produce


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def shared_mode(path: str) -> Reply:
    async with RunningGateway(settings_for(None)) as gateway:
        return await reply(gateway, path, Ask(suffix="/nowhere"))


async def limited_access(gateway: ManagedGateway, path: str) -> Reply:
    made = await gateway.made("/access-key-configurations", {"name": "c", "access": {"models": {"allow": ["x:y"]}}})
    _, token = await gateway.key(accessKeyConfigurationId=made["id"])
    return await reply(gateway, path, Ask(headers=bearer(token)))


async def other_endpoint(gateway: ManagedGateway, path: str) -> Reply:
    """A key that is good, but not here (AG-186)."""
    _, token = await gateway.key()
    found = gateway.plane.view.access_keys.find(token)
    assert found is not None
    elsewhere = copy.copy(found)
    object.__setattr__(elsewhere, "endpoint_id", "ep_elsewhere")
    publish(gateway, lambda text: elsewhere)
    return await reply(gateway, path, Ask(headers=bearer(token)))


async def broken_table(gateway: ManagedGateway, path: str) -> Reply:
    def fail(text: str) -> Any:
        raise OSError("the store is gone")

    _, token = await gateway.key()
    publish(gateway, fail)
    return await reply(gateway, path, Ask(headers=bearer(token)))


def publish(gateway: ManagedGateway, find: Callable[[str], Any]) -> None:
    """A key table that answers as a test wants it."""
    table: Any = SimpleNamespace(configurations={}, made_for=frozenset(), find=find)
    gateway.parts.keys.publish(replace(gateway.plane.view, access_keys=table))


async def spent_budget(gateway: ManagedGateway, path: str) -> Reply:
    _, token = await gateway.key()
    budget = {"scope": "account", "period": "total", "limitTokens": 1}
    await gateway.made("/ext/budgets", budget)
    await reply(gateway, path, Ask(headers=bearer(token)))
    return await reply(gateway, path, Ask(headers=bearer(token)))


#: a model of the catalog that the dialect's format has, whose provider has no key
KEYLESS = {
    CHAT_PATH: Ask({"model": "openai:gpt-4o"}),
    MESSAGES_PATH: Ask({"model": "anthropic:claude-sonnet-4-5"}),
}
#: the same, and then a model that answers 500
KEYLESS_FIRST = {
    path: Ask({**KEYLESS[path].body, "models": ["demo:500"]})  # type: ignore[dict-item] # mappings, see above
    for path in PATHS
}
OPENAI_ONLY = {"supported_api_surfaces": [{"format": "openai"}]}
ANTHROPIC_ONLY = {"supported_api_surfaces": [{"format": "anthropic"}]}
NO_KEY_CHOSEN = {"api_key_selection": {"strategy": ["ai.keys.filter(k, false)"]}}
TIMES = {"per_request_timeout": "150ms"}
#: a second provider whose models need no key
OPEN = {"id": "open", "api_keys": [], "models": [{"id": "open"}]}


async def wrong_surface(path: str) -> Reply:
    return await World(entry=ANTHROPIC_ONLY if path == CHAT_PATH else OPENAI_ONLY)(path, Ask())


async def unknown_path(path: str) -> Reply:
    return await World()(path, Ask(suffix="/nowhere"))


FINAL: list[tuple[str, int, str, Produce]] = [
    ("3800", 502, "one attempt, no connection", ask(World(keys=["reset"]))),
    ("3801", 400, "no JSON", ask(body=b'{"model":')),
    ("3801", 400, "a list", ask(body=b"[]")),
    ("3801", 400, "a name twice", ask(body=b'{"model":"demo","model":"demo"}')),
    ("3801", 400, "too many names", ask(body={"models": ["demo"] * 70})),
    ("3801", 413, "too large", ask(World(ai={"max_body_bytes": 64}), body={"pad": "x" * 100})),
    ("3801", 415, "unknown coding", ask(headers={"content-encoding": "rot13"})),
    ("3802", 400, "no key", ask(dialects=KEYLESS)),
    ("3803", 422, "strategies fail", ask(World(config={"model_selection": {"strategy": ["ai.models[99]"]}}))),
    ("3803", 422, "not in the key's configuration", managed(limited_access)),
    ("3804", 422, "unknown model", ask(body={"model": "nothing-like-it"})),
    ("3805", 422, "nothing selected", ask(World(config={"model_selection": {"strategy": ["ai.models.only([])"]}}))),
    (
        "3806", 422, "a strategy gives a number",
        ask(World(
            before="  - type: set-vars\n    config: {vars: [{wrong: 5}]}",
            config={"model_selection": {"strategy": ["vars.wrong"]}},
        )),
    ),
    ("3807", 503, "all failed", ask(World(keys=["500", "502"]))),
    ("3808", 422, "no key selected", ask(World(config=NO_KEY_CHOSEN))),
    ("3810", 504, "no answer in time", ask(World(keys=["silent"], config=TIMES))),
    ("3811", 413, "too long", ask(World(config={"max_input_tokens": 3}))),
    ("3812", 503, "too many attempts", ask(World(keys=["500", "500", "500"], ai={"max_attempts": 2}))),
    ("3813", 422, "another format", wrong_surface),
    ("3814", 404, "another path", unknown_path),
    ("3814", 405, "another method", ask(method="PUT")),
    ("4026", 403, "the budget is used up", managed(spent_budget)),
    ("27007", 401, "unknown key", ask(headers=bearer("ng-0123456789abcdef-g1-" + "0" * 32))),
    ("27007", 401, "two keys", ask(headers={**bearer("ng-a-g1-" + "0" * 32), "x-api-key": "ng-b-g1-" + "1" * 32})),
    ("27007", 401, "another kind of token", ask(World(required=True), headers=bearer("sk-0123456789"))),
    ("27008", 403, "another endpoint's key", managed(other_endpoint)),
    ("27009", 500, "the key table fails", managed(broken_table)),
    ("27201", 401, "no key where one is required", ask(World(required=True))),
    ("27204", 404, "another path in shared mode", shared_mode),
    ("27205", 426, "a WebSocket", ask(headers={"connection": "upgrade", "upgrade": "websocket"})),
    ("27237", 508, "too many hops", ask(headers={"x-ai-gateway-hop": "elsewhere;5"})),
    ("2238", 500, "a field fails", ask(World(config={"headers": {"x-a": "${1 / (size(req.path) - size(req.path))}"}}))),
]  # fmt: skip


def failing(fault: str, kind: str, status: int, **config: Any) -> tuple[Produce, str, int]:
    return ask(World(keys=[fault, "500"], config=config)), kind, status


async def empty_rule(gateway: ManagedGateway, path: str) -> Reply:
    provider = "openai" if path == CHAT_PATH else "anthropic"
    rule = {"provider": provider, "steps": [{"type": "ngrok"}]}
    made = await gateway.made("/access-key-configurations", {"name": "c", "router": {"rules": [rule]}})
    _, token = await gateway.key(accessKeyConfigurationId=made["id"])
    return await reply(gateway, path, replace(KEYLESS[path], headers=bearer(token)))


async def nothing_attached(gateway: ManagedGateway, path: str) -> Reply:
    _, token = await gateway.key()
    return await reply(gateway, path, replace(KEYLESS_FIRST[path], headers=bearer(token)))


#: (code, scenario, kind, upstream status): the first of the attempts that the error answer tells of
ATTEMPTS: list[tuple[str, Produce, str, int]] = [
    ("3802", ask(World(keys=["500"]), dialects=KEYLESS_FIRST), "no_key", 0),
    ("3808", ask(
        World(entries=[OPEN], config=NO_KEY_CHOSEN),
        body={"models": ["open:500"]},
    ), "key_selection", 0),
    ("3811", ask(World(config={"max_input_tokens": 3})), "input_too_large", 0),
    ("3817", ask(World(keys=["500"]), dialects=KEYLESS_FIRST), "no_key", 0),
    ("3819", managed(nothing_attached, keys=["500"]), "no_key", 0),
    ("27202", managed(empty_rule), "no_key", 0),
    ("27207", *failing("silent", "timeout", 0, **TIMES)),
    ("27210", *failing("400", "http", 400)),
    ("27211", *failing("401", "http", 401)),
    ("27212", *failing("403", "http", 403)),
    ("27213", *failing("404", "http", 404)),
    ("27214", *failing("408", "http", 408)),
    ("27215", *failing("413", "http", 413)),
    ("27216", *failing("422", "http", 422)),
    ("27217", *failing("429", "http", 429)),
    ("27218", *failing("500", "http", 500)),
    ("27219", *failing("502", "http", 502)),
    ("27220", *failing("503", "http", 503)),
    ("27221", *failing("504", "http", 504)),
    ("27222", *failing("418", "http", 418)),
    ("27223", *failing("reset", "connection", 0)),
    ("27234", ask(World(keys=["json-for-stream", "500"]), body={"stream": True}), "stream_error", 200),
]  # fmt: skip

#: AG-302
TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    403: ("permission_error", "permission_error"),
    404: ("invalid_request_error", "not_found_error"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_error"),
    500: ("server_error", "api_error"),
    502: ("server_error", "api_error"),
    503: ("server_error", "overloaded_error"),
    504: ("server_error", "api_error"),
    **dict.fromkeys((405, 409, 415, 422, 426, 508), ("invalid_request_error", "invalid_request_error")),
}
#: AG-82
NOT_ALLOWED = ("model_not_allowed", "provider_not_allowed")
ABOUT_THE_MODEL = frozenset(("3803", "3804", "3805", "3806", "3813"))


def check_shape(path: str, found: Reply) -> None:
    """AG-179, AG-300 to AG-302."""
    error, code = found.error, found.error["code"]
    anthropic = path == MESSAGES_PATH
    assert found.headers["content-type"] == "application/json"
    assert found.headers["ngrok-error-code"] == code
    assert error["message"].endswith(f" [{code}]")
    assert error["type"] in (TYPES[found.status][anthropic], *NOT_ALLOWED)
    request_id = found.headers["x-gateway-request-id"]
    if anthropic:
        assert found.body["type"] == "error"
        assert found.body["request_id"] == request_id
        assert set(found.body) == {"type", "error", "request_id"}
    else:
        assert set(found.body) == {"error"}
        assert error["param"] == ("model" if code.removeprefix("ERR_NGROK_") in ABOUT_THE_MODEL else None)
    if found.status < 500 and found.status not in (408, 429):
        assert found.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", PATHS, ids=["chat", "messages"])
@pytest.mark.parametrize(
    ("code", "status", "produce"),
    [(code, status, produce) for code, status, _, produce in FINAL],
    ids=[f"{code}-{status}-{name}" for code, status, name, _ in FINAL],
)
async def test_ag_12_2_final_errors(path: str, code: str, status: int, produce: Produce) -> None:
    found = await produce(path)
    assert (found.status, found.error["code"]) == (status, f"ERR_NGROK_{code}"), found.body
    check_shape(path, found)


@pytest.mark.parametrize("path", PATHS, ids=["chat", "messages"])
@pytest.mark.parametrize(
    ("code", "produce", "kind", "status"), ATTEMPTS, ids=[f"{code}-{kind}" for code, _, kind, _ in ATTEMPTS]
)
async def test_ag_180_codes_of_attempts(path: str, code: str, produce: Produce, kind: str, status: int) -> None:
    """``details.attempts`` names each attempt, and each candidate that failed without one."""
    found = await produce(path)
    first = found.attempts[0]
    codes = {first["code"], first.get("detail", {}).get("code")}
    assert f"ERR_NGROK_{code}" in codes, found.body
    assert (first["kind"], first["status_code"]) == (kind, status)
    assert set(first) - {"detail"} == {
        "provider", "model", "status_code", "kind", "code", "message", "latency_ms",
    }  # fmt: skip
    assert "demo-key" not in json.dumps(found.body)
    check_shape(path, found)


def test_no_row_is_missing() -> None:
    """Each code of AG 12.2 that is produced has its row here, and each use of it a scenario."""
    ours = {
        code.removeprefix("ERR_NGROK_")
        for code in errors.TABLE
        if code.startswith(("ERR_NGROK_38", "ERR_NGROK_27", "ERR_NGROK_4026", "ERR_NGROK_2238"))
    }
    assert ours == set(USES)
    assert {code for code, *_ in FINAL} == {code for code, uses in USES.items() if "final" in uses}
    beside = {BESIDE.get(code, code) for code, uses in USES.items() if "attempt" in uses}
    assert {code for code, *_ in ATTEMPTS} == beside


def test_statuses_are_those_of_the_table() -> None:
    """AG 12.2, column *Status*; 3801 and 3814 have a second one, 3807 takes that of AG-176."""
    others = {("3801", 413), ("3801", 415), ("3814", 405)}
    listed = {(code, status) for code, status, *_ in FINAL} - others
    assert listed == {(code, errors.TABLE[f"ERR_NGROK_{code}"].status) for code, *_ in FINAL}


@dataclass(frozen=True)
class Rejected:
    """One row of AG-81."""

    name: str
    status: int
    code: str
    names: Sequence[str]
    type: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    entry: Mapping[str, Any] = field(default_factory=dict)
    disabled: bool = False


REJECTED = [
    Rejected("unknown", 422, "3804", ["nothing-like-it"]),
    Rejected("unknown, several", 422, "3804", ["nothing-like-it", "neither-this"]),
    Rejected("provider disabled", 422, "3804", ["demo:x"], entry={"disabled": True}),
    Rejected("model disabled", 422, "3804", ["demo"], entry={"models": [{"id": "demo", "disabled": True}]}),
    Rejected(
        "provider not allowed", 422, "3804", ["gpt-4o"], "provider_not_allowed",
        config={"only_allow_configured_providers": True},
    ),
    Rejected(
        "model not allowed", 422, "3804", ["demo:other"], "model_not_allowed",
        config={"only_allow_configured_models": True},
    ),
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=["chat", "messages"])
@pytest.mark.parametrize("row", REJECTED, ids=[row.name for row in REJECTED])
async def test_ag_81_every_name_was_rejected(path: str, row: Rejected) -> None:
    """The third row; its first two are 3803 "not in the key's configuration" and 3813 above, and mixed ones below."""
    world = World(config=row.config, entry=row.entry)
    found = await world(path, Ask({"model": row.names[0], "models": list(row.names[1:])}))
    assert (found.status, found.error["code"]) == (row.status, f"ERR_NGROK_{row.code}"), found.body
    check_shape(path, found)
    assert found.error["type"] == (row.type or "invalid_request_error")  # AG-82


@pytest.mark.parametrize("path", PATHS, ids=["chat", "messages"])
async def test_ag_81_the_first_row_that_applies(path: str) -> None:
    """Lack of a surface for one name and an unknown other: not *all* for lack of a surface."""
    world = World(entry=ANTHROPIC_ONLY if path == CHAT_PATH else OPENAI_ONLY)
    both = await world(path, Ask({"models": ["nothing-like-it"]}))
    assert both.error["code"] == "ERR_NGROK_3804"
    only = await world(path, Ask())
    assert only.error["code"] == "ERR_NGROK_3813"

    async def scenario(gateway: ManagedGateway, where: str) -> Reply:
        made = await gateway.made(
            "/access-key-configurations", {"name": "c", "access": {"models": {"allow": ["demo:other"]}}}
        )
        _, token = await gateway.key(accessKeyConfigurationId=made["id"])
        return await reply(gateway, where, Ask({"models": ["nothing-like-it"]}, bearer(token)))

    assert (await managed(scenario)(path)).error["code"] == "ERR_NGROK_3803"


#: AG-176: (row, keys, status, code, what else); the first that matches decides
EXHAUSTED: list[tuple[str, Produce, int, str]] = [
    ("1 total_timeout expired", ask(World(
        keys=["silent", "500"], config={"total_timeout": "200ms", "per_request_timeout": "10s"},
    )), 504, "3810"),
    ("1 before 5: the time was over", ask(World(
        keys=["429", "silent"], config={"total_timeout": "200ms", "per_request_timeout": "10s"},
    )), 504, "3810"),
    ("2 no attempt: no key", ask(dialects=KEYLESS), 400, "3802"),
    ("2 no attempt: key selection", ask(
        World(config=NO_KEY_CHOSEN)
    ), 422, "3808"),
    ("2 no attempt: too long", ask(World(config={"max_input_tokens": 3})), 413, "3811"),
    ("3 every attempt timed out", ask(World(keys=["silent", "silent"], config=TIMES)), 504, "3810"),
    ("4 one attempt, no connection", ask(World(keys=["reset"])), 502, "3800"),
    ("8 two attempts, no connection", ask(World(keys=["reset", "reset"])), 503, "3807"),
    ("5 every attempt got 429", ask(World(keys=["429", "429"])), 429, "3807"),
    ("5 before the limit of attempts", ask(World(keys=["429", "429", "429"], ai={"max_attempts": 2})), 429, "3807"),
    *(
        (f"6 every attempt got {status}", ask(World(keys=[str(status)] * 2)), status, "3807")
        for status in (400, 404, 405, 409, 413, 415, 422)
    ),
    ("6 that of the last", ask(World(keys=["400", "404"])), 404, "3807"),
    ("7 passthrough, 401", ask(World(keys=[], entry={"api_keys": []}), headers=bearer("demo-key-401")), 401, "3807"),
    ("7 passthrough, 403", ask(World(keys=[], entry={"api_keys": []}), headers=bearer("demo-key-403")), 403, "3807"),
    ("8 the operator's keys, 401", ask(World(keys=["401", "401"])), 503, "3807"),
    ("8 anything else", ask(World(keys=["429", "500"])), 503, "3807"),
    ("AG-156 the limit of attempts", ask(World(keys=["500"] * 3, ai={"max_attempts": 2})), 503, "3812"),
    ("AG-177 off, 429", ask(World(keys=["429", "429"], ai={"uniform_upstream_status": False})), 503, "3807"),
    ("AG-177 off, 400", ask(World(keys=["400"], ai={"uniform_upstream_status": False})), 503, "3807"),
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=["chat", "messages"])
@pytest.mark.parametrize(
    ("produce", "status", "code"), [row[1:] for row in EXHAUSTED], ids=[row[0] for row in EXHAUSTED]
)
async def test_ag_176_candidates_are_exhausted(path: str, produce: Produce, status: int, code: str) -> None:
    found = await produce(path)
    assert (found.status, found.error["code"]) == (status, f"ERR_NGROK_{code}"), found.body
    check_shape(path, found)
    # P35: after more than one attempt SDKs shall not multiply them
    if found.status in (502, 503, 504) and len(found.attempts) > 1 and "retry-after" not in found.headers:
        assert found.headers["x-should-retry"] == "false"


def test_every_row_of_ag_176_is_there() -> None:
    assert {row[0][0] for row in EXHAUSTED} >= set("12345678")


@pytest.mark.parametrize("path", PATHS, ids=["chat", "messages"])
@pytest.mark.parametrize(
    ("faults", "seconds"), [(["429-retry-after-30", "429-retry-after-7"], "7"), (["503-retry-after-9", "500"], "9")]
)
async def test_ag_178_the_smallest_wait_that_was_reported(path: str, faults: list[str], seconds: str) -> None:
    found = await World(keys=faults)(path, Ask())
    assert found.headers["retry-after"] == seconds
    assert found.headers["retry-after-ms"] == f"{seconds}000"
    assert found.headers.get("x-should-retry") != "false"


async def test_wrong_paths_name_the_right_ones() -> None:
    """AG-69."""
    async with RunningGateway(World().settings("http://127.0.0.1:9")) as gateway, gateway.session as client:
        async with client.put(CHAT_PATH, data=b"{}") as answer:
            assert answer.headers["allow"] == "POST"
        async with client.post("/v1/nowhere", data=b"{}") as answer:
            assert CHAT_PATH in (await answer.json())["error"]["message"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/v1/responses")
    assert refused.value.status == 426
