"""Why a run did not do its work, for people: one table from each code to its words (schedules X1).

What programs read stays the code.
"""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l

REASONS: dict[str, Any] = {
    # The task had nothing to do, or no time to do it.
    "outside_window": _l("it lies outside the hours for letters"),
    "quota": _l("no letter is left for that day or week"),
    "task_disabled": _l("the task is switched off"),
    "nobody to write to": _l("there is nobody to write to"),
    "nobody is enrolled": _l("nobody is enrolled"),
    "it has no minimum": _l("the training needs no minimum of participants"),
    "enough are enrolled": _l("enough are enrolled"),
    "no place is free": _l("no place is free"),
    "the free places are for who waits": _l("the free places are for those who wait"),
    "it is not over": _l("the training is not over"),
    "its schedule is gone": _l("its schedule is gone"),
    "nothing planned for it": _l("nothing is planned for it any more"),
    "its event has begun": _l("the event has begun"),
    # It never began.
    "gone": _l("what it was about is gone"),
    "too-late": _l("it came later than it may"),
    "too late": _l("it came later than it may"),
    "waited": _l("it waited too long for its turn"),
    "max_instances": _l("as many runs as may were under way"),
    "class-disabled": _l("its task is switched off"),
    "schedule-off": _l("its schedule is off"),
    "schedule-paused": _l("its schedule is paused"),
    # Somebody ended it.
    "staff": _l("somebody cancelled it"),
    "removed": _l("it was removed"),
}


def in_words(reason: str | None) -> str:
    """A code in words; what a provider's own task says is in words already."""
    return str(REASONS.get(reason, reason)) if reason else ""
