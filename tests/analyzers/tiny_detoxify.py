"""Checkpoints in the form of Detoxify's own, with models small enough to make in a test."""

from __future__ import annotations

import hashlib
import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.analysis import ToxicitySettings

ORIGINAL = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
UNBIASED = ("toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit")
UNBIASED_OUTPUTS = 16
"""Its classes, and identities after them."""
POSITIONS = 64


@dataclass(frozen=True)
class TinyCheckpoint:
    """A checkpoint on disk, and the model it holds."""

    path: Path
    base: Path
    model: Any
    tokenizer: Any

    def settings(self, **changes: Any) -> ToxicitySettings:
        """Settings that load it."""
        sha256 = hashlib.sha256(self.path.read_bytes()).hexdigest()
        given: dict[str, Any] = {"model": "original", "checkpoint": self.path, "checkpoint_sha256": sha256, "device": "cpu"}
        return ToxicitySettings(**(given | changes))


def bert_checkpoint(folder: Path, classes: tuple[str, ...] = ORIGINAL) -> TinyCheckpoint:
    """Like `original`: BERT, as many outputs as classes."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, *(f"##{c}" for c in string.ascii_lowercase)]
    base = folder / "bert"
    base.mkdir()
    (base / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(base / "vocab.txt")).save_pretrained(base)
    config = BertConfig(vocab_size=len(words), num_labels=len(classes), max_position_embeddings=POSITIONS, **_SIZES)
    config.save_pretrained(base)
    return _stored(folder, base, BertForSequenceClassification(config), BertTokenizer, classes)


def roberta_checkpoint(folder: Path) -> TinyCheckpoint:
    """Like `unbiased`: RoBERTa, with more outputs than classes."""
    from transformers import RobertaConfig, RobertaForSequenceClassification, RobertaTokenizer

    base = folder / "roberta"
    base.mkdir()
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *string.ascii_letters, *string.punctuation, "Ġ"]
    (base / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (base / "merges.txt").write_text("#version: 0.2\n")
    config = RobertaConfig(
        vocab_size=len(tokens), num_labels=UNBIASED_OUTPUTS, max_position_embeddings=POSITIONS, pad_token_id=1, **_SIZES
    )
    config.save_pretrained(base)
    return _stored(folder, base, RobertaForSequenceClassification(config), RobertaTokenizer, UNBIASED)


_SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def _stored(folder: Path, base: Path, model: Any, tokenizer: Any, classes: tuple[str, ...]) -> TinyCheckpoint:
    import torch

    _make_opinionated(model)
    arguments = {
        "model_type": str(base),
        "model_name": type(model).__name__,
        "tokenizer_name": tokenizer.__name__,
        "num_classes": model.config.num_labels,
    }
    config = {"arch": {"args": arguments}, "dataset": {"args": {"classes": list(classes)}}}
    path = folder / f"{base.name}.ckpt"
    torch.save({"config": config, "state_dict": model.state_dict()}, path)
    return TinyCheckpoint(path, base, model.eval(), tokenizer.from_pretrained(base, local_files_only=True))


def _make_opinionated(model: Any) -> None:
    """Weights large enough that texts differ in their scores."""
    import torch

    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
