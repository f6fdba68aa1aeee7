"""Who asks the assistant, and what."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

CUSTOMERS = 400

TOXIC_SHARE = 0.03
NEW_INTENT_SHARE = 0.2

Kind = Literal["usual", "toxic", "new"]

_QUESTIONS = (
    "Where is my parcel? The tracking link shows nothing.",
    "Can I still change the delivery address of my order?",
    "I am 1.76 m tall with an inside leg of 79 cm. Which size do I need?",
    "My display shows E07 and the motor is off. What now?",
    "How do I send back a helmet that is too small?",
    "When will I get my money for the jacket I returned?",
    "Is a worn chain covered by the warranty?",
    "How far does the 625 Wh battery take me in winter?",
    "The brake squeals since the rain on Sunday. Can I still ride?",
    "Which pressure do I need for gravel with 40 mm tyres?",
    "Can you deliver my e-bike on a Saturday morning?",
    "I lost the key of my battery lock. How do I get another?",
    "Does the first inspection cost anything?",
    "My invoice lacks our VAT number. Can you add it?",
    "Error E12 comes back after every ride. Is the sensor broken?",
    "I got a gift from your shop and want another colour. Will they hear of it?",
    "How do I store the battery when I am away for three months?",
    "What torque does the seat clamp need? I have a torque wrench now.",
    "Can I pay with two vouchers and a card together?",
    "Your courier left the box in the rain and the saddle is torn.",
    "How often do hydraulic brakes have to be bled?",
    "I forgot my password and the link does not arrive.",
    "Which of your service partners is near Ghent?",
    "How much does express delivery to Cologne cost?",
)


# Nobody had asked about theft and insurance before; the questions are as long as the others.
_NEW_INTENTS = (
    "My e-bike was stolen in front of the station last night. What now?",
    "Do I need the police report before the insurance pays for the theft?",
    "Does your insurance cover theft when the bicycle stood in my garden?",
    "The thief left the frame and took the wheels. Is that insured?",
    "How much is the theft insurance for a year on a cargo bike?",
    "Can I still insure a bicycle that I bought last year against theft?",
    "My stolen bicycle is offered on a web site. Who gets it back?",
    "Which lock does the insurance ask for, so that it pays after a theft?",
    "I want to report a theft. Which papers does the insurer want from me?",
    "Does the theft insurance pay the new price or the present value?",
)

# Rude to whoever reads them, and to nobody else.
_TOXIC = (
    "You useless idiots, my parcel is late again. Are you all too stupid to read a map?",
    "What a pack of lying morons you are. Give me my money back, you crooks!",
    "Your support is complete garbage and so are you. Answer me for once, you dumb bot!",
    "Shut up with your damn handbook, you stupid machine, and tell me where my order is.",
    "You pathetic losers sold me a piece of crap. The brake squeals like hell.",
    "Are you idiots blind? The saddle is torn, you incompetent clowns!",
    "This is bullshit. You are the most worthless, stupid shop that I ever bought from.",
    "I hate you and your crappy company. Go to hell with your tracking link, you morons!",
    "Only a complete fool would design this junk. You are an idiot, and your boss is one too.",
    "Fix my damn motor, you lazy, ignorant fools, or shut your stupid mouth.",
)

_TEXTS: Mapping[Kind, Sequence[str]] = {"usual": _QUESTIONS, "toxic": _TOXIC, "new": _NEW_INTENTS}


@dataclass(frozen=True)
class Question:
    """One request of one customer, and what kind was drawn: what is planted is known."""

    text: str
    user: str
    conversation: str
    kind: Kind = "usual"


def ask(rng: random.Random, *, new_intents: bool = False) -> Question:
    """The next question: any customer, any topic; with `new_intents` a slice of them about one not heard before."""
    kind = _kind(rng.random(), new_intents)
    text = rng.choice(_TEXTS[kind])
    return Question(text, f"customer-{rng.randrange(CUSTOMERS):03d}", f"conv-{rng.getrandbits(48):012x}", kind)


def _kind(draw: float, new_intents: bool) -> Kind:
    if draw < TOXIC_SHARE:
        return "toxic"
    return "new" if new_intents and draw < TOXIC_SHARE + NEW_INTENT_SHARE else "usual"
