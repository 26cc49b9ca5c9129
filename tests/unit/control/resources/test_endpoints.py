"""Endpoints (CP-75) and the process's own paths (SV-23; more in test_server)."""

from __future__ import annotations

from gateway.control.resources import endpoints, process


async def test_cp_75_endpoints_come_from_the_configuration(api):
    listed = (await api.get("/endpoints")).json
    assert [found["id"] for found in listed["endpoints"]] == ["ep_two", "ep_plain", "ep_one"]
    found = (await api.get("/endpoints/ep_two")).json
    assert endpoints.READ.parse(found) == found == listed["endpoints"][0]
    assert (found["type"], found["gateway_keys"], found["uri"]) == ("cloud", "required", f"{api.base}/endpoints/ep_two")
    assert (await api.get("/endpoints/ep_no")).refusal == (404, "27002")
    assert (await api.post("/endpoints", {})).refusal == (405, "27614")


async def test_cp_15_endpoints_have_pages_too(api):
    first = (await api.get("/endpoints?limit=2")).json
    rest = (await api.get(first["next_page_uri"].removeprefix(api.base))).json
    assert [found["id"] for found in rest["endpoints"]] == ["ep_one"]
    assert rest["next_page_uri"] is None


async def test_cp_59_a_reload_answers_what_its_shape_says(api):
    answer = (await api.post("/ext/reload")).json
    assert process.RELOADED.parse(answer) == answer
