"""What a model costs, as strategies and the cost of a request read it. USD; None: not known.

Source: ai-gateway.md AG-106, AG-118, AG-248.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Final

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
