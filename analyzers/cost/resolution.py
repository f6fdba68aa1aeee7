"""From the provider and model that a span names to a price: pure, and the same answer for the same lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from genai_prices.data_snapshot import find_provider_by_id
from genai_prices.types import ClauseEquals, ClauseOr, MatchLogic, ModelInfo, Provider

from analyzers.cost.prices import Price, PriceList, combined_version, list_key, operator_price
from schemas.settings import PriceOverride

MAX_NAME_LENGTH = 300

ALIASES: dict[str, str] = {
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "gcp.gen_ai": "google",
    "novita_ai": "novita",
    "together.ai": "together",
    "togetherai": "together",
    "x.ai": "x-ai",
    "x_ai": "x-ai",
    "z.ai": "zai",
    "z_ai": "zai",
}
"""Names of providers that genai-prices does not know by itself, or takes for another (`azure.ai.openai` for OpenAI)."""

REGISTRY_NAMES: dict[str, tuple[str, ...]] = {
    "aws": ("aws.bedrock",),
    "azure": ("azure.ai.openai", "azure.ai.inference"),
    "google": ("gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"),
    "mistral": ("mistral_ai",),
    "moonshotai": ("moonshot_ai",),
    "x-ai": ("x_ai",),
}
"""What the OpenTelemetry registry calls the providers of genai-prices, where that differs."""

_ROUTERS = ("", "litellm")
_RESOURCE_PREFIXES = ("models", "publishers")
_RULES = "1"


@dataclass(frozen=True)
class Resolution:
    """The price of a (provider, model), spelled as it was asked for, or why there is none."""

    provider: str
    model: str
    price: Price | None
    reason: str


class PriceBook:
    """The operator's prices before the bundled list; `resolver` is another one whenever an answer might be."""

    def __init__(self, bundled: PriceList, overrides: Sequence[PriceOverride] = ()) -> None:
        self._list = bundled
        self._providers = list(bundled.providers)
        self._own = _by_name(overrides)
        self.operator_versions = tuple(sorted(price.version for price in self._own.values()))
        self.resolver = combined_version((_RULES, bundled.version, *self.operator_versions))

    def prices(self) -> Iterator[Price]:
        """Every price of the book."""
        yield from self._list.prices.values()
        yield from self._own.values()

    def resolve(self, provider: str, model: str) -> Resolution:
        """The price of a model as a span names it; upper and lower case are the same.

        The operator's price for exactly these names wins; then the operator's price for the listed model that the name
        means (`gpt-4o` for `gpt-4o-2024-08-06`); then the list.
        """
        price, reason = self._find(provider.strip().lower(), model.strip().lower())
        return Resolution(provider, model, price, reason)

    def known_names(self) -> list[tuple[str, str]]:
        """The (provider, model) pairs to price before a span shows them: the operator's, and what the list names exactly."""
        found = {pair for provider in self._providers for pair in self._names_of(provider)}
        return sorted(found | set(self._own))

    @cached_property
    def priced_names(self) -> tuple[Resolution, ...]:
        """Those of the known names that have a price."""
        return tuple(each for each in (self.resolve(*name) for name in self.known_names()) if each.price)

    def _find(self, provider: str, model: str) -> tuple[Price | None, str]:
        if not model or len(model) > MAX_NAME_LENGTH:
            return None, "no model"
        if (provider, model) in self._own:
            return self._own[provider, model], "operator"
        seller = self._seller(provider, model)
        own = self._own_price(seller, model)
        if own is not None:
            return own, "operator"
        if seller is None:
            return None, "unknown provider"
        listed = self._listed(seller, model)
        if listed is None:
            return None, "unknown model"
        own = self._own_price(seller, listed.id.lower())
        if own is not None:
            return own, "operator"
        price = self._price_of(seller, listed)
        return price, "listed" if price else "not sold by the token"

    def _own_price(self, seller: Provider | None, model: str) -> Price | None:
        """The operator's price for a model under another name of its provider."""
        if seller is None:
            return None
        for (provider, name), price in self._own.items():
            if name == model and self._provider(provider) is seller:
                return price
        return None

    def _seller(self, provider: str, model: str) -> Provider | None:
        """Who sells the model; without a provider, its name's prefix or form says so."""
        if provider not in _ROUTERS:
            return self._provider(provider)
        prefix, slash, _ = model.partition("/")
        named = self._provider(prefix) if slash else None
        if named is not None:
            return named
        return next((p for p in self._providers if p.model_match is not None and p.model_match.is_match(model)), None)

    def _provider(self, name: str) -> Provider | None:
        return find_provider_by_id(self._providers, ALIASES.get(name, name))

    def _listed(self, seller: Provider, model: str) -> ModelInfo | None:
        """The model in the list, also when its name starts with the seller's or is a resource's path (`models/…`)."""
        found = seller.find_model(model, all_providers=self._providers)
        prefix, slash, rest = model.partition("/")
        if found is not None or not slash:
            return found
        if prefix in _RESOURCE_PREFIXES:
            return seller.find_model(rest.rpartition("/")[2], all_providers=self._providers)
        return seller.find_model(rest, all_providers=self._providers) if self._provider(prefix) is seller else None

    def _price_of(self, seller: Provider, listed: ModelInfo) -> Price | None:
        """The price under its own provider: Azure sells OpenAI's models at OpenAI's price, for one."""
        for provider in (seller, *self._providers):
            if any(model is listed for model in provider.models):
                return self._list.prices.get(list_key(provider, listed))
        return None

    def _names_of(self, provider: Provider) -> Iterator[tuple[str, str]]:
        sellers = [provider, *(p for p in self._providers if p.id in (provider.fallback_model_providers or ()))]
        models = {name for seller in sellers for model in seller.models for name in _exact_names(model)}
        for seller_name in (provider.id, *REGISTRY_NAMES.get(provider.id, ())):
            yield from ((seller_name, model) for model in models)
        if provider.model_match is not None:
            yield from (("", model) for model in models if provider.model_match.is_match(model))


def _by_name(overrides: Sequence[PriceOverride]) -> dict[tuple[str, str], Price]:
    found: dict[tuple[str, str], Price] = {}
    for override in overrides:
        name = (override.provider.strip().lower(), override.model.strip().lower())
        if name in found:
            raise ValueError(f"cost.prices gives {name[0]}/{name[1]} twice: keep one")
        found[name] = operator_price(override)
    return found


def _exact_names(model: ModelInfo) -> Iterator[str]:
    yield model.id.lower()
    yield from (name.lower() for name in _equals(model.match))


def _equals(clause: MatchLogic) -> Iterator[str]:
    if isinstance(clause, ClauseEquals):
        yield clause.equals
    elif isinstance(clause, ClauseOr):
        for part in clause.or_:
            yield from _equals(part)
