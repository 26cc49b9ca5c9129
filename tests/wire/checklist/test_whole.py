"""The checklist of TP 12 is whole: every number of it has a row."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.wire.checklist.refusals import Refusal
from tests.wire.checklist.stage import Row

#: seeds; documents of the AI gateway; reference and examples; samples that are wrong; negative and adversarial
NUMBERS = {*range(1, 16), *range(20, 32), *range(40, 75), *range(80, 90), *range(90, 100)}


def numbers_shown() -> dict[int, list[str]]:
    """Number → the rows that show it."""
    shown: dict[int, list[str]] = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.wire.checklist.{file.stem}")
        for each in (*getattr(module, "ROWS", ()), *getattr(module, "REFUSALS", ())):
            assert isinstance(each, Row | Refusal)
            shown.setdefault(each.number, []).append(f"{file.stem}: {each}")
    return shown


def test_every_number_has_a_row() -> None:
    assert numbers_shown().keys() == NUMBERS


def test_no_two_rows_have_one_name() -> None:
    names = [name for group in numbers_shown().values() for name in group]
    assert len(set(names)) == len(names)
