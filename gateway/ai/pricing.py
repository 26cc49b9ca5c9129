"""What a model costs, as strategies and the cost of a request read it. USD; None: not known.

Source: ai-gateway.md AG-106, AG-118, AG-248.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Final, NamedTuple

from gateway.cel.env import DOUBLE, CelType, map_of, nullable, object_of

TEXT_PRICES: Final = (
    "input", "output", "input_cache_write", "input_cache_read", "input_batch", "output_batch",
)  # fmt: skip
TOOL_PRICES: Final = {
    "web_search": "per_search_call",
    "code_interpreter": "per_execution_call",
    "file_search": "per_storage_gb",
    "image_generation": "per_image_generation",
}
_FREE: Final = Decimal(0)
#: a count has 13 digits at most: so a product has 36, and four of them are summed and divided without rounding
_MOST_PLACES: Final = 15
_DEAREST: Final = Decimal(10) ** 8


@dataclass(frozen=True, slots=True)
class TextPrices:
    """USD per million tokens; None: not known."""

    __cel__: ClassVar[Mapping[str, CelType]] = {name: nullable(DOUBLE) for name in TEXT_PRICES}

    input: float | None = None
    output: float | None = None
    input_cache_write: float | None = None
    input_cache_read: float | None = None
    input_batch: float | None = None
    output_batch: float | None = None


class WholePrices(NamedTuple):
    """Prices of the four sorts of tokens; ``divisor`` leads from tokens times these to units of 0.00001 USD."""

    input: int
    cache_read: int
    cache_write: int
    output: int
    divisor: int


def whole_prices(exact: Mapping[str, Decimal]) -> WholePrices | None:
    """None for prices below 0 and for those whose products with counts need not fit the exact context of ``Usage``."""
    given = exact.get("input", _FREE)
    prices = (
        given, exact.get("input_cache_read", given), exact.get("input_cache_write", given), exact.get("output", _FREE),
    )  # fmt: skip
    places = 0
    for price in prices:
        exponent = price.as_tuple().exponent
        if not isinstance(exponent, int) or price.is_signed() or exponent < -_MOST_PLACES or price >= _DEAREST:
            return None
        places = max(places, -exponent)
    # per million tokens, and 100,000 units a dollar
    return WholePrices._make((*(int(price.scaleb(places)) for price in prices), 10 ** (places + 1)))


@dataclass(frozen=True, slots=True)
class Pricing:
    """``m.pricing``. ``tools`` is keyed ``web_search`` → ``per_search_call`` → USD."""

    __cel__: ClassVar[Mapping[str, CelType]] = {
        "text": object_of(TextPrices),
        "tools": map_of(map_of(nullable(DOUBLE))),
        "input": nullable(DOUBLE),
        "output": nullable(DOUBLE),
    }

    text: TextPrices
    tools: Mapping[str, Mapping[str, float | None]]
    #: the text prices as written, for cost in exact arithmetic (AG-248)
    exact: Mapping[str, Decimal] = field(default_factory=dict)
    #: the same as whole numbers; None where that is not known to be exact
    whole: WholePrices | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", whole_prices(self.exact))

    @property
    def input(self) -> float | None:
        """Short for ``text.input``."""
        return self.text.input

    @property
    def output(self) -> float | None:
        """Short for ``text.output``."""
        return self.text.output

    def of(self, price: str) -> float | None:
        """By path: ``text.input``, ``tools.web_search.per_search_call`` (AG-106); None if unknown."""
        group, _, name = price.partition(".")
        if group == "text":
            value: float | None = getattr(self.text, name)
            return value
        tool, _, unit = name.partition(".")
        return self.tools.get(tool, {}).get(unit)


def build_pricing(raw: Mapping[str, Any]) -> Pricing:
    """``{text: {input: 0.15, …}, tools: {web_search: {per_search_call: 0.01}}}`` (AG-118)."""
    text = {name: raw.get("text", {}).get(name) for name in TEXT_PRICES}
    exact = {name: Decimal(str(price)) for name, price in text.items() if price is not None}
    numbers = {name: None if price is None else float(price) for name, price in text.items()}
    tools = {
        tool: {unit: None if price is None else float(price) for unit, price in units.items()}
        for tool, units in raw.get("tools", {}).items()
    }
    return Pricing(TextPrices(**numbers), tools, exact)
