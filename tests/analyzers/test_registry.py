"""Analyzers of installed packages: found by entry point, from the example of docs/analyzers.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from analyzers.embedding.embedder import Embedder
from analyzers.registry import UnknownAnalyzerError, create, register_metrics
from analyzers.resources import Resources
from schemas import metrics
from schemas.analysis import AnalysisSettings, EmbedderSettings
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from tests.analyzers.runner_world import chat, run_rounds, runner_of
from tests.ingest.spans import ingest_spans

NOW = datetime.now(UTC)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", Path("docs/analyzers.md").read_text(), re.S)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example as a package that is installed for one test."""
    (tmp_path / "my_package.py").write_text(_blocks("python")[0])
    about = tmp_path / "my_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    groups = re.findall(r'\[project\.entry-points\."(.*?)"\]\n(.*?)\n(?:\n|$)', _blocks("toml")[0], re.S)
    (about / "entry_points.txt").write_text("\n".join(f"[{name}]\n{line.replace(chr(34), '')}" for name, line in groups))
    monkeypatch.syspath_prepend(tmp_path)
    known = dict(metrics._BY_NAME)
    yield
    metrics._BY_NAME.clear()
    metrics._BY_NAME.update(known)


@pytest.fixture
async def resources(store: ClickHouseStore, control: ControlDatabase) -> Resources:
    threads = ThreadPoolExecutor(1)
    embedder = Embedder(EmbedderSettings(), threads)
    return Resources(AnalysisSettings(), store, control, threads, threads, threads, embedder, lambda: NOW)


async def test_the_example_runs_as_an_installed_package(installed: None, resources: Resources) -> None:
    analyzer = create("apologies", resources)
    answers = [chat("Where is it?", "I am sorry, it is late."), chat("And now?", "It is there.")]
    await ingest_spans(resources.store, "shop", answers, received_at=NOW)
    await run_rounds(runner_of(analyzer, resources.store, resources.control, lambda: NOW), 1)
    rows = await resources.store.query("SELECT scorer, sum(flagged) AS flagged, count() AS n FROM scores FINAL GROUP BY scorer")
    assert rows == [{"scorer": "apologies@1", "flagged": 1, "n": 2}]


def test_its_metrics_are_in_the_catalogue(installed: None) -> None:
    register_metrics()
    register_metrics()
    assert metrics.find_comparable("apologies.share").unit == "ratio"


def test_an_unknown_name_is_answered_with_the_known_ones(installed: None, resources: Resources) -> None:
    with pytest.raises(UnknownAnalyzerError, match=r"'toxcity', which is not installed: use apologies, drift, .*toxicity"):
        create("toxcity", resources)
