"""Embeddings in the form that they are stored in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import torch
from numpy.typing import NDArray

from analyzers.drift.analyzer import SAMPLE_COLUMNS
from analyzers.drift.bfloat16 import from_bfloat16, to_bfloat16
from schemas.drift import Slice, Stream
from storage.clickhouse import ClickHouseStore
from storage.drift import SampledEmbeddings, StreamGroup, read_embeddings, read_samples

AT = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def unit_rows(rows: int, dimensions: int = 384) -> NDArray[np.float32]:
    drawn = np.random.default_rng(5).normal(size=(rows, dimensions)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def test_rounds_as_torch_does() -> None:
    rows = np.concatenate([unit_rows(50), np.ldexp(unit_rows(50), np.random.default_rng(6).integers(-30, 30, (50, 1)))])
    halfway = np.array([[0x3F808000, 0x3F818000, 0x3F818001, 0x3F807FFF]], dtype=np.uint32).view(np.float32)
    for each in (rows, halfway, np.zeros((2, 3), dtype=np.float32)):
        expected = torch.from_numpy(each).to(torch.bfloat16).to(torch.float32).numpy()
        assert np.array_equal(from_bfloat16(to_bfloat16(each), each.shape[1]), expected)


def test_an_embedding_stays_what_it_was() -> None:
    rows = unit_rows(200)
    stored = from_bfloat16(to_bfloat16(rows), 384)
    cosines = np.sum(rows * stored, axis=1) / np.linalg.norm(stored, axis=1)
    assert cosines.min() > 0.99999
    assert abs(np.mean(stored @ rows[0] - rows @ rows[0])) < 1e-4


def test_of_none_there_are_no_rows() -> None:
    assert from_bfloat16([], 384).shape == (0, 384)


async def test_zeros_at_the_end_are_read_back(store: ClickHouseStore) -> None:
    """Bytes of zero at the end of a string are part of it."""
    rows = np.array([[0.5, 0.0, 0.0], [0.0, 0.0, 0.0], [0.25, 1.0, 0.0]], dtype=np.float32)
    blank = ("p", "prompt", "e", "s", "t", AT)
    ids = [(bytes([n]) * 16, bytes([n]) * 8) for n in range(3)]
    stored = [[*blank, n, n, "v1", "m", *ids[n], AT, AT, "text", embedding] for n, embedding in enumerate(to_bfloat16(rows))]
    await store.insert_rows("embedding_samples", list(SAMPLE_COLUMNS), stored)
    stream = Stream("p", "prompt", Slice("s", "t"))
    samples = await read_samples(store, stream, "e", AT, AT + HOUR, 10)
    read = {sample.trace_id[:2]: from_bfloat16([sample.embedding], 3)[0].tolist() for sample in samples}
    assert read == {f"{n:02x}": rows[n].tolist() for n in range(3)}
    (found,) = await read_embeddings(store, StreamGroup("p", "prompt", "s"), "e", AT, AT + HOUR, 10)
    assert isinstance(found, SampledEmbeddings)
    assert sorted(from_bfloat16([found.embeddings], 3).tolist()) == sorted(rows.tolist())


async def test_the_lowest_slots_are_read_whole(store: ClickHouseStore) -> None:
    embedding = to_bfloat16(unit_rows(1, 4))[0]

    def row(target: str, bucket: int, slot: int) -> list[object]:
        at = AT + bucket * HOUR
        return ["p", "prompt", "e", "s", target, at, slot, 1, "v1", "m", bytes(16), bytes(8), at, at, "text", embedding]

    busy = [row("busy", bucket, slot) for bucket in range(3) for slot in range(10)]
    quiet = [row("quiet", 1, slot) for slot in (3, 7)]
    await store.insert_rows("embedding_samples", list(SAMPLE_COLUMNS), busy + quiet)
    for limit, busy_texts in ((7, 9), (None, 30)):
        found = await read_embeddings(store, StreamGroup("p", "prompt", "s"), "e", AT, AT + 3 * HOUR, limit)
        read = {each.slice.target: len(each.embeddings) // len(embedding) for each in found}
        assert read == {"busy": busy_texts, "quiet": 2}
