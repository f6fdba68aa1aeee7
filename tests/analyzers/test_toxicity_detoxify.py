"""Detoxify from a local checkpoint: verified before it is loaded, and equal to the model's own logits."""

from __future__ import annotations

import hashlib
import pickle
import socket
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from pydantic import ValidationError

from analyzers.hosting import ModelUnavailableError
from analyzers.toxicity.detoxify import DetoxifyModel
from schemas.analysis import ToxicitySettings
from tests.analyzers.tiny_detoxify import ORIGINAL, UNBIASED, TinyCheckpoint, bert_checkpoint, roberta_checkpoint

torch = pytest.importorskip("torch", reason='pip install "tracewarden[models]"')
TEXTS = ["you are nice", "what an awful day it was", "x", "so long and thanks for all the fish"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return bert_checkpoint(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return roberta_checkpoint(tmp_path_factory.mktemp("roberta"))


def direct(tiny: TinyCheckpoint, text: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    with torch.no_grad():
        logits = tiny.model(**tiny.tokenizer([text], return_tensors="pt")).logits
    return np.asarray(torch.sigmoid(logits.double())[0].numpy())


def test_bert_equals_direct_logits(bert: TinyCheckpoint) -> None:
    model = DetoxifyModel(bert.settings(batch_size=2))
    found = model.probabilities(TEXTS)
    assert model.classes == ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
    np.testing.assert_allclose(found, [direct(bert, text) for text in TEXTS], atol=1e-5)
    assert found.std(axis=0).min() > 0.001, "the texts differ, so that order is tested too"


def test_equals_detoxify_itself(bert: TinyCheckpoint) -> None:
    from detoxify import Detoxify

    theirs = Detoxify(checkpoint=str(bert.path), device="cpu").predict(TEXTS)
    ours = DetoxifyModel(bert.settings())
    np.testing.assert_allclose(ours.probabilities(TEXTS), np.array([theirs[name] for name in ours.classes]).T, atol=1e-5)


def test_roberta_has_further_outputs_for_identities(roberta: TinyCheckpoint) -> None:
    model = DetoxifyModel(roberta.settings(model="unbiased"))
    assert model.classes == UNBIASED
    expected = [direct(roberta, text)[: len(UNBIASED)] for text in TEXTS]
    np.testing.assert_allclose(model.probabilities(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize("text", ["word " * 5_000, "", "\x00\x01", "lone \ud800 surrogate", "漢字 🎉"])
def test_any_text_has_a_score(bert: TinyCheckpoint, roberta: TinyCheckpoint, text: str) -> None:
    for tiny in (bert, roberta):
        found = DetoxifyModel(tiny.settings()).probabilities([text, "fine"])
        assert np.isfinite(found).all()


def test_no_texts(bert: TinyCheckpoint) -> None:
    assert DetoxifyModel(bert.settings()).probabilities([]).shape == (0, len(ORIGINAL))


def test_the_version_names_the_checkpoint(bert: TinyCheckpoint) -> None:
    settings = bert.settings()
    assert DetoxifyModel(settings).version == f"detoxify-original@{(settings.checkpoint_sha256 or '')[:8]}"


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_checkpoint_with_another_hash_is_never_loaded(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(ModelUnavailableError, match=r"not the file that was meant.*checkpoint_sha256"):
        DetoxifyModel(ToxicitySettings(checkpoint=path, checkpoint_sha256="0" * 64))
    assert not mark.exists()


def test_a_file_under_the_published_name_is_verified_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    mark, path = tmp_path / "mark", tmp_path / "hub" / "checkpoints" / "toxic_debiased-c7548aa0.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(ModelUnavailableError, match="expected c7548aa0"):
        DetoxifyModel(ToxicitySettings())
    assert not mark.exists()


def test_without_a_checkpoint_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelUnavailableError, match=r"analysis\.toxicity\.checkpoint"):
        DetoxifyModel(ToxicitySettings())


def test_a_base_model_that_is_not_here_is_not_fetched(
    tmp_path: Path, bert: TinyCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection was tried")

    content = torch.load(bert.path, weights_only=False)
    content["config"]["arch"]["args"]["model_type"] = "nobody/has-this-model"
    path = tmp_path / "named.ckpt"
    torch.save(content, path)
    named = TinyCheckpoint(path, bert.base, bert.model, bert.tokenizer)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ModelUnavailableError, match=r"analysis\.toxicity\.base_model"):
        DetoxifyModel(named.settings())
    found = DetoxifyModel(named.settings(base_model=bert.base)).probabilities(TEXTS)
    np.testing.assert_allclose(found, [direct(bert, text) for text in TEXTS], atol=1e-5)


def test_missing_weights_are_not_drawn_at_random(tmp_path: Path, bert: TinyCheckpoint) -> None:
    content = torch.load(bert.path, weights_only=False)
    del content["state_dict"]["classifier.weight"]
    path = tmp_path / "lacking.ckpt"
    torch.save(content, path)
    with pytest.raises(ModelUnavailableError, match=r"classifier\.weight"):
        DetoxifyModel(TinyCheckpoint(path, bert.base, bert.model, bert.tokenizer).settings())


def test_something_else_than_a_checkpoint(tmp_path: Path, bert: TinyCheckpoint) -> None:
    path = tmp_path / "other.ckpt"
    torch.save({"weights": 1}, path)
    with pytest.raises(ModelUnavailableError, match="no checkpoint of Detoxify's"):
        DetoxifyModel(TinyCheckpoint(path, bert.base, bert.model, bert.tokenizer).settings())


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", b"PK\x03\x04", b"\x80\x02c"])
def test_a_file_that_cannot_be_read_as_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    settings = ToxicitySettings(checkpoint=path, checkpoint_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ModelUnavailableError, match="no checkpoint of Detoxify's"):
        DetoxifyModel(settings)


def test_a_device_that_is_not_here(bert: TinyCheckpoint) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has what others lack")
    with pytest.raises(ModelUnavailableError, match=r"analysis\.toxicity\.device"):
        DetoxifyModel(bert.settings(device="cuda"))


@pytest.mark.parametrize("sha256", [None, "", "c7548aa0"])
def test_a_checkpoint_needs_its_whole_hash(sha256: str | None) -> None:
    with pytest.raises(ValidationError, match="checkpoint_sha256"):
        ToxicitySettings(checkpoint=Path("model.ckpt"), checkpoint_sha256=sha256)


@pytest.mark.parametrize("doubt", [(0.9, 0.1), (-0.1, 0.5), (0.1, 1.1)])
def test_doubt_is_a_band_of_probabilities(doubt: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="doubt"):
        ToxicitySettings(doubt=doubt)
