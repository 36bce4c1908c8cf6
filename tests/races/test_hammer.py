"""Processes that do everything at random to a few trainings, and what is true afterwards (TM3)."""

from __future__ import annotations

import pytest

from tests.races import hammer

SECONDS, PROCESSES = 4, 4
RUSH = {"count": 30, "people": 12, "places": 1}  # trainings enough to find one that is empty


def test_nothing_breaks_under_the_hammer(url: str) -> None:
    hammer.prepare(url, count=3, people=40)
    tally = hammer.swing(url, PROCESSES, SECONDS)
    assert (tally.errors, tally.locked, tally.busy) == ([], 0, 0)
    assert hammer.findings(url) == []
    assert tally.acts.keys() >= {"enrol", "accept", "expire", "deroll"}
    assert tally.longest < 10


def test_nothing_breaks_in_a_rush(url: str) -> None:
    """Everything as in the control, but with the lock."""
    hammer.prepare(url, **RUSH)
    tally = hammer.swing(url, PROCESSES, seconds=2, rush=True)
    assert (tally.errors, tally.locked, tally.busy) == ([], 0, 0)
    assert hammer.findings(url) == []
    assert tally.acts["enrol"] > 1


def test_without_the_lock_a_rush_oversells(url: str) -> None:
    hammer.prepare(url, **RUSH)
    assert any("I1" in without_the_lock(url) for _ in range(15))


def without_the_lock(url: str) -> set[str]:
    """What is broken after two seconds more."""
    hammer.swing(url, PROCESSES, seconds=2, guarded=False, rush=True)
    return {violation.rule for violation in hammer.findings(url)}


@pytest.mark.soak
@pytest.mark.timeout(240)
def test_nothing_breaks_under_the_hammer_for_a_minute(url: str) -> None:
    hammer.prepare(url, count=5, people=100)
    tally = hammer.swing(url, processes=16, seconds=60)
    assert (tally.errors, tally.locked, tally.busy) == ([], 0, 0)
    assert hammer.findings(url) == []
    assert tally.longest < 10
