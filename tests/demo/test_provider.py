"""The stub provider: usage, lengths, the cache, and its form of the API."""

from __future__ import annotations

import random
import statistics

import httpx
import pytest

from demo.answers import MEDIAN_ANSWER_TOKENS, PrefixCache, answer_text, answer_tokens, complete, count_tokens
from demo.inquiries import QUESTIONS, REFUSAL
from demo.provider import StubProvider, duration_s
from demo.releases import content_of


def median_tokens(wording: str) -> float:
    rng = random.Random(1)
    return statistics.median(answer_tokens(content_of(wording)["prompt"], rng) for _ in range(4_000))


def test_the_new_prompt_makes_answers_longer_and_equal_words_do_not() -> None:
    before = median_tokens("v1")
    assert before == pytest.approx(MEDIAN_ANSWER_TOKENS, rel=0.03)
    assert median_tokens("v2") / before == pytest.approx(1.6, rel=0.05)
    assert median_tokens("v2-equal") == before


def test_every_wording_costs_the_same_to_send() -> None:
    sizes = [count_tokens(content_of(wording)["prompt"]) for wording in ("v1", "v2", "v2-equal")]
    assert max(sizes) - min(sizes) <= 0.01 * min(sizes)


@pytest.mark.parametrize("tokens", [12, 13, 211, 2_000])
def test_an_answer_has_the_length_that_it_is_billed_for(tokens: int) -> None:
    assert count_tokens(answer_text(tokens, random.Random(3))) == tokens


def test_a_prefix_is_cached_from_its_second_use_on_in_steps() -> None:
    cache = PrefixCache()
    prompt = content_of("v1")["prompt"]
    assert cache.read(prompt + " Where is my parcel?") == 0
    assert cache.read(prompt + " And my bill?") == count_tokens(prompt) // 128 * 128 >= 1_024
    assert cache.read(content_of("v2")["prompt"]) == 1_024
    assert cache.read("x" + prompt) == 0


def test_short_prompts_are_never_cached() -> None:
    cache = PrefixCache()
    assert [cache.read("a" * 4_000), cache.read("a" * 4_000)] == [0, 0]


def test_longer_answers_take_longer() -> None:
    rng = random.Random(5)
    messages = [{"role": "user", "content": "Where is my parcel?"}]
    answers = sorted((complete(messages, rng, PrefixCache()) for _ in range(200)), key=lambda one: one.completion_tokens)
    short, long = answers[:50], answers[-50:]
    assert statistics.mean(duration_s(one, rng) for one in long) > 1.5 * statistics.mean(duration_s(one, rng) for one in short)


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(StubProvider(seed=3).app()), base_url="http://provider")


async def test_an_answer_has_the_form_of_the_api() -> None:
    async with client() as http:
        asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Where is my parcel?"}]}
        found = (await http.post("/v1/chat/completions", json=asked)).json()
    usage = found["usage"]
    assert found["model"] == "gpt-4o-mini-2024-07-18"
    assert found["id"].startswith("chatcmpl-")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert count_tokens(found["choices"][0]["message"]["content"]) == usage["completion_tokens"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"messages": [{"role": "user", "content": "?"}]}, "model"),
        ({"model": "gpt-4o-mini", "messages": []}, "messages"),
        ({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": None}]}, "a text as its content"),
        ({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "?"}], "stream": True}, "streaming"),
    ],
)
async def test_what_it_cannot_answer_is_refused(asked: dict[str, object], why: str) -> None:
    async with client() as http:
        answer = await http.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 400
    assert why in answer.json()["error"]["message"]


async def test_questions_of_the_handbook_search_get_answers_of_their_own() -> None:
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTIONS[-1]}]}
    async with client() as http:
        found = (await http.post("/v1/chat/completions", json=asked)).json()
    assert found["choices"][0]["message"]["content"] == REFUSAL
    assert found["usage"]["completion_tokens"] == count_tokens(REFUSAL)


async def test_they_leave_the_answers_of_the_support_desk_as_they_were() -> None:
    support = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Where is my parcel?"}]}
    inquiry = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    texts = []
    for before in ([], [inquiry, inquiry]):
        async with client() as http:
            for asked in before:
                await http.post("/v1/chat/completions", json=asked)
            answer = (await http.post("/v1/chat/completions", json=support)).json()
        texts.append(answer["choices"][0]["message"]["content"])
    assert texts[0] == texts[1]


def test_there_are_few_different_answers_so_that_they_are_embedded_once() -> None:
    rng, cache = random.Random(1), PrefixCache()
    messages = [{"role": "system", "content": content_of("v1")["prompt"]}, {"role": "user", "content": "Where is my parcel?"}]
    texts = [complete(messages, rng, cache).text for _ in range(500)]
    assert len(set(texts)) <= 80
    assert len({len(text) for text in texts}) == len(set(texts))
