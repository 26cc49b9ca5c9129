"""``restrict-ips``: only addresses that are allowed and not denied (TP 8.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gateway.auth.addresses import Address, IpPolicyTable, IpRules, Network, parse_address, parse_cidr
from gateway.cel.env import STRING, CelType, nullable, object_of
from gateway.document import Node
from gateway.errors import ACTION_FAILED, ADDRESS_REFUSED, INTERPOLATION_FAILED, GatewayError, failure
from gateway.policy.action import (
    ActionError,
    ActionSpec,
    CloseConnection,
    CompiledAction,
    CompileDeps,
    Outcome,
    Refuse,
    maybe,
)
from gateway.policy.fields import Interpolated, interpolated, policy_reader
from gateway.policy.model import Phase
from gateway.schema.shapes import Invalid, Reader, boolean, field, list_of, record, text, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange

_BAD_CIDR = "ERR_NGROK_2217"
_UNKNOWN_POLICY = "ERR_NGROK_2216"


@dataclass(frozen=True, slots=True)
class Config:
    enforce: bool
    allow: tuple[Interpolated, ...]
    deny: tuple[Interpolated, ...]
    ip_policies: tuple[str, ...]


class Result:
    """``actions.ngrok.restrict_ips`` (TP-306)."""

    __slots__ = ("action", "error", "matched_cidr")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "action": STRING, "matched_cidr": STRING, "error": nullable(object_of(ActionError)),
    }  # fmt: skip

    def __init__(self, matched_cidr: str, error: GatewayError | None) -> None:
        self.action = "allow" if error is None else "deny"
        self.matched_cidr = matched_cidr
        self.error = None if error is None else ActionError.of(error)


def _cidr(entry: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
    """TP-303. What is interpolated is checked when it is used."""
    if entry.literal is None:
        return entry
    if (network := parse_cidr(entry.literal)) is None:
        address = parse_address(entry.literal)
        if address is None:
            return reader.error(node, _BAD_CIDR, "must be a network in CIDR notation such as '203.0.113.0/24'")
        words = f"a single address needs a prefix length: write it with '/{address.max_prefixlen}'"
        return reader.error(node, _BAD_CIDR, words)
    written = parse_address(entry.literal.partition("/")[0])
    if written != network.network_address:
        reader.warning(node, _BAD_CIDR, f"host bits are ignored: read as '{network}'")
    return entry


def _policy_id(id: str, node: Node, reader: Reader) -> str | Invalid:
    if id not in policy_reader(reader).options.ip_policies:
        return reader.error(node, _UNKNOWN_POLICY, "no IP policy has this id")
    return id


def _permits_somebody(config: Config, node: Node, reader: Reader) -> Config:
    """TP-302."""
    if not config.allow and not config.ip_policies:
        words = (
            "nothing is allowed, so every address is refused; to allow all others, add '0.0.0.0/0' and '::/0' to allow"
        )
        reader.warning(node.key("deny") or node, reader.codes.empty, words)
    return config


def compile_restrict_ips(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-300 to TP-306. IP policies are looked up for every request, since they change without a reload."""
    rules = _rules(config, deps)
    refuse: Callable[[GatewayError], Outcome] = CloseConnection if deps.phase is Phase.TCP else Refuse
    enforce = config.enforce

    def run(exchange: Exchange) -> Outcome:
        permitted, matched = _decide(parse_address(exchange.conn.client_ip), rules(exchange))
        if permitted:
            exchange.results["restrict_ips"] = Result(matched, None)
            return None
        error = failure(ADDRESS_REFUSED)
        exchange.results["restrict_ips"] = Result(matched, error)
        return refuse(error) if enforce else None

    return CompiledAction("restrict-ips", run)


def _decide(address: Address | None, rules: tuple[IpRules, ...]) -> tuple[bool, str]:
    """(permitted, the network that decided): the first denied one, else the first allowed one (TP-301, TP-306)."""
    if address is None:
        return False, ""
    for rule in rules:
        if (denied := rule.deny.find(address)) is not None:
            return False, denied
    for rule in rules:
        if (allowed := rule.allow.find(address)) is not None:
            return True, allowed
    return False, ""


def _rules(config: Config, deps: CompileDeps) -> Callable[[Exchange], tuple[IpRules, ...]]:
    own = _own_rules(config)
    table = deps.services.get(IpPolicyTable) or IpPolicyTable()
    ids = config.ip_policies

    def policy(id: str) -> IpRules:
        found: IpRules | None = table.get(id)
        if found is None:
            raise GatewayError(ACTION_FAILED, cause=f"restrict-ips: IP policy '{id}' does not exist any more")
        return found

    return lambda exchange: (own(exchange), *[policy(id) for id in ids])


def _own_rules(config: Config) -> Callable[[Exchange], IpRules]:
    if all(entry.literal is not None for entry in (*config.allow, *config.deny)):
        constant = IpRules(_constants(config.allow), _constants(config.deny))
        return lambda exchange: constant

    def evaluated(exchange: Exchange) -> IpRules:
        return IpRules(
            [_network(entry, exchange) for entry in config.allow], [_network(entry, exchange) for entry in config.deny]
        )

    return evaluated


def _constants(entries: tuple[Interpolated, ...]) -> list[Network]:
    networks = [parse_cidr(entry.literal or "") for entry in entries]
    return [network for network in networks if network is not None]


def _network(entry: Interpolated, exchange: Exchange) -> Network:
    network = parse_cidr(entry.text(exchange).strip())
    if network is None:
        raise GatewayError(INTERPOLATION_FAILED, cause=f"{entry.place}: not a network in CIDR notation")
    return network


SPEC = ActionSpec(
    type="restrict-ips",
    phases=frozenset((Phase.TCP, Phase.REQUEST, Phase.RESPONSE)),
    shape=then(
        record(
            Config,
            enforce=field(boolean(), True, doc="false: decide, but let the request pass"),
            allow=field(list_of(then(interpolated(), _cidr)), (), doc="networks that may connect"),
            deny=field(list_of(then(interpolated(), _cidr)), (), doc="networks that may not, even if allowed"),
            ip_policies=field(list_of(then(text(), _policy_id)), (), doc="ids of IP policies, ipp_…"),
        ),
        _permits_somebody,
    ),
    compile=compile_restrict_ips,
    terminates=maybe,
    result=Result,
    guards=True,
    doc="Refuses requests from addresses that are not allowed, or denied.",
)
