"""The server itself: health, readiness, metrics, reload (CP-59, SV-20, SV-23, AG-331); what it does right now."""

from __future__ import annotations

from typing import Final

from gateway.control.plane import ControlPlane
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import Anything, ListOf, Member, Object, Words
from gateway.control.texts import ANY

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HEALTH: Final = Object(Member("status", ANY, required=True), title="Health")
RELOADED: Final = Object(
    Member("status", Words(("reloaded",)), required=True), Member("warnings", ListOf(Anything())), title="Reloaded"
)


async def healthz(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, {"status": "ok"})


async def readyz(plane: ControlPlane, call: Call) -> Reply:
    """Degraded is still ready: traffic does not need the store (SV-24)."""
    ready, parts = plane.surroundings.readiness()
    trouble = plane.store.trouble
    usage = "waiting" if trouble is not None and len(plane.usage) else "ok"
    if plane.usage.losing:
        usage = "dropping"
    status = "ready" if ready else "not ready"
    if ready and (trouble is not None or usage != "ok"):
        status = "degraded"
    return Reply(200 if ready else 503, {"status": status, **parts, "store": trouble or "ok", "usage": usage})


async def metrics(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, await plane.surroundings.metrics(), METRICS_TYPE)


async def live(plane: ControlPlane, call: Call) -> Reply:
    """What ``gateway top`` shows."""
    return Reply(200, await plane.surroundings.live())


async def reload(plane: ControlPlane, call: Call) -> Reply:
    outcome = await plane.surroundings.reload()
    if outcome.ok:
        return Reply(200, {"status": "reloaded", "warnings": list(outcome.warnings)})
    # TP-22 wants objects here, where style A's details hold strings.
    details = {"operationId": call.operation_id, "errors": list(outcome.errors)}
    text = "The configuration is not valid; the running one stays."
    return Reply(400, {"errorCode": "ERR_NGROK_213", "statusCode": 400, "msg": text, "details": details})


ROUTES: Final = (
    Route(method="GET", path="/healthz", name="Health", handler=healthz, public=True, head=True, result=_HEALTH),
    Route(method="GET", path="/readyz", name="Readiness", handler=readyz, public=True, head=True),
    Route(method="GET", path="/metrics", name="Metrics", handler=metrics, head=True),
    Route(method="GET", path="/ext/live", name="Live", handler=live, head=True),
    Route(method="POST", path="/ext/reload", name="Reload", handler=reload, result=RELOADED),
)
