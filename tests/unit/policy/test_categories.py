"""Lists of addresses by category: TP-130, TP-131, TP-135."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.atlas import Atlas, open_atlas
from gateway.policy.categories import load_categories
from gateway.policy.options import PolicyOptions
from gateway.problems import Problems
from gateway.settings.model import GeoipSettings
from tests.unit.policy.world import context, request, value_of

OPTIONS = context(PolicyOptions(available=frozenset(("feed",))))
YAML = """
com.openai.gptbot.ipv4: [203.0.113.0/28, 203.0.113.64]   # a comment
blocklist.example_org.level_1:
  - 203.0.113.0/24
  - 2001:db8::/32
proxy.anonymous.tor: 198.51.100.7
empty:
"""


def in_a_directory(folder: Path) -> Path:
    """The same as ``YAML``."""
    lists = folder / "lists"
    lists.mkdir()
    (lists / "com.openai.gptbot.ipv4").write_text("# bots\n203.0.113.0/28  # a comment\n\n203.0.113.64\n")
    (lists / "blocklist.example_org.level_1.txt").write_text("203.0.113.0/24\r\n2001:db8::/32")
    (lists / "proxy.anonymous.tor").write_text("198.51.100.7\n")
    (lists / "empty").write_text("")
    (lists / ".hidden").write_text("no list")
    return lists


def in_a_file(folder: Path) -> Path:
    (folder / "lists.yaml").write_text(YAML)
    return folder / "lists.yaml"


def opened(path: Path) -> Atlas:
    atlas, problems = open_atlas(GeoipSettings(), path)
    assert not problems.failed, str(problems)
    return atlas


@pytest.mark.parametrize("written", [in_a_directory, in_a_file])
@pytest.mark.parametrize(
    ("client_ip", "categories"),
    [
        ("203.0.113.5", ["blocklist", "blocklist.example_org", "blocklist.example_org.level_1", "com", "com.openai",
                         "com.openai.gptbot", "com.openai.gptbot.ipv4"]),
        ("203.0.113.200", ["blocklist", "blocklist.example_org", "blocklist.example_org.level_1"]),
        ("2001:db8::5", ["blocklist", "blocklist.example_org", "blocklist.example_org.level_1"]),
        ("198.51.100.7", ["proxy", "proxy.anonymous", "proxy.anonymous.tor"]),
        ("::ffff:198.51.100.7", ["proxy", "proxy.anonymous", "proxy.anonymous.tor"]),
        ("198.51.100.8", []), ("2001:db9::1", []), ("", []), ("nonsense", []),
    ],
)  # fmt: skip
def test_categories_with_their_levels(
    written: Callable[[Path], Path], client_ip: str, categories: list[str], tmp_path: Path
) -> None:
    exchange = request(client_ip=client_ip)
    exchange.snapshot.atlas = opened(written(tmp_path))
    assert value_of("conn.client_ip.categories", exchange, with_context=OPTIONS) == categories
    listed = value_of("conn.client_ip.is_on_blocklist", exchange, with_context=OPTIONS)
    assert listed is ("blocklist" in categories)
    assert value_of("conn.client_ip.is_tor_node", exchange, with_context=OPTIONS) is (
        "proxy.anonymous.tor" in categories
    )
    assert value_of("'com.openai' in conn.client_ip.categories", exchange, with_context=OPTIONS) is (
        "com.openai" in categories
    )
    assert value_of("conn.server_ip.categories.size()", exchange, with_context=OPTIONS) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [10.0.0.0/33]", "line 1: is neither a network nor an address"),
        ("a:\n- 10.0.0.1\n- example.org", "line 3: is neither a network nor an address"),
        ("a: [{b: c}]", "line 1: is neither a network nor an address"),
        ("A b: [10.0.0.1]", "line 1: 'A b' is no name of a category"),
        ("- 10.0.0.1", "line 1: must be a mapping of categories to lists of networks"),
        ("a: [", "lists.yaml:1:"),
    ],
)
def test_a_wrong_list_is_not_used(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "lists.yaml").write_text(content)
    atlas, problems = open_atlas(GeoipSettings(), tmp_path / "lists.yaml")
    assert problems.failed
    assert words in str(problems)
    assert atlas.available == frozenset()
    assert atlas.categories("10.0.0.1") is None


def test_wrong_files_of_a_directory(tmp_path: Path) -> None:
    lists = in_a_directory(tmp_path)
    (lists / "Bad Name").write_text("10.0.0.1")
    (lists / "a.b").write_text("10.0.0.1\n<html>\n")
    _, problems = open_atlas(GeoipSettings(), lists)
    assert f"{lists}/Bad Name, line 1: 'Bad Name' is no name of a category" in str(problems)
    assert f"{lists}/a.b, line 2: is neither a network nor an address" in str(problems)
    assert "ip_categories: " in str(problems)


def test_a_path_that_is_gone(tmp_path: Path) -> None:
    _, problems = open_atlas(GeoipSettings(), tmp_path / "none")
    assert "No such file" in str(problems)


NETWORKS = st.tuples(st.sampled_from(["a", "a.b", "c"]), st.integers(0, 255), st.integers(24, 32)).map(
    lambda parts: (parts[0], str(ip_network(f"10.0.0.{parts[1]}/{parts[2]}", strict=False)))
)


@given(st.lists(NETWORKS, max_size=12), st.integers(0, 255))
def test_any_lists_answer_like_a_search_through_them(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str]], last: int
) -> None:
    lists: dict[str, Any] = {}
    for category, network in entries:
        lists.setdefault(category, []).append(network)
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text("".join(f"{name}: {networks}\n" for name, networks in lists.items()) or "{}")
    categories = load_categories(path, Problems())
    assert categories is not None
    address = f"10.0.0.{last}"
    held = {name for name, network in entries if ip_address(address) in ip_network(network)}
    assert categories(address) == tuple(sorted(held | {"a" for name in held if name == "a.b"}))
