"""What schemathesis checks beside its own rules; loaded by it through SCHEMATHESIS_HOOKS (CP-141)."""

from __future__ import annotations

from typing import Any, Final

import schemathesis
from schemathesis import GenerationMode

#: codes that refuse input which fits the documented schema: CP-141, and of section 6 what its examples stand for
REFUSALS: Final = frozenset(
    {
        "27501", "27502", "27503", "27507", "27508",  # provider keys
        "27602", "27605", "27606", "27607",  # required + "", routers, values
        "27611", "27612", "27615",  # references, credits, uses
        "27511", "27701", "27702", "27703", "27704", "27705", "27706", "27707", "27708", "27709", "27710", "27711",
        "27712", "27714", "27715", "27716", "27717", "27718",  # custom providers
        "215", "241", "244",  # cursors, times, limits
    }
)  # fmt: skip
_PREFIX: Final = "ERR_NGROK_"


@schemathesis.check
def refusals_are_the_listed_ones(ctx: Any, response: Any, case: Any) -> None:
    """Input that fits the schema is accepted, or refused for a reason that no schema can state."""
    meta = case.meta
    if meta is None or meta.generation.mode != GenerationMode.POSITIVE or response.status_code < 400:
        return
    if response.status_code in (401, 405) or case.method.upper() == "HEAD":
        return
    code = str(response.json().get("errorCode", "")).removeprefix(_PREFIX)
    assert code in REFUSALS, f"refused with {code}"


@schemathesis.check
def answers_are_not_cached(ctx: Any, response: Any, case: Any) -> None:
    """CP-5, on whatever is answered."""
    assert response.headers.get("cache-control") == ["no-store"], response.headers
    assert response.headers.get("x-operation-id", [""])[0].startswith("op_"), response.headers
