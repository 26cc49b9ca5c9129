"""Invariants of the normalised path (TP-140), for any request target."""

from __future__ import annotations

import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.paths import normalise

PIECES = ["/", "//", ".", "..", "a", "B", "%2e", "%2E", "%61", "%2f", "%zz", "%", "?", "#", "é", "~", "http://h", ":"]
TARGETS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


@given(TARGETS)
def test_normalising_again_changes_nothing(target: str) -> None:
    path, query = normalise("/" + target)
    assert normalise(path) == (path, "")
    assert query == ("/" + target.partition("#")[0]).partition("?")[2] or "#" in target


@given(TARGETS)
def test_no_dot_segments_and_no_needless_escapes_are_left(target: str) -> None:
    path, _ = normalise("/" + target)
    assert path.startswith("/")
    assert not {".", ".."} & set(path.split("/"))
    assert not re.search("%(2[dDeE]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])", path)


@given(st.lists(st.sampled_from(["a", "..", ".", "%61", "%2e%2e", "b c"]), min_size=1, max_size=8))
def test_encoding_does_not_hide_a_path(segments: list[str]) -> None:
    """However a path is written, rule and router see one (CL-99)."""
    written = "/" + "/".join(segments)
    plain = "/" + "/".join(map(unquote, segments))
    assert normalise(written) == normalise(plain)
