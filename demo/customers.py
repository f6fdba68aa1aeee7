"""Who asks the assistant, and what."""

from __future__ import annotations

import random
from dataclasses import dataclass

CUSTOMERS = 400

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


@dataclass(frozen=True)
class Question:
    """One request of one customer."""

    text: str
    user: str
    conversation: str


def ask(rng: random.Random) -> Question:
    """The next question: any customer, any topic."""
    return Question(rng.choice(_QUESTIONS), f"customer-{rng.randrange(CUSTOMERS):03d}", f"conv-{rng.getrandbits(48):012x}")
