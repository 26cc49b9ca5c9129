"""Texts that are known beforehand, found without telling by the time how much of a guess was right (TP-95)."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from gateway.cel.keyed import KnownTexts
from gateway.cel.operators import first_in
from gateway.cel.values import contains, same, type_name
from tests.unit.cel.hosts import Url


@given(st.lists(st.text(max_size=3)), st.text(max_size=3))
def test_known_texts_hold_what_a_list_of_them_does(texts: list[str], text: str) -> None:
    known = KnownTexts(texts)
    assert known == texts
    assert [contains(wanted, known) for wanted in (*texts, text)] == [contains(w, texts) for w in (*texts, text)]
    assert known.holds(text) is (text in texts)
    assert not known.holds(None)
    assert first_in([text, "a"], known) is (text in texts)


def test_known_texts_are_a_list_for_everything_else() -> None:
    known = KnownTexts(["a", "\udc80"])
    assert contains("\udc80", known)
    assert contains(Url("a"), known)
    assert not contains(None, known)
    assert not contains(1, known)
    assert not first_in(None, known)
    assert not first_in([], known)
    assert type_name(known) == "list"
    assert same(known, ["a", "\udc80"])


def test_a_text_is_found_by_a_hash_that_nobody_can_foresee_tp95() -> None:
    """The salt is the process's own, whatever PYTHONHASHSEED says."""
    command = [sys.executable, "-c", "from gateway.cel.keyed import keyed; print(keyed('a'))"]
    hashes = {subprocess.check_output(command, env={"PYTHONHASHSEED": "0"}, timeout=30) for _ in range(2)}
    assert len(hashes) == 2
