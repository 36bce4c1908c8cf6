"""Every code of a run has words, and whoever adds one is told (schedules X1)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from app.services import run_reasons
from app.services.run_reasons import REASONS

ROOT = Path(run_reasons.__file__).parent.parent
NOTES = {"note", "_record_missed", "cancel_run", "cancel_waiting", "note_times"}


def codes_in(tree: ast.AST) -> Iterator[str]:
    """The texts that are given as a reason: of `Skip`, of a verdict, of a note, of an end."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if called == "Skip" or (called in NOTES and _about_runs(node)):
                yield from (text for text in texts if isinstance(text, str))
        if isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "verdicts":
            yield from (c.value for c in ast.walk(node.slice) if isinstance(c, ast.Constant))


def _about_runs(call: ast.Call) -> bool:
    owner = getattr(getattr(call.func, "value", None), "id", "")
    return owner in ("runs", "recurring", "schedules")


def test_every_code_that_is_given_has_words() -> None:
    given = {
        code
        for path in [*(ROOT / "automation").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
        for code in codes_in(ast.parse(path.read_text()))
    }
    assert given >= {"outside_window", "too-late", "too late", "max_instances", "removed", "gone"}
    assert given - set(REASONS) == set()


def test_no_code_is_shown_as_it_is() -> None:
    for code in ("outside_window", "max_instances", "class-disabled", "task_disabled"):
        words = run_reasons.in_words(code)
        assert words != code
        assert not set(words) & set("_-")


def test_what_a_provider_says_is_shown_as_it_is() -> None:
    assert run_reasons.in_words("the oven is cold") == "the oven is cold"
    assert run_reasons.in_words(None) == ""
