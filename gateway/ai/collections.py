"""What strategies are written with: the collections under ``ai`` and their functions (AG 5.3).

``filter``, ``sortBy(x, …)`` and the predicate macros come with the language; the types of the collections tell it which
error rules hold (AG-107, AG-128). Everything else is here. Names are compared by the lower-case sets that elements
carry, so that a function over 400 models costs one set operation per model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Final

from gateway.ai.entities import Author, KeyElement, Model, Provider
from gateway.ai.pricing import TEXT_PRICES, TOOL_PRICES
from gateway.cel.env import (
    DOUBLE,
    DYN,
    INT,
    STRING,
    CelType,
    Environment,
    Function,
    ai_list_of,
    list_of,
    nullable,
    object_of,
)

MODELS: Final = ai_list_of(Model)
PROVIDERS: Final = ai_list_of(Provider)
AUTHORS: Final = ai_list_of(Author)
KEYS: Final = ai_list_of(KeyElement, undecided=True)
_ANY_LIST: Final = list_of(DYN)
_IDS: Final = list_of(STRING)
#: AG-106
PRICES: Final = frozenset(
    [f"text.{name}" for name in TEXT_PRICES] + [f"tools.{tool}.{unit}" for tool, unit in TOOL_PRICES.items()]
)


class ModelCollections:
    """``ai`` in ``model_selection``: what is left of the candidates when strategies begin."""

    __slots__ = ("authors", "models", "providers")
    __cel__: ClassVar[Mapping[str, CelType]] = {"models": MODELS, "providers": PROVIDERS, "authors": AUTHORS}

    def __init__(self, models: Sequence[Model], providers: Sequence[Provider], authors: Sequence[Author]) -> None:
        self.models = models
        self.providers = providers
        self.authors = authors


class KeyCollections:
    """``ai`` in ``api_key_selection``: the keys of the candidate's provider in listed order."""

    __slots__ = ("keys",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"keys": KEYS}

    def __init__(self, keys: Sequence[KeyElement]) -> None:
        self.keys = keys


class AiScope:
    """A scope for expressions that read nothing but ``ai``."""

    __slots__ = ("ai",)

    def __init__(self, ai: ModelCollections | KeyCollections) -> None:
        self.ai = ai


def model_environment(environment: Environment, random: Random) -> Environment:
    """The request phase's environment with ``ai.models``, ``ai.providers`` and ``ai.authors``."""
    functions = (*_COMMON, *_LOOKUPS, *_MODEL_FILTERS, *_random_functions(random))
    return environment.extend(variables={"ai": object_of(ModelCollections)}, functions=functions)


def key_environment(environment: Environment, random: Random) -> Environment:
    """The request phase's environment with ``ai.keys``."""
    return environment.extend(variables={"ai": object_of(KeyCollections)}, functions=_random_functions(random))


# -- by name


def _lower(ids: Iterable[str]) -> frozenset[str]:
    return frozenset([name.lower() for name in ids])


def _only(elements: Sequence[Any], ids: Iterable[str]) -> list[Any]:
    wanted = _lower(ids)
    return [element for element in elements if not wanted.isdisjoint(element.names)]


def _ignore(elements: Sequence[Any], ids: Iterable[str]) -> list[Any]:
    unwanted = _lower(ids)
    return [element for element in elements if unwanted.isdisjoint(element.names)]


def _only_providers(models: Sequence[Model], ids: Iterable[str]) -> list[Model]:
    wanted = _lower(ids)
    return [model for model in models if not wanted.isdisjoint(model.provider.names)]


def _ignore_providers(models: Sequence[Model], ids: Iterable[str]) -> list[Model]:
    unwanted = _lower(ids)
    return [model for model in models if unwanted.isdisjoint(model.provider.names)]


def _only_authors(models: Sequence[Model], ids: Iterable[str]) -> list[Model]:
    wanted = _lower(ids)
    return [model for model in models if not wanted.isdisjoint(model.author_names)]


def _ignore_authors(models: Sequence[Model], ids: Iterable[str]) -> list[Model]:
    unwanted = _lower(ids)
    return [model for model in models if unwanted.isdisjoint(model.author_names)]


def _get(elements: Sequence[Any], name: str) -> Any:
    """By id, else by alias; None if there is none."""
    wanted = name.lower()
    return next((e for e in elements if e.id.lower() == wanted), None) or next(
        (e for e in elements if wanted in e.names), None
    )


def _get_model(models: Sequence[Model], provider: str, name: str) -> Model | None:
    wanted = provider.lower()
    model: Model | None = _get([model for model in models if wanted in model.provider.names], name)
    return model


def _model_of(provider: Provider, name: str) -> Model | None:
    model: Model | None = _get(provider.models, name)
    return model


def _metadata(element: Model | Provider, path: str) -> Any:
    """``'a.b'`` → ``metadata['a']['b']``; None where anything is missing."""
    value: Any = element.metadata
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


# -- by place and price


def _in_region(models: Sequence[Model], code: str) -> list[Model]:
    wanted = code.lower()
    return [model for model in models if any(place.region.lower() == wanted for place in model.datacenters)]


def _in_country(models: Sequence[Model], code: str) -> list[Model]:
    wanted = code.lower()
    return [model for model in models if any(place.country_code.lower() == wanted for place in model.datacenters)]


def _under_cost(models: Sequence[Model], price: str, maximum: float) -> list[Model]:
    cheap = []
    for model in models:
        known = model.pricing.of(price) if model.pricing is not None else None
        if known is not None and known < maximum:
            cheap.append(model)
    return cheap


def _sort_by_price(models: Sequence[Model], _name: str) -> list[Model]:
    def cost(model: Model) -> float:
        known = model.pricing.text.input if model.pricing is not None else None
        return float("inf") if known is None else known

    return sorted(models, key=cost)


def _check_price(arguments: Sequence[object]) -> str | None:
    if arguments[1] in PRICES:
        return None
    return f"the first argument of underCost must be one of {', '.join(sorted(PRICES))}"


def _check_order(arguments: Sequence[object]) -> str | None:
    return None if arguments[1] == "price" else "sortBy takes 'price', or a variable and an expression"


# -- chance


def _random_functions(random: Random) -> tuple[Function, ...]:
    """AG-109: one generator per process, seeded in tests."""

    def pick(elements: Sequence[Any]) -> Any:
        return elements[int(random.random() * len(elements))] if elements else None

    def shuffled(elements: Sequence[Any]) -> list[Any]:
        result = list(elements)
        random.shuffle(result)
        return result

    return (
        Function(
            "random", (_ANY_LIST,), lambda types: nullable(types[0].item), pick, method=True, pure=False, total=True
        ),
        Function("randomize", (_ANY_LIST,), lambda types: types[0], shuffled, method=True, pure=False, total=True),
    )


def _filters(name: str, implementation: Callable[..., object], *collections: CelType) -> list[Function]:
    return [Function(name, (collection, _IDS), collection, implementation, method=True) for collection in collections]


_COMMON: Final = (
    *_filters("only", _only, MODELS, PROVIDERS, AUTHORS),
    *_filters("ignore", _ignore, MODELS, PROVIDERS, AUTHORS),
    Function("getMetadata", (object_of(Model), STRING), nullable(DYN), _metadata, method=True),
    Function("getMetadata", (object_of(Provider), STRING), nullable(DYN), _metadata, method=True),
)
_LOOKUPS: Final = (
    Function("get", (PROVIDERS, STRING), nullable(object_of(Provider)), _get, method=True, total=True),
    Function("get", (AUTHORS, STRING), nullable(object_of(Author)), _get, method=True, total=True),
    Function("get", (MODELS, STRING, STRING), nullable(object_of(Model)), _get_model, method=True, total=True),
    Function("getModel", (object_of(Provider), STRING), nullable(object_of(Model)), _model_of, method=True, total=True),
)
_MODEL_FILTERS: Final = (
    *_filters("onlyProviders", _only_providers, MODELS),
    *_filters("ignoreProviders", _ignore_providers, MODELS),
    *_filters("onlyAuthors", _only_authors, MODELS),
    *_filters("ignoreAuthors", _ignore_authors, MODELS),
    Function("inRegion", (MODELS, STRING), MODELS, _in_region, method=True, total=True),
    Function("inCountryCode", (MODELS, STRING), MODELS, _in_country, method=True, total=True),
    Function("underCost", (MODELS, STRING, DOUBLE), MODELS, _under_cost, method=True, total=True, check=_check_price),
    Function("underCost", (MODELS, STRING, INT), MODELS, _under_cost, method=True, total=True, check=_check_price),
    Function("sortBy", (MODELS, STRING), MODELS, _sort_by_price, method=True, total=True, check=_check_order),
)
