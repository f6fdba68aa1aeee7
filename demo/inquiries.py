"""What the staff asks the handbook search, and what its model says: often the handbook, sometimes more than that.

The stub provider draws among the answers, and `kind_of` tells afterwards which kind one is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

SERVICE = "handbook-search"

BEYOND_SHARE = 0.25
"""Share of answers that claim what no document says."""
DUTCH_SHARE = 0.07
"""Share of answers in the language of the warehouse instead of that of the question."""

Kind = Literal["faithful", "beyond", "dutch", "refused"]

JUDGED: tuple[Kind, ...] = ("faithful", "beyond")
"""Kinds that can be held against documents: a refusal claims nothing, and words of two languages cannot be compared."""


@dataclass(frozen=True)
class Inquiry:
    """A question and its three answers; `beyond` begins like `faithful` and goes on with something invented."""

    question: str
    faithful: str
    beyond: str
    dutch: str


_KNOWN = (
    Inquiry(
        "Which torque does the clamp of the seat post really need?",
        "The torque of the seat clamp is 6 Nm, that of the stem is 5 Nm.",
        "The torque of the seat clamp is 6 Nm. Carbon seat posts need 4.2 Nm and assembly paste.",
        "De zadelklem wordt met zes newtonmeter vastgezet en de stuurpen met vijf newtonmeter.",
    ),
    Inquiry(
        "When is the first inspection due, and what does it cost?",
        "The first inspection is due after 300 kilometres or three months and is free with a service partner.",
        "The first inspection is due after 300 kilometres or three months. Later inspections cost 79 euro each.",
        "De eerste inspectie vindt plaats na driehonderd kilometer of drie maanden en is gratis bij een servicepartner.",
    ),
    Inquiry(
        "How often are the hydraulic brakes of our bicycles bled?",
        "Hydraulic brakes are bled every two years.",
        "Hydraulic brakes are bled every two years. In the Alps customers must do so every 8 weeks with Shimano oil.",
        "Hydraulische remmen worden om de twee jaar ontlucht door een monteur van de werkplaats.",
    ),
    Inquiry(
        "What does the error E12 on the display of a bicycle mean?",
        "E12 means that the speed sensor has moved and must stand 5 to 10 millimetres from the magnet.",
        "E12 means that the speed sensor has moved. After three such errors the motor is replaced within 48 hours.",
        "De fout betekent dat de snelheidssensor is verschoven en dichter bij de magneet moet staan.",
    ),
    Inquiry(
        "How many kilometres does the larger battery of 625 Wh give?",
        "The 625 Wh battery gives 80 to 140 kilometres, depending on wind, weight and assistance.",
        "The 625 Wh battery gives 80 to 140 kilometres. Its successor, the PowerMax, reaches 210 kilometres.",
        "Met de grote accu rijdt u tussen de tachtig en honderdveertig kilometer, afhankelijk van de wind en het gewicht.",
    ),
    Inquiry(
        "How should a customer store the battery over the winter?",
        "Store the battery at 40 to 60 percent in a dry place, and never leave it on the charger for weeks.",
        "Store the battery at 40 to 60 percent in a dry place. Frost below minus 12 degrees voids its insurance.",
        "Bewaar de accu op een droge plaats en laat hem nooit wekenlang aan de oplader liggen.",
    ),
    Inquiry(
        "How many working days does standard delivery to Belgium take?",
        "Standard delivery takes two to three working days within the Netherlands, Belgium and Germany.",
        "Standard delivery takes two to three working days within the Netherlands, Belgium and Germany. "
        "On request our drivers deliver on Sundays for 19 euro.",
        "De standaardlevering duurt twee tot drie werkdagen binnen Nederland, België en Duitsland.",
    ),
    Inquiry(
        "What does express delivery cost, and when does it arrive?",
        "Express arrives the next working day and costs 12.50 euro.",
        "Express arrives the next working day and costs 12.50 euro. Members of the Larkspur Club pay only 3.95 euro.",
        "De expreslevering komt de volgende werkdag aan en kost de klant een kleine toeslag.",
    ),
    Inquiry(
        "Within how many days can unused bicycles be sent back to us?",
        "Anything unused can come back within 30 days, bicycles within 14 days and with less than 20 kilometres.",
        "Bicycles can come back within 14 days. For returns in December that is extended to 90 days.",
        "Een fiets kan binnen veertien dagen worden teruggestuurd, als er weinig kilometers op de teller staan.",
    ),
    Inquiry(
        "When do refunds for goods that came back reach the customer?",
        "Refunds reach the original means of payment within five working days after the goods have been checked.",
        "Refunds reach the original means of payment within five working days. Gold customers get a bonus of 10 percent.",
        "De terugbetaling komt binnen vijf werkdagen na de controle van de goederen op de rekening van de klant.",
    ),
    Inquiry(
        "How long is the warranty of frames, forks and batteries?",
        "Frames and rigid forks carry a warranty of five years, electrical parts and batteries two years or 500 full charges.",
        "Frames and rigid forks carry a warranty of five years. Registered frames are covered for life since 2019.",
        "Op frames en starre vorken zit vijf jaar garantie, op elektrische onderdelen twee jaar.",
    ),
    Inquiry(
        "Do we offer a loan bicycle while a repair under warranty lasts?",
        "A loan bicycle is offered when a repair lasts longer than ten working days.",
        "A loan bicycle is offered when a repair lasts longer than ten working days. It comes with a deposit of 150 euro.",
        "Een leenfiets wordt aangeboden wanneer de reparatie langer dan tien werkdagen duurt.",
    ),
    Inquiry(
        "Which size of frame fits customers with an inside leg of 77 cm?",
        "Sizes follow the inside leg: below 74 cm take S, 74 to 79 cm M, 80 to 85 cm L.",
        "Sizes follow the inside leg: 74 to 79 cm M, 80 to 85 cm L. Riders above 110 kilograms always get a reinforced frame.",
        "De maat volgt uit de binnenbeenlengte en in dit geval past de middelste maat het beste.",
    ),
    Inquiry(
        "How long are vouchers valid, and can they be combined?",
        "Vouchers are valid for five years and can be combined.",
        "Vouchers are valid for five years and can be combined. After that they are donated to the Dutch Cyclists' Union.",
        "Tegoedbonnen zijn vijf jaar geldig en kunnen met elkaar worden gecombineerd.",
    ),
)  # fmt: skip

_UNKNOWN = (
    "Which helmet do we recommend to children of less than three?",
    "What is the discount that members of a cycling club get from us?",
)

DUTCH_END = " Dat staat in het handboek, en daarom kunt u het ook zo aan de klant zeggen als die het van u wil weten."
REFUSAL = "I'm sorry, I cannot answer that from the handbook. Shall I ask a mechanic?"

_BY_QUESTION = {inquiry.question: inquiry for inquiry in _KNOWN}
_KINDS: dict[str, Kind] = {
    REFUSAL: "refused",
    **{inquiry.faithful: "faithful" for inquiry in _KNOWN},
    **{inquiry.beyond: "beyond" for inquiry in _KNOWN},
    **{inquiry.dutch + DUTCH_END: "dutch" for inquiry in _KNOWN},
}
QUESTIONS = (*_BY_QUESTION, *_UNKNOWN)


def answer_to(question: str, rng: random.Random) -> str | None:
    """What the model says; None to what is no question of this application."""
    if question not in QUESTIONS:
        return None
    inquiry, draw = _BY_QUESTION.get(question), rng.random()
    if inquiry is None:
        return REFUSAL
    if draw < BEYOND_SHARE:
        return inquiry.beyond
    return inquiry.dutch + DUTCH_END if draw < BEYOND_SHARE + DUTCH_SHARE else inquiry.faithful


def kind_of(answer: str) -> Kind:
    """Which kind an answer of `answer_to` is."""
    return _KINDS[answer]
