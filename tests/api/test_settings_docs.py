"""The page of settings is made from the settings, and each of them says what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.settings_catalogue import Setting, list_settings
from api.settings_docs import page
from schemas.instruments import Instruments

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_current() -> None:
    assert (DOCS / "settings.md").read_text() == page(), "run `python -m api.settings_docs > docs/settings.md`"


def _all() -> list[Setting]:
    top = list_settings()
    return [*top, *(item for setting in top for _, items in setting.list_of for item in items)]


@pytest.mark.parametrize("setting", _all(), ids=lambda setting: setting.name)
def test_every_setting_has_a_kind_and_a_description(setting: Setting) -> None:
    assert setting.kind
    assert setting.description.endswith(".")


def test_every_metric_has_its_line_in_the_operations_guide() -> None:
    text = (DOCS / "operations.md").read_text()
    listed = text[text.index("<!-- metrics -->") : text.index("<!-- /metrics -->")]
    rows = [line for line in listed.splitlines() if line.startswith("| `")]
    wanted = [
        f"| `{made.name}` | {made.kind} | {', '.join(f'`{label}`' for label in made.labels) or '–'} | {made.help} |"
        for made in Instruments().declarations
    ]
    assert rows == wanted
