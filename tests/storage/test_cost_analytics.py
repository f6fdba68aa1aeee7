"""Cost analytics in SQL against the same figures in Python, and against the metrics."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from analyzers.cost.pricing import sync_prices
from schemas.settings import CostSettings
from storage.clickhouse import ClickHouseStore
from storage.cost_analytics import (
    CostQuery,
    read_cache_misses,
    read_costs,
    read_model_usage,
    read_repeated_prompts,
)
from storage.metrics import MetricQuery, read_series
from storage.scope import ProjectReader, QueryError, Range
from tests.ingest.spans import ingest_spans, make_span

NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
START = NOW - timedelta(hours=6)
SPAN = Range(START, NOW)
_numbers = itertools.count(1)


def call(
    minute: float,
    *,
    model: str = "gpt-4o",
    provider: str = "openai",
    tokens: tuple[int, int, int, int] = (1000, 0, 0, 100),
    trace: int | None = None,
    messages: list[tuple[str, str]] | None = None,
    **more: Any,
) -> ResourceSpans:
    """A model call; `tokens`: input uncached, cache read, cache write, output."""
    uncached, read, write, output = tokens
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": uncached + read + write,
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.usage.cache_creation.input_tokens": write,
        "gen_ai.usage.output_tokens": output,
        **more.pop("attributes", {}),
    }
    for index, (role, text) in enumerate(messages or []):
        attributes |= {f"gen_ai.prompt.{index}.role": role, f"gen_ai.prompt.{index}.content": text}
    trace_id = (trace if trace is not None else 10**6 + next(_numbers)).to_bytes(16, "big")
    return make_span(start=START + timedelta(minutes=minute), trace_id=trace_id, attributes=attributes, **more)


def price(model: str, provider: str, tokens: tuple[int, int, int, int]) -> float:
    uncached, read, write, output = tokens
    usage = PricedUsage(
        input_tokens=uncached + read + write, cache_read_tokens=read, cache_write_tokens=write, output_tokens=output
    )
    return float(calc_price(usage, model, provider_id=provider, genai_request_timestamp=START).total_price)


@pytest.fixture
async def reader(store: ClickHouseStore) -> ProjectReader:
    """A reader of a project on a store with prices."""
    await sync_prices(store, CostSettings(), NOW)
    return ProjectReader(store, "ours")


async def keep(reader: ProjectReader, *spans: ResourceSpans, project: str = "ours") -> None:
    await ingest_spans(reader.store, project, spans, received_at=NOW)


MODELS = (("gpt-4o", "openai"), ("gpt-4o-mini", "openai"), ("claude-sonnet-4-5", "anthropic"), ("no-such-model", "openai"))


def traffic() -> list[dict[str, Any]]:
    """Requests of one to three calls by users and releases, some of a model without a price."""
    rng = random.Random(4)
    found = []
    for trace in range(1, 120):
        about = {
            "user.id": rng.choice(["ann", "bob", "cy", ""]),
            "tracewarden.target": "bot",
            "tracewarden.release": rng.choice("12"),
        }
        for _ in range(rng.randint(1, 3)):
            model, provider = rng.choices(MODELS, (8, 5, 5, 1))[0]
            read = rng.choice([0, 0, 500])
            tokens = (rng.randint(10, 5_000), read, 0, rng.randint(1, 900))
            found.append(
                {
                    "minute": rng.uniform(0, 359),
                    "model": model,
                    "provider": provider,
                    "tokens": tokens,
                    "trace": trace,
                    "attributes": about,
                }
            )
    return found


def costs_by(calls: list[dict[str, Any]], key: Any) -> dict[Any, float]:
    found: dict[Any, float] = defaultdict(float)
    for each in calls:
        if each["model"] != "no-such-model":
            found[key(each)] += price(each["model"], each["provider"], each["tokens"])
    return dict(found)


async def test_totals_equal_the_metrics_and_the_sums_in_python(reader: ProjectReader) -> None:
    calls = traffic()
    repeated = call(**calls[0])
    await keep(reader, *(call(**each) for each in calls[1:]), repeated, repeated)
    await keep(reader, call(1), project="theirs")
    [whole] = await read_costs(reader, CostQuery(SPAN))
    for name, value in (
        ("cost.usd", whole.cost_usd),
        ("cost.unpriced", whole.unpriced),
        ("tokens.output", whole.tokens["output"]),
    ):
        [series] = await read_series(reader.store, MetricQuery("ours", name, START, NOW))
        assert series.points[0].value == value, name
    assert whole.cost_usd == pytest.approx(sum(costs_by(calls, lambda each: 0).values()))
    assert whole.responses == len(calls)
    assert whole.requests == 119
    assert whole.unpriced == sum(each["model"] == "no-such-model" for each in calls)


async def test_quantiles_are_over_requests_whose_every_response_has_a_price(reader: ProjectReader) -> None:
    calls = traffic()
    await keep(reader, *(call(**each) for each in calls))
    [whole] = await read_costs(reader, CostQuery(SPAN))
    unknown = {each["trace"] for each in calls if each["model"] == "no-such-model"}
    costs = [cost for trace, cost in costs_by(calls, lambda each: each["trace"]).items() if trace not in unknown]
    assert whole.per_request is not None
    assert whole.per_request.n == len(costs)
    assert whole.per_request.quantiles_usd == pytest.approx(np.quantile(costs, [0.5, 0.9, 0.95, 0.99]))
    assert whole.per_request.mean_usd == pytest.approx(np.mean(costs))
    assert whole.per_request.max_usd == pytest.approx(max(costs))
    users = costs_by(calls, lambda each: each["attributes"]["user.id"])
    named = [cost for user, cost in users.items() if user]
    assert whole.per_user is not None
    assert whole.per_user.n == 3
    assert whole.per_user.quantiles_usd == pytest.approx(np.quantile(named, [0.5, 0.9, 0.95, 0.99]))


@pytest.mark.parametrize("dimension", ["model", "user", "release", "target", "service", "provider"])
async def test_groups_add_up_to_the_whole(reader: ProjectReader, dimension: str) -> None:
    await keep(reader, *(call(**each) for each in traffic()))
    [whole] = await read_costs(reader, CostQuery(SPAN))
    groups = await read_costs(reader, CostQuery(SPAN, (dimension,)))
    assert sum(group.cost_usd or 0 for group in groups) == pytest.approx(whole.cost_usd)
    assert sum(group.responses for group in groups) == whole.responses
    assert [group.cost_usd or 0 for group in groups] == sorted((group.cost_usd or 0 for group in groups), reverse=True)
    series = await read_series(reader.store, MetricQuery("ours", "cost.usd", START, NOW, group_by=(dimension,)))
    assert {tuple(one.labels.values()): one.points[0].value for one in series} == {
        tuple(group.labels.values()): group.cost_usd for group in groups
    }


async def test_a_model_without_a_price_has_no_cost(reader: ProjectReader) -> None:
    await keep(reader, call(1, model="no-such-model"))
    [group] = await read_costs(reader, CostQuery(SPAN, ("model",)))
    assert (group.cost_usd, group.unpriced, group.per_request, group.per_user) == (None, 1, None, None)


async def test_without_data_there_is_one_empty_whole(reader: ProjectReader) -> None:
    [whole] = await read_costs(reader, CostQuery(SPAN))
    assert (whole.cost_usd, whole.responses, whole.requests, whole.per_request) == (None, 0, 0, None)
    assert await read_costs(reader, CostQuery(SPAN, ("model",))) == []
    assert await read_model_usage(reader, CostQuery(SPAN)) == []
    assert (await read_repeated_prompts(reader, CostQuery(SPAN))).worst == ()
    assert (await read_cache_misses(reader, CostQuery(SPAN))).worst == ()


async def test_dimensions_that_cost_does_not_have_are_refused(reader: ProjectReader) -> None:
    with pytest.raises(QueryError, match="no dimension 'tool'"):
        await read_costs(reader, CostQuery(SPAN, ("tool",)))


async def test_the_list_says_how_the_cost_of_a_model_splits(reader: ProjectReader) -> None:
    calls = [call(n, model="claude-sonnet-4-5", provider="anthropic", tokens=(1000 * n, 500, 200, 10 * n)) for n in range(1, 6)]
    await keep(reader, *calls, call(9, model="no-such-model"))
    [used] = await read_model_usage(reader, CostQuery(SPAN))
    assert (used.provider, used.model, used.responses) == ("anthropic", "claude-sonnet-4-5", 5)
    assert used.tokens == (15_000, 2_500, 1_000, 150)
    assert used.listed_usd is not None
    assert used.listed_usd == pytest.approx((15_000 * 3e-6, 2_500 * 0.3e-6, 1_000 * 3.75e-6, 150 * 15e-6, 0))
    assert sum(used.listed_usd) == pytest.approx(used.cost_usd)
    assert used.rates_usd == pytest.approx((3e-6, 0.3e-6, 3.75e-6, 15e-6))


def asked(minute: float, text: str, **more: Any) -> ResourceSpans:
    return call(minute, messages=[("system", "Be brief."), ("user", text)], **more)


async def test_prompts_that_were_paid_again_are_found(reader: ProjectReader) -> None:
    response = {"gen_ai.response.id": "r-1"}
    await keep(
        reader,
        asked(1, "What is the time?"),
        asked(2, "What is the time?", tokens=(1000, 0, 0, 50)),
        asked(3, "What is the time?", tokens=(1000, 0, 0, 500)),
        asked(4, "What is the time?", model="gpt-4o-mini"),  # another model
        asked(5, "What is the  time?"),  # another prompt
        asked(6, "Where am I?"),
        asked(7, "Where am I?", status=2),  # the repetition of a failed call is no waste
        asked(8, "How are you?", trace=7, attributes=response),
        asked(8, "How are you?", trace=7, attributes=response),  # a nested span that repeats its child's usage
        call(9),  # no messages recorded
        call(10),
    )
    found = await read_repeated_prompts(reader, CostQuery(SPAN))
    assert (found.prompts, found.responses) == (1, 3)
    [waste] = found.worst
    assert (waste.provider, waste.model, waste.preview, waste.responses) == ("openai", "gpt-4o", "What is the time?", 3)
    expected = price("gpt-4o", "openai", (1000, 0, 0, 100)) + price("gpt-4o", "openai", (1000, 0, 0, 50))
    assert waste.wasted_usd == pytest.approx(expected)
    assert found.wasted_usd == waste.wasted_usd
    assert int(waste.trace_id, 16) > 10**6


LONG = "You are the assistant of a shop. " * 200


def long_call(minute: float, question: str, **more: Any) -> ResourceSpans:
    tokens = more.pop("tokens", (2_000, 0, 0, 10))
    return call(minute, messages=[("system", LONG), ("user", question)], tokens=tokens, **more)


async def test_long_beginnings_that_no_cache_served_are_found(reader: ProjectReader) -> None:
    questions = ["Where is my parcel?", "May I return the shoes, please?", "Do you have them in blue?"]
    await keep(reader, *(long_call(index / 10, question) for index, question in enumerate(questions)))
    [waste] = (await read_cache_misses(reader, CostQuery(SPAN))).worst
    longest = max(len(question) for question in questions)
    prefix_tokens = int(0.9 * len(LONG) / (len(LONG) + longest) * 2_000)
    # gpt-4o: 2.50 and, from the cache, 1.25 dollars a million; writing to the cache costs nothing more.
    assert waste.wasted_usd == pytest.approx(2 * prefix_tokens * 1.25e-6)
    assert (waste.responses, waste.model) == (3, "gpt-4o")
    assert waste.preview == LONG[:200]


@pytest.mark.parametrize(
    "spans",
    [
        [long_call(0, "a"), long_call(10, "b")],  # ten minutes apart: the cache would have forgotten
        [long_call(0, "a", tokens=(200, 1_800, 0, 10)), long_call(0.1, "b", tokens=(200, 1_800, 0, 10))],  # it served them
        [long_call(0, "a"), long_call(0.1, "b", tokens=(200, 1_800, 0, 10))],  # the first has to miss
        [asked(0, "a"), asked(0.1, "b")],  # too short to be cached
        [long_call(0, "a", model="gpt-4"), long_call(0.1, "b", model="gpt-4")],  # no price for cache reads
    ],
)
async def test_what_no_cache_could_have_saved_is_not_waste(reader: ProjectReader, spans: list[ResourceSpans]) -> None:
    await keep(reader, *spans)
    assert (await read_cache_misses(reader, CostQuery(SPAN))).worst == ()


async def test_writing_to_the_cache_is_paid_from_what_it_saves(reader: ProjectReader) -> None:
    about = {"model": "claude-sonnet-4-5", "provider": "anthropic"}
    await keep(reader, *(long_call(index / 10, "a", **about) for index in range(4)))
    [waste] = (await read_cache_misses(reader, CostQuery(SPAN))).worst
    prefix_tokens = int(0.9 * len(LONG) / (len(LONG) + 1) * 2_000)
    assert waste.wasted_usd == pytest.approx(prefix_tokens * (3 * (3 - 0.3) - 0.75) * 1e-6)
