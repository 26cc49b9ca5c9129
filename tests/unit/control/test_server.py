"""The listener: who gets in, what is refused before a handler runs, how refusals look (CP-1 to CP-9, CP-16, CP-20)."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import pytest
from yarl import URL

from gateway.auth.tokens import ADMIN_MARK, GATEWAY_MARK, new_token
from gateway.control.plane import Reloaded
from gateway.control.routes import ROUTES
from gateway.control.server import AdminServer, UnsafeListenError
from gateway.settings.address import Listen
from gateway.settings.model import AdminSettings
from gateway.store.db import StoreUnavailable
from tests.control_plane import running

NOBODY = {"authorization": ""}


def test_cp_1_a_public_plaintext_listener_needs_an_explicit_word(tmp_path):
    with pytest.raises(UnsafeListenError, match=r"admin\.tls"):
        AdminServer(None, AdminSettings(listen=Listen("192.0.2.1", 4041)))  # type: ignore[arg-type]


async def test_cp_2_every_route_wants_a_key_but_health(api):
    open_routes = set()
    for route in ROUTES:
        path = route.path.replace("{id}", "x")
        answer = await api.call(route.method, path, headers=NOBODY)
        if answer.status == 401:
            assert answer.code == "200"
            assert answer.headers["www-authenticate"] == "Bearer"
        else:
            open_routes.add(route.path)
    assert open_routes == {"/healthz", "/readyz"}
    assert (await api.get("/no/such/path", headers=NOBODY)).status == 401


@pytest.mark.parametrize(
    "path", ["/healthz/", "//healthz", "/healthz/x", "/./healthz", "/healthz%2f", "/HEALTHZ", "/vaults/../healthz"]
)
async def test_p20_no_spelling_of_a_path_slips_by(api, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.listen.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("", "200"),
        ("Basic dXNlcjpwYXNz", "201"),
        ("Bearer", "201"),
        ("Bearer ", "201"),
        ("Bearer sk-proj-1234", "202"),
        # the names of tests have to be the same in every process, so the tokens are not
        pytest.param(f"Bearer {new_token(GATEWAY_MARK).text}", "202", id="a gateway key"),
        pytest.param(f"Bearer {new_token(ADMIN_MARK).text}", "203", id="an unknown admin key"),
    ],
)
async def test_cp_2_each_failure_has_its_code_in_both_styles_and_repeats_no_credential(api, authorization, code):
    for path in ("/access-keys", "/vaults"):
        answer = await api.get(path, headers={"authorization": authorization})
        assert answer.refusal == (401, code)
        secret = authorization.rpartition(" ")[2]
        assert len(secret) < 8 or secret.encode() not in answer.text


async def test_cp_2_a_deleted_admin_key_is_unknown_at_once(api):
    made = await api.created("/api-keys", {})
    headers = {"authorization": f"bearer {made['token']}"}
    assert (await api.get("/vaults", headers=headers)).status == 200
    assert (await api.delete(f"/api-keys/{made['id']}", headers=headers)).status == 204, "a key may delete itself"
    assert (await api.get("/vaults", headers=headers)).refusal == (401, "203")


async def test_cp_3_failures_are_throttled_and_a_valid_key_is_not(tmp_path):
    async with running(tmp_path, settings={"auth_failures_per_minute": 10}) as api:
        answers = [await api.get("/vaults", headers=NOBODY) for _ in range(12)]
        assert [answer.status for answer in answers] == [401] * 10 + [429] * 2
        assert answers[-1].code == "226"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 61
        assert (await api.get("/vaults")).status == 200


async def test_cp_4_the_host_must_be_this_listeners(tmp_path):
    async with running(tmp_path, settings={"allowed_hosts": ("gateway.example",)}) as api:
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "10.1.2.3",
            "localhost.evil.example",
            "[2001:db8::1]:4041",
        ):
            assert (await api.get("/vaults", headers={"host": host})).status == 421, host
            assert (await api.get("/healthz", headers={"host": host})).status == 421, host
        for host in ("localhost:1", "127.0.0.1", "127.9.9.9:4041", "[::1]:4041", "a.localhost", "Gateway.Example:4041"):
            assert (await api.get("/vaults", headers={"host": host})).status == 200, host


async def test_cp_4_cross_origin_headers_go_to_listed_origins_only(tmp_path):
    async with running(tmp_path, settings={"cors_origins": ("https://console.example",)}) as api:
        ask = {"origin": "https://console.example", "access-control-request-method": "POST", **NOBODY}
        answer = await api.call("OPTIONS", "/vaults", headers=ask)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "https://console.example")
        assert "access-control-allow-origin" in (await api.get("/vaults", headers={"origin": ask["origin"]})).headers
        other = {**ask, "origin": "https://evil.example"}
        answer = await api.call("OPTIONS", "/vaults", headers=other)
        assert answer.status == 401
        assert not any(name.startswith("access-control") for name in answer.headers)


async def test_cp_5_every_answer_is_uncached_and_names_its_operation(api):
    seen = set()
    for method, path, headers in (("GET", "/vaults", {}), ("GET", "/nope", {}), ("POST", "/vaults", NOBODY)):
        answer = await api.call(method, path, headers=headers)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-operation-id"].startswith("op_")
        assert "Python" not in answer.headers["server"]
        seen.add(answer.headers["x-operation-id"])
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("send", "refusal"),
    [
        ({"data": b"{}"}, (415, "210")),
        ({"data": b"{}", "headers": {"content-type": "text/json"}}, (415, "210")),
        ({"data": b"{}", "headers": {"content-type": "application/json", "content-encoding": "gzip"}}, (415, "210")),
        ({"data": b"{", "headers": {"content-type": "application/json"}}, (400, "213")),
        ({"data": b"[]", "headers": {"content-type": "application/json"}}, (400, "213")),
        ({"data": b"", "headers": {"content-type": "application/json"}}, (400, "213")),
        ({"data": b'{"name": "\\ud800"}', "headers": {"content-type": "application/json"}}, (400, "213")),
        ({"data": b'{"a": NaN}', "headers": {"content-type": "application/json"}}, (400, "213")),
    ],
)
async def test_cp_6_bodies_that_are_no_json_object(api, send, refusal):
    assert (await api.post("/vaults", **send)).refusal == refusal


async def test_cp_6_a_body_without_content_type_and_a_chunked_one_that_grows(api):
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.listen.port)
    head = f"Host: localhost\r\nAuthorization: Bearer {api.token}\r\nConnection: close\r\n"
    writer.write(f"POST /vaults HTTP/1.1\r\n{head}Content-Length: 2\r\n\r\n{{}}".encode())
    assert b"ERR_NGROK_216" in await reader.read()
    writer.close()

    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.listen.port)
    typed = head + "Content-Type: application/json\r\n"
    writer.write(f"POST /vaults HTTP/1.1\r\n{typed}Content-Length: 1048577\r\n\r\n".encode())
    assert b"ERR_NGROK_212" in await reader.readuntil(b"}}"), "refused before it is sent"
    writer.write(b" " * 1_048_577)
    assert await reader.read() == b""
    writer.close()

    async def endless():
        for _ in range(40):
            yield b" " * 65_536

    answer = await api.post("/vaults", data=endless(), headers={"content-type": "application/json"})
    assert answer.refusal == (413, "212")


async def test_cp_6_bodies_of_get_and_delete_are_ignored(api):
    made = await api.created("/vaults", {"name": "v"})
    assert (await api.get("/vaults", data=b"not json")).status == 200
    assert (await api.delete(f"/vaults/{made['id']}", data=b"not json")).status == 204


async def test_cp_7_unknown_members_are_named_and_come_before_other_faults(api):
    answer = await api.post("/access-keys", {"name": "x" * 300, "colour": 1, "size": 2})
    assert answer.refusal == (400, "214")
    assert "colour, size" in answer.json["msg"]
    assert answer.json["details"]["field"] == "colour"
    assert (await api.post("/access-keys", {"name": None})).refusal == (400, "215")


@pytest.mark.parametrize(
    ("query", "code"),
    [("x=1", "231"), ("beforeId=a&beforeId=b", "232"), ("limit=0", "244"), ("limit=101", "244"), ("limit=", "244"),
     ("limit=1.5", "244"), ("limit=-1", "244"), ("before_id=a", "231"), ("limit=%D9%A1", "244")],
)  # fmt: skip
async def test_cp_8_queries(api, query, code):
    assert (await api.get(f"/access-keys?{query}")).refusal == (400, code)


async def test_cp_9_the_version_header_is_optional_in_style_b_and_ignored_in_a(api):
    for version, status in (("2", 200), ("1", 400), ("", 400)):
        assert (await api.get("/vaults", headers={"ngrok-version": version})).status == status
        assert (await api.get("/access-keys", headers={"ngrok-version": version})).status == 200


async def test_cp_13_uris_begin_with_what_the_client_used_or_the_configured_url(tmp_path, api):
    made = await api.created("/vaults", {"name": "v"})
    assert made["uri"] == f"{api.base}/vaults/{made['id']}"
    async with running(tmp_path / "other", settings={"public_url": "https://admin.example/"}) as other:
        made = await other.created("/access-keys", {})
        assert made["uri"] == f"https://admin.example/access-keys/{made['id']}"


async def test_cp_16_undefined_methods_name_the_defined_ones(api):
    answer = await api.call("PUT", "/access-keys/x")
    assert (answer.refusal, answer.headers["allow"]) == ((405, "27614"), "DELETE, GET, HEAD, PATCH")
    answer = await api.call("HEAD", "/vaults")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    for method, path in (("POST", "/usage"), ("HEAD", "/usage"), ("DELETE", "/gateway-config"), ("TRACE", "/vaults")):
        assert (await api.call(method, path)).status == 405
    assert (await api.get("/")).refusal == (404, "27611")


async def test_cp_14_a_path_with_a_line_end_is_answered_like_any_other(api):
    assert (await api.get(URL(f"{api.base}/vaults/%0A", encoded=True))).refusal == (404, "24006")
    answer = await api.get(URL(f"{api.base}/vaults/%0A", encoded=True), headers=NOBODY)
    assert answer.refusal == (401, "200")


async def test_cp_16_head_has_the_headers_of_get_and_no_body(api):
    made = await api.created("/access-keys", {"name": "k"})
    for path in (f"/access-keys/{made['id']}", "/gateway-config"):
        get, head = await api.get(path), await api.call("HEAD", path)
        assert (head.status, head.text) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        assert head.headers["content-length"] == get.headers["content-length"]
    assert (await api.call("HEAD", "/access-keys/aigk_no")).status == 404


async def test_cp_20_error_bodies_of_both_styles(api):
    a, b = await api.get("/access-keys/no"), await api.get("/vaults/no")
    assert a.json == {
        "errorCode": "ERR_NGROK_27611", "statusCode": 404, "msg": "Access key not found.",
        "details": {"operationId": a.headers["x-operation-id"]},
    }  # fmt: skip
    assert b.json == {
        "error_code": "ERR_NGROK_24006", "status_code": 404, "msg": "Vault not found.",
        "details": {"operation_id": b.headers["x-operation-id"]},
    }  # fmt: skip


async def test_cp_112_a_bug_shows_no_trace_and_is_logged_with_its_operation(api, caplog):
    def broken():
        raise RuntimeError("secret detail")

    api.data_plane.endpoints = broken
    with caplog.at_level(logging.ERROR):
        answer = await api.get("/endpoints")
    assert answer.status == 500
    assert answer.json["error_code"] == "ERR_AIGW_INTERNAL"
    assert b"secret detail" not in answer.text
    assert answer.headers["x-operation-id"] in caplog.text


async def test_p22_a_store_in_trouble_is_503_not_401_and_health_stays(api, monkeypatch):
    async def refuse(*args, **options):
        raise StoreUnavailable("full")

    monkeypatch.setattr(type(api.plane.store), "write", refuse)
    answer = await api.post("/access-keys", {})
    assert (answer.status, answer.json["errorCode"], answer.headers["retry-after"]) == (503, "ERR_AIGW_STORE", "1")
    assert (await api.get("/access-keys")).status == 200
    assert (await api.get("/access-keys", headers=NOBODY)).status == 401, "although the failure cannot be recorded"
    assert (await api.get("/healthz")).status == 200


async def test_cp_115_failed_authentications_are_events(api):
    await api.get("/vaults", headers={"authorization": "Bearer sk-planted-canary-0123456789"})
    event = api.data_plane.events[-1]
    assert event["event_type"] == "admin_authentication_failed.v0"
    assert (event["principal"], event["source_ip"]) == ("", "127.0.0.1")
    assert "canary" not in str(event)


async def test_cp_67_an_admin_keys_use_is_seen_at_once(api):
    keys = (await api.get("/api-keys")).json["aiGatewayApiKeys"]
    assert keys[0]["lastUsed"] is not None


async def test_cp_1_the_listener_speaks_on_a_unix_socket(api, tmp_path):
    path = str(tmp_path / "admin.sock")
    server = AdminServer(api.plane, AdminSettings(listen=Listen(path=path)))
    await server.start()
    connector = aiohttp.UnixConnector(path)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            headers = {"authorization": f"Bearer {api.token}"}
            async with session.get("http://localhost/vaults", headers=headers) as answer:
                assert answer.status == 200
    finally:
        await server.stop()


async def test_sv_20_a_refused_reload_lists_its_problems(api):
    assert (await api.post("/ext/reload")).json == {"status": "reloaded", "warnings": []}
    problem = {
        "file": "p.yaml",
        "line": 3,
        "column": 1,
        "path": "",
        "code": "ERR_NGROK_2236",
        "severity": "error",
        "message": "m",
    }
    api.data_plane.reloaded = Reloaded(ok=False, errors=(problem,))
    answer = await api.post("/ext/reload")
    assert (answer.status, answer.json["details"]["errors"]) == (400, [problem])


async def test_sv_23_readiness_tells_degraded_from_not_ready(api, monkeypatch):
    ready = {"status": "ready", "config": "current", "store": "ok", "usage": "ok"}
    assert (await api.get("/readyz", headers=NOBODY)).json == ready
    monkeypatch.setattr(type(api.plane.store), "trouble", property(lambda store: "full"))
    answer = await api.get("/readyz", headers=NOBODY)
    assert (answer.status, answer.json["status"], answer.json["store"]) == (200, "degraded", "full")
    api.data_plane.ready = False
    assert (await api.get("/readyz", headers=NOBODY)).status == 503


async def test_ag_331_metrics_are_public_only_on_request(tmp_path):
    async with running(tmp_path, settings={"public_metrics": True}) as api:
        answer = await api.get("/metrics", headers=NOBODY)
        assert (answer.status, answer.text) == (200, b"aigw_inflight 0\n")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
