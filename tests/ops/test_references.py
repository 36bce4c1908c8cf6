"""The references in `docs/` say what the code says (rulings RE5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.ops import references
from config import Settings
from tests import databases

DOCS = references.ROOT / "docs"


@pytest.fixture(scope="module")
def description() -> Any:
    """What the REST says of itself; no database is asked."""
    app: Any = databases.web_app_on("sqlite:///never_opened.db", secret_key="nobody signs in here")
    return app.api_doc


@pytest.mark.parametrize("name", ["rest-api.md", "database.md", "environment.md"])
def test_what_is_written_is_current(description: Any, name: str) -> None:
    text = references.pages(description)[name]
    assert (DOCS / name).read_text(encoding="utf-8") == text, "run make docs"


def test_nothing_is_left_out(description: Any) -> None:
    pages = references.pages(description)
    for path in description["paths"]:
        assert f" {path}\n" in pages["rest-api.md"]
    for name in Settings.model_fields:
        assert f"| `{name.upper()}` |" in pages["environment.md"]
    for table in references.db.metadata.tables:
        assert f"## {table}\n" in pages["database.md"]


def test_what_changed_is_written_and_told_once(description: Any, tmp_path: Path) -> None:
    assert references.write(description, tmp_path) == [
        "rest-api.md", "database.md", "environment.md",
    ]  # fmt: skip
    assert references.write(description, tmp_path) == []
    (tmp_path / "database.md").write_text("older")
    assert references.write(description, tmp_path) == ["database.md"]
