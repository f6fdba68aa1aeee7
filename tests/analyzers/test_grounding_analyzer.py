"""The analyzer on real stores: models or none, calibration from feedback, a cross-encoder made here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from analyzers.contract import Batch, Context, Score, SpanText
from analyzers.embedding.embedder import Embedder
from analyzers.grounding.analyzer import GroundingAnalyzer, create
from analyzers.grounding.calibration import NotEnough
from analyzers.grounding.feedback import base_of, calibrate, is_current
from analyzers.records import score_row
from analyzers.resources import Resources
from schemas.analysis import AnalysisSettings, EmbedderSettings, GroundingSettings
from storage.audit import read_audit
from storage.calibrations import Calibration, list_calibrations
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.scores import ScoreRow, insert_scores
from tests.analyzers.grounding_spans import HANDBOOK, NOW, span_of

pytest.importorskip("sentence_transformers", reason='pip install "tracewarden[models]"')

SUPPORTED = "Returns are free of charge within 30 days of delivery."
UNSUPPORTED = "Returns are free of charge within 60 days of delivery."
NO_MODEL = EmbedderSettings(model="/nowhere/such-model")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield pool


@pytest.fixture
def resources(store: ClickHouseStore, control: ControlDatabase, threads: ThreadPoolExecutor) -> Resources:
    """Resources without an embedder, which is how most of this works."""
    return Resources(AnalysisSettings(), store, control, threads, threads, threads, Embedder(NO_MODEL, threads), lambda: NOW)


def batch_of(answers: Sequence[str], service: str = "shop") -> Batch:
    """One trace for each answer, with the handbook as what was retrieved."""
    spans = tuple(
        span_of(answer, trace_id=f"{number:032x}", log_offset=number, service=service)
        for number, answer in enumerate(answers, 1)
    )
    return Batch(spans, {(span.project, span.trace_id, span.span_id): Context(documents=HANDBOOK) for span in spans})


async def scores_of(analyzer: GroundingAnalyzer, batch: Batch) -> Sequence[Score]:
    """What it says of a batch."""
    return (await analyzer.analyze(batch)).scores


async def test_without_an_embedder_every_row_says_lexical(resources: Resources, capsys: pytest.CaptureFixture[str]) -> None:
    analyzer = create(resources)
    first = await scores_of(analyzer, batch_of([SUPPORTED, UNSUPPORTED, "Yes!"]))
    again = await scores_of(analyzer, batch_of([SUPPORTED, UNSUPPORTED, "Yes!"]))
    assert [(score.flagged, score.reason) for score in first] == [(False, ""), (True, ""), (None, "no-claims")]
    assert {score.scorer for score in first} == {"grounding@2-lexical"} == {f"grounding@{analyzer.version}"}
    assert first == again
    assert capsys.readouterr().out.count("grounding.model_unavailable") == 1


async def test_with_an_embedder_the_scorer_names_it(resources: Resources, threads: ThreadPoolExecutor) -> None:
    embedder = Embedder(EmbedderSettings(), threads)
    analyzer = create(dataclasses.replace(resources, embedder=embedder))
    scores = await scores_of(analyzer, batch_of([SUPPORTED, UNSUPPORTED]))
    assert [score.flagged for score in scores] == [False, True]
    assert {score.scorer for score in scores} == {f"grounding@2+{embedder.version}"}
    assert scores[0].evidence[0]["features"]["similarity"] > 0


async def test_spans_without_a_context_or_an_answer(resources: Resources) -> None:
    analyzer = create(resources)
    assert analyzer.parts == ("completion",)
    assert await scores_of(analyzer, Batch((span_of("x", operation="retrieval"),))) == ()
    (score,) = await scores_of(analyzer, Batch((span_of(SUPPORTED),)))
    assert (score.value, score.reason) == (None, "no-context")


def human(span: SpanText, unsupported: bool, number: int) -> ScoreRow:
    """A person's verdict on a span."""
    analyzer = type("Person", (), {"name": "human", "version": "1"})()
    row = score_row(
        analyzer, Score(span, "grounding", "completion", value=float(not unsupported), flagged=unsupported), 1.0, NOW
    )
    return dataclasses.replace(row, source="human", score_id=f"fb_{number}")


async def judged(resources: Resources, answers: Sequence[tuple[str, bool]], service: str = "shop") -> None:
    """Answers that were scored, and that a person called unsupported (True) or supported."""
    analyzer = create(resources)
    batch = batch_of([answer for answer, _ in answers], service)
    rows = [score_row(analyzer, score, 1.0, NOW) for score in await scores_of(analyzer, batch)]
    said = [human(span, bad, number) for number, (span, (_, bad)) in enumerate(zip(batch.spans, answers, strict=True))]
    await insert_scores(resources.store, [*rows, *said])


# People here accept paraphrases that the default weights do not.
PARAPHRASES = ("You have a month to send things back to us.", "A parcel usually gets to you the same week.")
INVENTED = ("Gift wrapping is offered in all of our branches.", "A loyalty card brings further discounts in summer.")
VERDICTS = [
    verdict
    for number in range(30)
    for verdict in ((SUPPORTED, False), (PARAPHRASES[number % 2], False), (INVENTED[number % 2], True), (UNSUPPORTED, True))
]


async def test_calibration_needs_feedback(resources: Resources) -> None:
    nothing = await calibrate(resources.store, resources.control, "ours", "shop", NOW, "ann")
    assert isinstance(nothing, NotEnough)
    await judged(resources, VERDICTS[:40])
    few = await calibrate(resources.store, resources.control, "ours", "shop", NOW, "ann")
    assert isinstance(few, NotEnough)
    assert (few.reason, few.labels) == ("too-few-labels", 40)


async def test_a_calibration_holds_for_its_service_and_is_named_in_every_row(resources: Resources) -> None:
    await judged(resources, VERDICTS)
    made = await calibrate(resources.store, resources.control, "ours", "shop", NOW, "ann", source="10.0.0.1")
    assert isinstance(made, Calibration)
    assert made.n == len(VERDICTS)
    assert made.quality["log_loss"] < made.quality["log_loss_before"]
    assert await resources.control.read(lambda connection: list_calibrations(connection, "ours")) == [made]
    assert await resources.control.read(lambda connection: list_calibrations(connection, "theirs")) == []
    analyzer = create(resources)
    shop = await scores_of(analyzer, batch_of([SUPPORTED, PARAPHRASES[0], UNSUPPORTED]))
    other = await scores_of(analyzer, batch_of([SUPPORTED], service="other"))
    assert {score.scorer for score in shop} == {f"grounding@2-lexical+{made.id}"}
    assert base_of(shop[0].scorer) == other[0].scorer == "grounding@2-lexical"
    assert shop[0].flagged is False
    assert shop[2].flagged is True
    lines = await resources.control.read(lambda connection: read_audit(connection, "ours"))
    assert [(line.action, line.actor, line.source) for line in lines] == [("calibration.create", "ann", "10.0.0.1")]


async def test_rows_of_a_calibrated_scorer_can_be_learned_from_again(resources: Resources) -> None:
    await judged(resources, VERDICTS)
    first = await calibrate(resources.store, resources.control, "ours", "shop", NOW, "ann")
    await judged(resources, VERDICTS)
    second = await calibrate(resources.store, resources.control, "ours", "shop", NOW, "ann")
    assert isinstance(first, Calibration)
    assert isinstance(second, Calibration)
    assert second.parameters == first.parameters
    assert second.id != first.id


async def test_the_feedback_of_others_is_not_learned_from(resources: Resources) -> None:
    await judged(resources, VERDICTS, service="other")
    for project, service in (("ours", "shop"), ("theirs", "other")):
        found = await calibrate(resources.store, resources.control, project, service, NOW, "ann")
        assert isinstance(found, NotEnough)
        assert found.labels == 0


def test_what_another_version_measured_is_not_used() -> None:
    assert is_current("grounding@2-lexical")
    assert is_current("grounding@2+all-MiniLM-L6-v2@2c705a5e/bfloat16")
    assert not is_current("grounding@1-lexical")
    assert not is_current("")


def tiny_cross_encoder(folder: Path, labels: Sequence[str]) -> Path:
    """A checkpoint with random weights: what it says means nothing, but it loads and answers as a real one does."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(1)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({*" ".join([*HANDBOOK, SUPPORTED, UNSUPPORTED]).lower().split()})]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("labels", [["LABEL_0"], ["contradiction", "entailment", "neutral"]])
async def test_a_cross_encoder_adds_its_verdict(resources: Resources, tmp_path: Path, labels: list[str]) -> None:
    folder = tiny_cross_encoder(tmp_path / "tiny", labels)
    settings = AnalysisSettings(grounding=GroundingSettings(cross_encoder=str(folder)))
    analyzer = create(dataclasses.replace(resources, settings=settings))
    scores = await scores_of(analyzer, batch_of([SUPPORTED, UNSUPPORTED]))
    assert {score.scorer for score in scores} == {f"grounding@{analyzer.version}"}
    assert analyzer.version.startswith("2-lexical+tiny@")
    said = [score.evidence[0]["features"]["cross"] for score in scores]
    assert all(-0.5 <= chance <= 0.5 and chance != 0 for chance in said)
    assert (
        await scores_of(create(dataclasses.replace(resources, settings=settings)), batch_of([SUPPORTED, UNSUPPORTED])) == scores
    )


@pytest.mark.parametrize("labels", [None, ["bad", "good"]])
async def test_a_cross_encoder_that_cannot_be_used_is_said_once_and_done_without(
    resources: Resources, tmp_path: Path, labels: list[str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    if labels:
        tiny_cross_encoder(folder, labels)
    settings = AnalysisSettings(grounding=GroundingSettings(cross_encoder=str(folder)))
    analyzer = create(dataclasses.replace(resources, settings=settings))
    for _ in range(2):
        scores = await scores_of(analyzer, batch_of([SUPPORTED]))
        assert scores[0].scorer == "grounding@2-lexical"
    said = capsys.readouterr().out
    assert said.count("answers are scored without it") == 1
    assert "the cross-encoder" in said
