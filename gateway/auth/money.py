"""US dollars as whole units of 0.00001: exact, and small enough to count in integers (AG-248)."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Final

_UNIT: Final = Decimal("0.00001")
_UNITS_PER_CENT: Final = 1_000
LIMIT_UNITS: Final = 10**17


def to_units(usd: Decimal) -> int:
    """``Decimal("0.0105")`` → 1050; rounded half-even to a unit."""
    return int((usd / _UNIT).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def to_text(units: int) -> str:
    """1050 → ``"0.01050"``."""
    return str(Decimal(units).scaleb(-5).quantize(_UNIT))


def to_cents(units: int) -> int:
    """Whole cents, rounded down."""
    return units // _UNITS_PER_CENT


def parse_usd(text: str) -> int | None:
    """A plain decimal number with at most five places → units; None for anything else."""
    if len(text) > 32 or not text.isascii() or not text.replace(".", "", 1).isdigit():
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    units = value.scaleb(5)
    return int(units) if units == units.to_integral_value() and units <= LIMIT_UNITS else None
