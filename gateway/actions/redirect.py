"""``redirect``: sends the client to another URL (TP 8.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gateway.cel.env import STRING, CelType, list_of, nullable, object_of
from gateway.document import Node
from gateway.headers import HeaderMap
from gateway.policy.action import ActionError, ActionSpec, CompiledAction, CompileDeps, Respond, maybe
from gateway.policy.fields import Interpolated, interpolated
from gateway.policy.header_fields import HeaderFields, compile_headers, header_map
from gateway.policy.model import Phase
from gateway.policy.url_change import checked_url_pattern, compile_url_change
from gateway.schema.shapes import Reader, field, integer, record, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange

DOCUMENTED = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Config:
    source: Interpolated | None
    to: Interpolated
    status_code: int
    headers: HeaderFields


class Result:
    """``actions.ngrok.redirect`` (TP-397)."""

    __slots__ = ("error", "matches", "url")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "matches": list_of(STRING), "url": STRING, "error": nullable(object_of(ActionError)),
    }  # fmt: skip

    def __init__(self, matches: list[str], url: str) -> None:
        self.matches = matches
        self.url = url
        self.error: ActionError | None = None


def _status(status: int, node: Node, reader: Reader) -> int:
    if status not in DOCUMENTED:
        documented = ", ".join(map(str, DOCUMENTED))
        reader.warning(node, reader.codes.tolerated, f"documented are {documented}; clients may not follow others")
    return status


def compile_redirect(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-394: nothing happens when the URL stays the same."""
    change = compile_url_change(config.source, config.to)
    headers = compile_headers(config.headers)
    status = config.status_code

    def run(exchange: Exchange) -> Respond | None:
        pairs = headers(exchange)
        matches, url, changed = change(exchange)
        exchange.results["redirect"] = Result(matches, url)
        if not changed:
            return None
        answer = HeaderMap.of(pairs)
        answer.set("location", url)
        answer.set("content-length", "0")
        return Respond(status, answer, b"", run_response_phase=True)

    return CompiledAction("redirect", run)


def _build(*, to: Interpolated, status_code: int, headers: HeaderFields, **rest: Interpolated | None) -> Config:
    return Config(rest["from"], to, status_code, headers)  # 'from' is a keyword


SPEC = ActionSpec(
    type="redirect",
    phases=frozenset((Phase.REQUEST,)),
    shape=record(
        _build,
        **{
            "from": field(
                then(interpolated(), checked_url_pattern), None, doc="RE2 over the whole URL; all matches are replaced"
            )
        },
        to=field(interpolated(), doc="what matches become; $1 is the first group"),
        location=field(
            interpolated(), None, alias_of="to", tolerated="'location' is not documented; it is read as 'to'"
        ),
        status_code=field(then(integer(300, 399), _status), 302, doc="301, 302, 303, 307 or 308"),
        headers=field(header_map(), (), doc="headers of the answer, at most 10"),
    ),
    compile=compile_redirect,
    terminates=maybe,
    result=Result,
    doc="Answers with a redirect when the URL changes.",
)
