"""Reminders of invitations that run out soon (waitlist WI6, WQ19)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import TrainingEnroll
from app.models.rules import rules_of
from app.services import deadline, deadline_changes, reminders, sweep, waitlist
from app.services.refusals import Refusal
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, Cast
from tests.statements import count_statements


def offer(cast: Cast, *before: str) -> TrainingEnroll:
    """Ben is invited at noon under a schedule that reminds so long before."""
    cast.schedule.task_config = {"remind_before": list(before)}
    return cast.offer("Ben", "Cleo")[0]


def reminded(cast: Cast, now: datetime) -> int:
    """How many reminders a sweep of Pottery promises."""
    since = cast.last_letter()
    for training_id in sweep.trainings_to_sweep(cast.session, now):
        sweep.sweep_training(cast.session, training_id, now)
    return [letter for letter, _ in cast.letters(since)].count("invite_reminder")


def test_once_before_the_deadline(cast: Cast) -> None:
    ben = offer(cast, "0 02:00:00")
    assert ben.invite_remind_at == DEADLINE - 2 * HOUR
    assert reminded(cast, DEADLINE - 2 * HOUR - SECOND) == 0
    assert reminded(cast, DEADLINE - 2 * HOUR) == 1
    assert reminded(cast, DEADLINE - HOUR) == 0
    assert cast.row("Ben").invite_remind_at is None


def test_each_of_three_once(cast: Cast) -> None:
    ben = offer(cast, "0 01:00:00", "1 00:00:00", "0 03:00:00")
    assert [reminded(cast, DEADLINE - n * HOUR) for n in (25, 24, 4, 3, 2, 1)] == [0, 1, 0, 1, 0, 1]
    keys = [key for key in cast.letter_keys() if key.startswith("invite_reminder")]
    assert [key.split(":")[2] for key in keys] == ["1-1", "1-2", "1-3"]
    assert {key.split(":")[1] for key in keys} == {ben.uuid}


def test_of_several_that_were_due_while_nobody_looked_one_goes_out(cast: Cast) -> None:
    offer(cast, "1 00:00:00", "0 03:00:00", "0 01:00:00")
    assert reminded(cast, DEADLINE - 2 * HOUR) == 1
    assert cast.row("Ben").invite_remind_at == DEADLINE - HOUR


@pytest.mark.parametrize("left", [10 * MINUTE - SECOND, MINUTE])
def test_none_within_ten_minutes_of_the_deadline(cast: Cast, left: Any) -> None:
    offer(cast, "0 02:00:00")
    assert reminded(cast, DEADLINE - left) == 0
    assert cast.row("Ben").invite_remind_at is None


def test_a_reminder_that_would_come_so_late_is_never_planned(cast: Cast) -> None:
    assert offer(cast, "0 00:09:00").invite_remind_at is None


def test_one_from_before_the_invitation_is_left_out(cast: Cast) -> None:
    assert offer(cast, "3 00:00:00", "0 02:00:00").invite_remind_at == DEADLINE - 2 * HOUR


def test_without_the_setting_nobody_is_reminded(cast: Cast) -> None:
    assert cast.offer("Ben")[0].invite_remind_at is None


def test_who_answered_is_not_reminded(cast: Cast) -> None:
    cast.accept(offer(cast, "0 02:00:00"))
    assert reminded(cast, DEADLINE - 2 * HOUR) == 0


def test_who_cannot_be_written_to_is_not_and_that_is_that(cast: Cast) -> None:
    offer(cast, "0 02:00:00")
    cast.wont_mail("Ben")
    assert reminded(cast, DEADLINE - 2 * HOUR) == 0
    assert cast.row("Ben").invite_remind_at is None


def test_an_exempt_invitation_has_none(cast: Cast) -> None:
    cast.schedule.task_config = {"remind_before": ["0 02:00:00"]}
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    waitlist.invite(cast.session, ben, cast.max, NOON, schedule_expiry=False)
    assert ben.invite_remind_at is None


def test_a_schedule_that_is_off_reminds_nobody(cast: Cast) -> None:
    offer(cast, "0 02:00:00")
    cast.schedule.active = False
    cast.session.flush()
    assert reminded(cast, DEADLINE - 2 * HOUR) == 0


def test_another_deadline_is_another_reminder(cast: Cast) -> None:
    ben = offer(cast, "0 02:00:00")
    later = DEADLINE + DAY
    deadline_changes.give_more_time(cast.session, ben, later, cast.max, NOON, REASON)
    assert cast.row("Ben").invite_remind_at == later - 2 * HOUR
    deadline_changes.lift(cast.session, cast.schedule, cast.max, NOON)
    assert cast.row("Ben").invite_remind_at is None


def test_a_new_invitation_has_reminders_of_its_own(cast: Cast) -> None:
    ben = offer(cast, "0 02:00:00")
    assert reminded(cast, DEADLINE - 2 * HOUR) == 1
    waitlist.return_to_list(cast.session, ben, cast.max, DEADLINE - HOUR, REASON,
                            not_before=DEADLINE)  # fmt: skip
    cast.decline(cast.row("Cleo"), DEADLINE)
    again = DEADLINE + SECOND
    waitlist.fill_open_spots(cast.session, cast.pottery.id, again)
    row = cast.row("Ben")
    assert row.invite_expires_at is not None
    assert reminded(cast, row.invite_expires_at - 2 * HOUR) == 1


def test_reminding_takes_as_many_statements_for_any_number(cast: Cast) -> None:
    cast.schedule.task_config = {"remind_before": ["0 02:00:00"]}
    counted = []
    for count in (2, 60):
        training = cast.several(count, places=count)
        waitlist.fill_open_spots(cast.session, training.id, NOON)
        with count_statements(cast.session) as sent:
            assert reminders.remind(cast.session, training.id, DEADLINE - 2 * HOUR) == count
        counted.append(len(sent))
    assert counted[0] == counted[1] <= 6


@pytest.mark.parametrize(
    "spoilt",
    [
        "1 00:00:00",
        ["soon"],
        [5],
        ["0 01:00:00"] * 2,
        [f"0 0{n}:00:00" for n in range(1, 5)],
        {"a": 1},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_and_costs_no_invitation(
    cast: Cast, spoilt: Any
) -> None:
    with pytest.raises(Refusal):
        deadline.remind_before({"remind_before": spoilt})
    cast.schedule.task_config = {"remind_before": spoilt}
    ben = cast.offer("Ben")[0]
    assert (ben.status, ben.invite_remind_at) == ("waitlist-invited", None)


def test_a_setting_spoilt_meanwhile_costs_no_sweep(cast: Cast) -> None:
    offer(cast, "0 02:00:00")
    cast.schedule.task_config = {"remind_before": ["soon"]}
    assert reminded(cast, DEADLINE - 2 * HOUR) == 1
    assert rules_of(cast.session)
    assert (
        cast.session.scalar(
            sa.select(sa.func.count()).where(TrainingEnroll.invite_remind_at.is_not(None))
        )
        == 0
    )
