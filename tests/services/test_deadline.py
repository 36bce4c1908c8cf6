"""How long an invited student has, and from which schedule (waitlist WI1, WI2, WI4)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.models import (
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    Practice,
    TrainingEnroll,
    TrainingType,
)
from app.services import waitlist
from app.services.deadline import BadAnswerWindows, answer_windows, governing_schedule
from app.services.intervals import BadInterval
from app.services.waitlist import Answer
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, START, Cast

MILLISECOND = timedelta(milliseconds=1)
HARD_STOP = START - 2 * HOUR


def _type(cast: Cast, name: str = "Wheel") -> TrainingType:
    found = cast.add(TrainingType(practice_id=cast.practice.id, name=name))
    return found


def _governs(cast: Cast) -> str | None:
    cast.session.flush()
    found = governing_schedule(cast.session, cast.pottery)
    return found.name if found else None


# --- the instant ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "answer"),
    [
        (DEADLINE - MILLISECOND, Answer.ENROLLED),
        (DEADLINE, Answer.TOO_LATE),
        (DEADLINE + MILLISECOND, Answer.TOO_LATE),
    ],
)
@pytest.mark.parametrize("swept", [False, True])
def test_an_answer_is_in_time_until_the_deadline_swept_or_not(
    cast: Cast, at: datetime, answer: Answer, swept: bool
) -> None:
    (ben,) = cast.offer("Ben")
    if swept:
        assert cast.expire(ben, at) is (at >= DEADLINE)
    assert cast.accept(ben, at) is answer


@pytest.mark.parametrize("at", [DEADLINE - MILLISECOND, DEADLINE, DEADLINE + MILLISECOND])
def test_an_invitation_runs_out_at_the_very_instant_an_answer_is_too_late(
    cast: Cast, at: datetime
) -> None:
    (ben,) = cast.offer("Ben")
    assert cast.expire(ben, at) is (at >= DEADLINE)


@pytest.mark.parametrize("at", [DEADLINE - MILLISECOND, DEADLINE, DEADLINE + MILLISECOND])
def test_a_student_declines_until_the_deadline_staff_also_after(cast: Cast, at: datetime) -> None:
    (ben,) = cast.offer("Ben")
    said = cast.decline(ben, at)
    assert said is (Answer.DECLINED if at < DEADLINE else Answer.TOO_LATE)
    if at >= DEADLINE:
        assert waitlist.decline(cast.session, ben, cast.max, at) is Answer.DECLINED


def test_the_zone_of_now_does_not_matter(cast: Cast) -> None:  # WX26
    auckland = ZoneInfo("Pacific/Auckland")
    ada, ben = cast.enrol_all("Ada", "Ben", now=NOON.astimezone(auckland))
    cast.leave(ada, NOON.astimezone(auckland))
    cast.session.refresh(ben)
    assert (ben.invite_date, ben.invite_expires_at) == (NOON, DEADLINE)
    assert list(cast.jobs().values()) == [DEADLINE]
    assert cast.accept(ben, DEADLINE.astimezone(auckland)) is Answer.TOO_LATE
    assert cast.accept(ben, (DEADLINE - MILLISECOND).astimezone(auckland)) is Answer.ENROLLED


def test_a_deadline_never_lies_behind_the_hard_stop(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.leave(cast.row("Ada"), HARD_STOP - DAY)
    assert cast.row("Ben").invite_expires_at == HARD_STOP
    assert cast.jobs() == {f"waitlist_invitation_expiry/{ben.uuid}/PRODUCTION": HARD_STOP}


def test_without_a_schedule_the_hard_stop_is_the_deadline_and_the_sweep_its_alarm(
    cast: Cast,
) -> None:
    cast.schedule.active = False
    (ben,) = cast.offer("Ben")
    assert (ben.invite_expires_at, ben.invite_schedule_id) == (HARD_STOP, None)
    assert cast.jobs() == {}
    assert cast.expire(ben, HARD_STOP)


def test_without_schedule_and_events_there_is_no_deadline_at_all(cast: Cast) -> None:
    cast.schedule.active = False
    cast.pottery.events.clear()
    (ben,) = cast.offer("Ben")
    assert ben.invite_expires_at is None
    assert not cast.expire(ben, NOON + 900 * DAY)
    assert cast.accept(ben, NOON + 900 * DAY) is Answer.ENROLLED


def test_without_events_the_schedule_alone_counts(cast: Cast) -> None:
    cast.pottery.events.clear()
    (ben,) = cast.offer("Ben")
    assert ben.invite_expires_at == DEADLINE


def test_editing_the_interval_touches_later_invitations_only(cast: Cast) -> None:  # WI3, WQ16
    ben, cleo = cast.offer("Ben", "Cleo")
    cast.schedule.interval = DAY
    cast.decline(ben)
    cast.session.refresh(cleo)
    assert cleo.invite_expires_at == NOON + DAY
    assert ben.invite_expires_at == DEADLINE


# --- the governing schedule (WI1) -----------------------------------------------------------------


def test_a_schedule_for_the_type_comes_before_one_for_all(cast: Cast) -> None:
    wheel = _type(cast)
    cast.waitlist_schedule("wheel", 7 * DAY, training_types=[wheel])
    assert _governs(cast) == "waitlist_invitation_expiry"
    cast.pottery.training_type_id = wheel.id
    assert _governs(cast) == "wheel"


def test_a_type_schedule_gives_one_job_with_its_own_time(cast: Cast) -> None:  # WQ16
    wheel = _type(cast)
    cast.waitlist_schedule("wheel", 7 * DAY, training_types=[wheel])
    cast.pottery.training_type_id = wheel.id
    (ben,) = cast.offer("Ben")
    assert cast.jobs() == {f"wheel/{ben.uuid}/PRODUCTION": NOON + 7 * DAY}


def test_of_two_for_all_the_lowest_id_governs_and_of_two_for_the_type_too(cast: Cast) -> None:
    cast.waitlist_schedule("later", HOUR)
    assert _governs(cast) == "waitlist_invitation_expiry"
    wheel = cast.pottery.training_type = _type(cast)
    for name in ("first", "second"):
        cast.waitlist_schedule(name, HOUR, training_types=[wheel])
    assert _governs(cast) == "first"


def test_a_schedule_for_another_type_does_not_govern(cast: Cast) -> None:
    cast.pottery.training_type = _type(cast)
    other = _type(cast, "Raku")
    cast.waitlist_schedule("raku", DAY, training_types=[other])
    assert _governs(cast) == "waitlist_invitation_expiry"


@pytest.mark.parametrize(
    "change",
    [
        {"active": False},
        {"paused_at": NOON},
        {"deleted_at": NOON},
        {"automation_class": None},
        {"interval": None},
        {"beforeafter": BeforeAfterEnum.before},
        {"events": EventsEnum.first},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_schedule_that_does_not_work_gives_way_to_the_next(
    cast: Cast, change: dict[str, Any]
) -> None:
    cast.waitlist_schedule("next", DAY)
    for name, value in change.items():
        setattr(cast.schedule, name, value)
    assert _governs(cast) == "next"


def test_a_disabled_class_or_another_task_governs_nothing(cast: Cast) -> None:
    cast.add(
        AutomationSchedule(
            name="reminder", automation_class=cast.task("StudentReminderTask"), interval=DAY
        )
    )
    assert _governs(cast) == "waitlist_invitation_expiry"
    cast.task("AutomaticWaitList").enabled = False
    assert _governs(cast) is None


def test_a_schedule_of_another_practice_does_not_govern(cast: Cast) -> None:
    other = cast.add(Practice(name="Other", shortname="other"))
    cast.schedule.practice_id = other.id
    assert _governs(cast) is None
    cast.schedule.practice_id = cast.practice.id
    assert _governs(cast) == "waitlist_invitation_expiry"


def test_a_schedule_without_events_means_invited(cast: Cast) -> None:  # WA7
    cast.schedule.events = None
    assert _governs(cast) == "waitlist_invitation_expiry"


# --- answer windows -------------------------------------------------------------------------------

WINDOWS = [
    {"within": "1 00:00:00", "answer": "0 01:30:00"},
    {"within": "7 00:00:00", "answer": "0 12:00:00"},
]


@pytest.mark.parametrize(
    ("to_start", "answer"),
    [
        (20 * HOUR, 90 * MINUTE),
        (DAY, 90 * MINUTE),
        (DAY + MILLISECOND, 12 * HOUR),
        (7 * DAY, 12 * HOUR),
        (7 * DAY + MILLISECOND, 48 * HOUR),
    ],
)
def test_the_nearest_window_that_holds_the_time_to_the_start_counts(
    cast: Cast, to_start: timedelta, answer: timedelta
) -> None:  # WQ18
    cast.schedule.task_config = {"answer_windows": WINDOWS[::-1]}
    cast.line("Ben")
    now = START - to_start
    cast.leave(cast.row("Ada"), now)
    assert cast.row("Ben").invite_expires_at == now + answer


def test_without_events_no_window_applies(cast: Cast) -> None:
    cast.schedule.task_config = {"answer_windows": WINDOWS}
    cast.pottery.events.clear()
    (ben,) = cast.offer("Ben")
    assert ben.invite_expires_at == DEADLINE


@pytest.mark.parametrize("config", [None, {}, {"answer_windows": None}, {"answer_windows": []}])
def test_no_windows_are_no_mistake(config: dict[str, Any] | None) -> None:
    assert answer_windows(config) == []


@pytest.mark.parametrize(
    "rows",
    [
        [{"within": "1 00:00:00", "answer": "1h"}, {"within": "24h", "answer": "2h"}],
        [{"within": "1d", "answer": "2h"}, {"within": "2d", "answer": "1h"}],
        [{"within": "1d"}],
        [{"within": "1d", "answer": "1h", "more": "x"}],
        ["1d"],
        "1d",
    ],
)
def test_windows_that_contradict_each_other_are_refused(rows: Any) -> None:
    with pytest.raises(BadAnswerWindows) as no:
        answer_windows({"answer_windows": rows})
    assert no.value.status == 400


@pytest.mark.parametrize("bad", ["0", "soon", "-1 00:00:00", None])
def test_a_window_without_a_length_is_refused(bad: str | None) -> None:
    with pytest.raises(BadInterval):
        answer_windows({"answer_windows": [{"within": "1d", "answer": bad}]})


@pytest.mark.parametrize("windows", ["soon", 5, [{"within": "1d", "answer": "soon"}]])
def test_windows_spoilt_past_the_form_stop_nobody_from_leaving(cast: Cast, windows: Any) -> None:
    """One bad schedule starves no training: its plain interval counts (WX5, STYLE P6)."""
    cast.schedule.task_config = {"answer_windows": windows}
    (ben,) = cast.offer("Ben")
    assert (ben.status, ben.invite_expires_at) == ("waitlist-invited", DEADLINE)


# --- exempt (WI4) ---------------------------------------------------------------------------------


def _exempt(cast: Cast) -> TrainingEnroll:
    ben = cast.line("Ben", "Cleo")[0]
    cast.pottery.max_participants = 2
    waitlist.invite(cast.session, ben, cast.max, NOON, schedule_expiry=False)
    return ben


def test_an_exempt_invitation_has_no_job_and_ends_at_the_hard_stop(cast: Cast) -> None:
    ben = _exempt(cast)
    assert (ben.expiry_exempt, ben.invite_expires_at) == (True, HARD_STOP)
    assert not [job for job in cast.jobs() if ben.uuid in job]
    assert not cast.expire(ben, HARD_STOP - MILLISECOND)
    assert cast.expire(ben, HARD_STOP)


def test_a_new_invitation_is_not_exempt_again(cast: Cast) -> None:
    ben = _exempt(cast)
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON, not_before=NOON)
    cast.session.refresh(ben)
    assert (ben.status, ben.expiry_exempt, ben.invite_no) == ("waitlist-invited", False, 2)
    assert ben.invite_expires_at == DEADLINE
