"""Usage (CP-50 to CP-52, AG-285)."""

from __future__ import annotations

import pytest

from gateway.auth.usage import UsageEvent
from gateway.control.resources import usage

DAY_MS = 86_400_000
START = "1970-01-01T00:00:00Z"


def event(time_ms, **more):
    values = {
        "request_id": "req_1", "access_key_id": "aigk_1", "provider": "openai", "provider_name": "OpenAI",
        "model": "gpt-4o", "model_name": "GPT-4o", "attempt": 1, "is_final": True, "status": 200, "timed_out": False,
        "is_error": False, "is_streaming": True, "key_source": "user", "cost": 1050, "input_tokens": 5,
    }  # fmt: skip
    return UsageEvent(event_time_ms=time_ms, **{**values, **more})


async def record(api, *events):
    for found in events:
        api.plane.usage.put(found)
    await api.upkeep.flush()


async def test_cp_50_an_event_has_every_member(api):
    await record(api, event(1_500, provider_key_id="aigpk_1", provider_key_name="sk-***", estimated=True), event(2_000))
    second, first = (await api.get(f"/usage?startTime={START}")).json["aiGatewayUsage"]
    assert usage.EVENT.parse(first) == first
    assert first["id"].startswith("aigu_")
    assert (first["eventTime"], first["totalCost"]) == ("1970-01-01T00:00:01.500Z", "0.01050")
    assert (first["isFinalAttempt"], first["isStreaming"], first["timedOut"]) == (True, True, False)
    assert (first["providerKeyId"], first["providerKeyDisplayName"]) == ("aigpk_1", "sk-***")
    assert not {"providerKeyId", "providerKeyDisplayName"} & second.keys()


async def test_cp_50_pages_are_newest_first_within_a_fixed_window(api):
    await record(api, *(event(number // 3) for number in range(25)))
    page = (await api.get(f"/usage?startTime={START}&limit=10")).json
    seen = [found["id"] for found in page["aiGatewayUsage"]]
    await record(api, event(api.plane.now_ms() + 60_000))
    while page["nextPageUri"] is not None:
        page = (await api.get(page["nextPageUri"].removeprefix(api.base))).json
        seen += [found["id"] for found in page["aiGatewayUsage"]]
    assert len(seen) == len(set(seen)) == 25
    assert seen == sorted(seen, reverse=True)


async def test_cp_50_filters(api):
    await record(api, event(1), event(2, is_final=False), event(3, access_key_id=""))

    async def count(query):
        return len((await api.get(f"/usage?startTime={START}&{query}")).json["aiGatewayUsage"])

    assert await count("") == 2
    assert await count("includeRetries=true") == 3
    assert await count("accessKeyId=aigk_1") == 1
    assert await count("endTime=1970-01-01T00:00:00.002Z&includeRetries=true") == 2, "both ends included"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "241"),
        ("startTime=yesterday", "241"),
        ("startTime=1970-01-01", "241"),
        (f"startTime={START}&endTime=1969-12-31T23:59:59Z", "241"),
        (f"startTime={START}&includeRetries=1", "215"),
        (f"startTime={START}&cursor=%%%", "215"),
        (f"startTime={START}&cursor=AAAA", "215"),
        (f"startTime={START}&cursor=%C3%A9", "215"),
        (f"startTime={START}&limit=0", "244"),
    ],
)
async def test_cp_51_refusals(api, query, code):
    assert (await api.get(f"/usage?{query}")).refusal == (400, code)


async def test_cp_52_the_overview_by_day_and_group(api):
    await record(
        api,
        event(DAY_MS + 1, cost=1),
        event(DAY_MS + 2, cost=2, is_final=False, is_error=True),
        event(DAY_MS + 3, cost=4, is_error=True, provider="anthropic", access_key_id=""),
        event(3 * DAY_MS, cost=8),
    )
    found = (await api.get(f"/usage/overview?startTime={START}")).json
    assert usage.OVERVIEW.parse(found) == found
    assert [(bucket["bucketStart"], *list(bucket.values())[1:]) for bucket in found["buckets"]] == [
        ("1970-01-02T00:00:00.000Z", "anthropic", "0.00004", 1, 1),
        ("1970-01-02T00:00:00.000Z", "openai", "0.00003", 1, 0),
        ("1970-01-04T00:00:00.000Z", "openai", "0.00008", 1, 0),
    ]
    assert found["totals"] == {"cost": "0.00015", "requests": 3, "errors": 1}
    by_key = (await api.get("/usage/overview?startTime=1970-01-03T00:00:00Z&groupBy=accessKey")).json
    assert [bucket["groupKey"] for bucket in by_key["buckets"]] == ["aigk_1"]
    assert (await api.get(f"/usage/overview?startTime={START}&groupBy=model")).refusal == (400, "215")
    assert (await api.get("/usage/overview")).refusal == (400, "241")
