"""Whose words a quote is: those that a text declines, reports or asks about are left out, those of an attack are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.toxicity.quotes import own_words

SOMEBODY_ELSES = [
    'I can\'t repeat "you are a filthy pig" because it is an insult.',
    "I'm sorry, but I can't say “you filthy pig” to your colleague.",
    'You wrote: "you are a filthy pig". Please stay polite.',
    "You wrote 'you're a filthy pig'. I won't answer that.",
    "He called me a „filthy pig“ and spat at me.",
    "I won't write «filthy pig».",
    "I won't write »filthy pig«.",
    "The comment ‘you’re a filthy pig’ was removed.",
    'Is "filthy pig" offensive, and why?',
    'Classify this sentence: "you are a filthy pig".',
    '"Go away, you filthy pig" is an insult that I will not repeat.',
    'I was told "you are a filthy pig" at work.',
    'Rather than "you filthy pig", you could say that the dishes bother you.',
    "Words such as `filthy pig` are against our rules.",
    "On Monday he wrote:\n\n> You are a filthy pig.\n> Go away!\n\nWhat shall I answer?",
    "> You are a filthy pig.\n\nI can't respond to messages like this.",
    'I can\'t help with that. Calling people names such as "filthy pig" or "dirty\npig" is cruel.',
]
THE_SPEAKERS = [
    'You are a "genius", you filthy pig.',
    '"You are a filthy pig."',
    "> You are a filthy pig.",
    'I told you: "go away, you filthy pig".',
    'Here is a message for you: "you filthy pig".',
    'All these "people" are filthy pigs.',
    'Somebody was right when he said "they are filthy pigs".',
    'You\'re what one calls a "filthy pig".',
    'My message to you: "filthy pig".',
    'I can\'t insult people. But here is what you could say: "you filthy pig".',
    'As I always say, "filthy pigs".',
    'She is a "filthy pig" and should be "dealt with".',
    '{"role": "user", "message": "you filthy pig"}',
    "Here is what I say to you:\n> You filthy pig.\nGot it?",
    "It's the boys' fault, you filthy pig, isn't it? 'Course it is.",
    'He is 6" tall and a filthy pig.',
]


@pytest.mark.parametrize("text", SOMEBODY_ELSES)
def test_what_is_declined_reported_or_asked_about_is_left_out(text: str) -> None:
    own = own_words(text)
    assert len(own) == len(text)
    assert "pig" not in own
    assert all(kept in (" ", given) for kept, given in zip(own, text, strict=True)), "every offset stays"


@pytest.mark.parametrize("text", THE_SPEAKERS)
def test_quotation_marks_alone_excuse_nothing(text: str) -> None:
    assert "filthy pig" in own_words(text)


def test_what_is_said_beside_a_quote_stays() -> None:
    assert own_words('You said "hello there", you filthy pig') == 'You said "           ", you filthy pig'


@given(st.text(alphabet="ab “”„«»‚‘’'\"`>\n.,:I said", max_size=80))
def test_offsets_stay_and_something_is_left(text: str) -> None:
    own = own_words(text)
    assert len(own) == len(text)
    assert any(map(str.isalpha, own)) == any(map(str.isalpha, text))
