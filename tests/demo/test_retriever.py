"""The search in the handbook."""

from __future__ import annotations

from demo.releases import HANDBOOK
from demo.retriever import Document, Retriever, sections


def test_sections_are_those_of_the_handbook() -> None:
    found = sections(HANDBOOK.read_text())
    assert [document.id for document in found][:3] == ["orders", "returns-and-refunds", "warranty"]
    assert all(document.text and "#" not in document.text for document in found)


def test_rare_words_decide() -> None:
    retriever = Retriever(
        [Document("a", "The brake of the bicycle"), Document("b", "The torque of the clamp"), Document("c", "The bicycle")]
    )
    assert [hit.document.id for hit in retriever.find("the torque")] == ["b", "a"]
    assert retriever.find("Zzz") == []
