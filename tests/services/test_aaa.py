"""Where the AAA log goes in a process that serves (schedules M1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from app.services import aaa


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    handlers, level, propagates = list(aaa.log.handlers), aaa.log.level, aaa.log.propagate
    yield
    aaa.log.handlers[:] = handlers
    aaa.log.setLevel(level)
    aaa.log.propagate = propagates


def test_its_lines_go_to_the_console_as_documented_and_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    aaa.to_console("INFO")
    aaa.to_console("INFO")
    aaa.pruned(7)
    written = capsys.readouterr().err
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    line = "SYSTEM community=- user=- action=history_pruned result=SUCCESS count=7"
    assert re.fullmatch(rf"{stamp} INFO schedule_service:1\.0\.0 {line}\n", written)


def test_what_log_level_leaves_out_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    aaa.to_console("WARNING")
    aaa.pruned(7)
    assert capsys.readouterr().err == ""
