"""The retrieval assistant: one trace a question, by the conventions for retrievals."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
from openai import AsyncOpenAI
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from demo.handbook_search import HandbookSearch
from demo.inquiries import QUESTIONS
from demo.planted import Planter, read_plantings
from demo.provider import StubProvider
from demo.releases import HANDBOOK
from demo.retriever import Retriever, sections


async def traces(questions: list[str], file: Path) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    transport = httpx2.ASGITransport(StubProvider(seed=3).app())
    async with AsyncOpenAI(
        base_url="http://provider/v1", api_key="sk-demo", http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        retriever = Retriever(sections(HANDBOOK.read_text()))
        application = HandbookSearch(client, retriever, provider.get_tracer("test"), Planter(file))
        for question in questions:
            await application.search(question)
    return list(exporter.get_finished_spans())


async def test_a_retrieval_carries_its_query_and_documents(tmp_path: Path) -> None:
    retrieval, request = await traces(["How long are vouchers valid, and can they be combined?"], tmp_path / "planted.jsonl")
    assert retrieval.parent is not None
    assert request.context is not None
    assert retrieval.parent.span_id == request.context.span_id
    attributes = dict(retrieval.attributes or {})
    assert attributes["gen_ai.operation.name"] == "retrieval"
    assert attributes["gen_ai.retrieval.query.text"] == "How long are vouchers valid, and can they be combined?"
    documents = json.loads(str(attributes["gen_ai.retrieval.documents"]))
    assert documents[0]["id"] == "payment-and-accounts"
    assert "Vouchers are valid for five years" in documents[0]["content"]


async def test_what_it_answered_is_noted_with_the_trace(tmp_path: Path) -> None:
    spans = await traces(list(QUESTIONS[-2:]), tmp_path / "planted.jsonl")
    noted = read_plantings(tmp_path / "planted.jsonl")
    assert [planting.kind for planting in noted] == ["refused", "refused"]
    assert {planting.trace_id for planting in noted} == {f"{span.context.trace_id:032x}" for span in spans if span.context}
