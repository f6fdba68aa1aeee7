"""Which price a name has: the mapping of providers, the operator's prices, the versions."""

from __future__ import annotations

from decimal import Decimal

import pytest

from analyzers.cost.prices import bundled_prices, operator_price
from analyzers.cost.resolution import MAX_NAME_LENGTH, PriceBook
from schemas.settings import PriceOverride

BOOK = PriceBook(bundled_prices())


def own(provider: str, model: str, usd: float = 1.5) -> PriceOverride:
    return PriceOverride(provider=provider, model=model, input_usd_per_mtok=usd, output_usd_per_mtok=2 * usd)


@pytest.mark.parametrize(
    ("provider", "model", "key"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai", "openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("azure.ai.openai", "gpt-4o", "openai/gpt-4o"),
        ("az.ai.openai", "gpt-4o", "openai/gpt-4o"),
        ("azure.ai.inference", "gpt-4o", "openai/gpt-4o"),
        (
            "aws.bedrock",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        ("gcp.gemini", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.gen_ai", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("mistral_ai", "mistral-large-latest", "mistral/mistral-large"),
        ("x_ai", "grok-4", "x-ai/grok-4-0709"),
        ("deepseek", "deepseek-chat", "deepseek/deepseek-chat"),
        ("groq", "llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("", "gpt-4o", "openai/gpt-4o"),
        ("", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("litellm", "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
    ],
)
def test_names_that_spans_use_find_their_price(provider: str, model: str, key: str) -> None:
    found = BOOK.resolve(provider, model)
    assert found.reason == "listed"
    assert found.price is not None
    assert found.price.key == key


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("openai", "no-such-model", "unknown model"),
        ("vllm", "gpt-4o", "unknown provider"),
        ("", "no-such-model", "unknown provider"),
        ("openai", "", "no model"),
        ("openai", "gpt-4o" * MAX_NAME_LENGTH, "no model"),
        ("openai", "whisper-1", "not sold by the token"),
    ],
)
def test_a_name_without_price_says_why(provider: str, model: str, reason: str) -> None:
    found = BOOK.resolve(provider, model)
    assert (found.price, found.reason) == (None, reason)


def test_the_operators_price_wins_over_the_list() -> None:
    book = PriceBook(bundled_prices(), [own("openai", "GPT-4o"), own("internal", "assistant-7b")])
    for provider, model in [
        ("openai", "gpt-4o"),
        ("openai", "gpt-4o-2024-08-06"),
        ("internal", "assistant-7b"),
        ("", "openai/gpt-4o"),
    ]:
        found = book.resolve(provider, model)
        assert found.reason == "operator", (provider, model)
    assert book.resolve("openai", "gpt-4o-mini").reason == "listed"
    assert book.resolve("azure.ai.openai", "gpt-4o").reason == "listed"


def test_an_operator_may_name_the_provider_as_spans_do_or_as_the_list_does() -> None:
    book = PriceBook(bundled_prices(), [own("azure", "gpt-4o")])
    assert book.resolve("azure.ai.openai", "gpt-4o").reason == "operator"
    assert book.resolve("openai", "gpt-4o").reason == "listed"


def test_an_operators_price_gives_caches_the_price_of_input() -> None:
    [step] = operator_price(own("a", "b", 1.1)).steps
    assert (step.input, step.cache_read, step.cache_write, step.output) == (
        Decimal("1.1"),
        Decimal("1.1"),
        Decimal("1.1"),
        Decimal("2.2"),
    )


def test_a_version_changes_with_the_price_and_only_then() -> None:
    versions = [operator_price(own("a", "b", usd)).version for usd in (1, 1, 2)]
    assert versions[0] == versions[1] != versions[2]
    resolvers = [PriceBook(bundled_prices(), [own("a", "b", usd)]).resolver for usd in (1, 1, 2)]
    assert resolvers[0] == resolvers[1] != resolvers[2]
    assert BOOK.resolver not in resolvers


def test_a_price_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a/b twice: keep one"):
        PriceBook(bundled_prices(), [own("a", "b"), own("A", "B", 2)])


def test_every_price_begins_with_a_step_that_every_request_reaches() -> None:
    for price in BOOK.prices():
        first = price.steps[0]
        assert (first.valid_from.year, first.from_minute, first.from_input_tokens) == (1970, 0, 0), price.key
        starts = [(step.valid_from, step.from_minute, step.from_input_tokens) for step in price.steps]
        assert starts == sorted(set(starts)), price.key
