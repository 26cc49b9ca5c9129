"""``url-rewrite``: gives the upstream another path and query (TP 8.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gateway.cel.env import STRING, CelType, list_of, nullable, object_of
from gateway.errors import REPLACE_FAILED, GatewayError
from gateway.policy.action import ActionError, ActionSpec, CompiledAction, CompileDeps
from gateway.policy.fields import Interpolated, interpolated
from gateway.policy.model import Phase
from gateway.policy.paths import normalise
from gateway.policy.url_change import checked_url_pattern, compile_url_change, is_absolute
from gateway.policy.variables import request_changed
from gateway.schema.shapes import field, record, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Config:
    source: Interpolated | None
    to: Interpolated


class Result:
    """``actions.ngrok.url_rewrite`` (TP-397)."""

    __slots__ = ("error", "matches", "url")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "matches": list_of(STRING), "url": STRING, "error": nullable(object_of(ActionError)),
    }  # fmt: skip

    def __init__(self, matches: list[str], url: str) -> None:
        self.matches = matches
        self.url = url
        self.error: ActionError | None = None


def compile_url_rewrite(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-395: scheme and authority of the result are ignored; the new path is normalised like any other (TP-140)."""
    change = compile_url_change(config.source, config.to)
    place = config.to.place

    def run(exchange: Exchange) -> None:
        matches, url, changed = change(exchange)
        if changed:
            if not is_absolute(url):
                raise GatewayError(REPLACE_FAILED, cause=f"{place}: the result is not a URL")
            exchange.path, exchange.query = normalise(url)
            request_changed(exchange)
        exchange.results["url_rewrite"] = Result(matches, url)

    return CompiledAction("url-rewrite", run)


def _build(*, to: Interpolated, **rest: Interpolated | None) -> Config:
    return Config(rest["from"], to)  # 'from' is a keyword


SPEC = ActionSpec(
    type="url-rewrite",
    phases=frozenset((Phase.REQUEST,)),
    shape=record(
        _build,
        **{
            "from": field(
                then(interpolated(), checked_url_pattern), None, doc="RE2 over the whole URL; all matches are replaced"
            )
        },
        to=field(interpolated(), doc="what matches become; $1 is the first group"),
    ),
    compile=compile_url_rewrite,
    result=Result,
    doc="Changes the path and query that the upstream gets.",
)
