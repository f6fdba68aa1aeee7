"""What the stub provider says, and what it says it cost: token counts, answer lengths and the prefix cache of a provider."""

from __future__ import annotations

import hashlib
import math
import random
from collections import OrderedDict
from dataclasses import dataclass, field

CHARACTERS_PER_TOKEN = 4
MEDIAN_ANSWER_TOKENS = 210
ANSWER_SIGMA = 0.45
SHORTEST_ANSWER_TOKENS, LONGEST_ANSWER_TOKENS = 16, 2_000

ANSWER_STEP_TOKENS = 8
"""Answers of one length are one answer: a desk repeats itself, and a text is embedded only once. So a laptop can keep up."""

# A model that is asked to be thorough writes this much more.
THOROUGH = ("be thorough", "in detail", "each step", "elaborate", "at length")
THOROUGH_FACTOR = 1.6

# A prefix seen before is read from the cache, from 1,024 tokens on and in steps of 128, as OpenAI documents it.
CACHE_STEP_TOKENS = 128
SHORTEST_CACHED_TOKENS = 1_024

_SENTENCES = (
    "You can follow the parcel with the tracking link in the e-mail from the evening on.",
    "Please make the return label on the order page and bring the parcel to any pick-up point.",
    "The refund reaches your original means of payment within five working days after the check.",
    "Switch the bicycle off, take out the battery and clean its contacts with a dry cloth.",
    "The speed sensor should stand five to ten millimetres from the magnet on the spoke.",
    "With an inside leg of 78 centimetres size M fits, and the saddle can move by four centimetres.",
    "Your warranty covers the motor for two years; wear parts such as the chain are excluded.",
    "A service partner near you can do this free of charge at the first inspection.",
    "Between two sizes the smaller one rides more nimbly and the larger one more calmly.",
    "The carrier calls you to agree on a morning or an afternoon before the bicycle arrives.",
    "Store the battery in a dry place at about half of its charge over the winter.",
    "If the noise stays, ask a mechanic to look at the bearings before you ride on.",
    "The address can still be changed while the order page says that it is in preparation.",
    "Tyre pressure is printed on the side of the tyre; take a little less for gravel.",
    "An exchange is a refund and a new order, so that your size is not lost meanwhile.",
)


@dataclass(frozen=True)
class Completion:
    """An answer with its usage, as the provider counts it."""

    text: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


def count_tokens(text: str) -> int:
    """About what a tokenizer counts for English."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def answer_tokens(system: str, rng: random.Random) -> int:
    """How long an answer gets: lognormal, and longer when the prompt asks for it."""
    wanted = any(phrase in system.lower() for phrase in THOROUGH)
    median = MEDIAN_ANSWER_TOKENS * (THOROUGH_FACTOR if wanted else 1.0)
    drawn = ANSWER_STEP_TOKENS * round(rng.lognormvariate(math.log(median), ANSWER_SIGMA) / ANSWER_STEP_TOKENS)
    return min(max(drawn, SHORTEST_ANSWER_TOKENS), LONGEST_ANSWER_TOKENS)


def answer_text(tokens: int, rng: random.Random) -> str:
    """Sentences of a support desk, of exactly so many tokens."""
    size = tokens * CHARACTERS_PER_TOKEN
    pieces: list[str] = []
    while sum(map(len, pieces)) + len(pieces) <= size:
        pieces.append(rng.choice(_SENTENCES))
    return " ".join(pieces)[: size - 1].rstrip(" .").ljust(size - 1, ".") + "."


@dataclass
class PrefixCache:
    """Which beginnings of prompts were seen before."""

    capacity: int = 4_096
    _seen: OrderedDict[bytes, None] = field(default_factory=OrderedDict)

    def read(self, prompt: str) -> int:
        """Tokens of `prompt` that are read from the cache; from now on all of it is in there."""
        cached = 0
        unbroken = True
        step = CACHE_STEP_TOKENS * CHARACTERS_PER_TOKEN
        digest = hashlib.blake2b(digest_size=16)
        for place in range(step, len(prompt) + 1, step):
            digest.update(prompt[place - step : place].encode())
            unbroken = unbroken and digest.digest() in self._seen
            cached += CACHE_STEP_TOKENS if unbroken else 0
            self._keep(digest.digest())
        return cached if cached >= SHORTEST_CACHED_TOKENS else 0

    def _keep(self, key: bytes) -> None:
        self._seen[key] = None
        self._seen.move_to_end(key)
        while len(self._seen) > self.capacity:
            self._seen.popitem(last=False)


def complete(messages: list[dict[str, str]], rng: random.Random, cache: PrefixCache) -> Completion:
    """Answer a conversation of the support desk; only its text is looked at."""
    system = " ".join(message["content"] for message in messages if message["role"] == "system")
    tokens = answer_tokens(system, rng)
    return completion_of(messages, answer_text(tokens, random.Random(tokens)), cache)


def completion_of(messages: list[dict[str, str]], text: str, cache: PrefixCache) -> Completion:
    """This answer to a conversation."""
    prompt = "\n".join(message["content"] for message in messages)
    return Completion(text, count_tokens(prompt), cache.read(prompt), count_tokens(text))
