"""Who is invited when a place is free, and who is not (waitlist WD4, WF1-WF8)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app.models import (
    AutomationSchedule,
    EnrolmentHistory,
    Training,
    TrainingEnroll,
)
from app.models.queue import standing
from app.models.rules import Rules
from app.services import documented, enrolments, overrides, students, trainings, waitlist
from app.services.actors import LINK, SYSTEM
from app.services.ledger import settle
from app.services.locks import locked
from app.services.refusals import ReasonNeeded
from app.services.waitlist import CannotBeInvited, NoFreeSpot, fill_open_spots
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, START, Cast
from tests.statements import count_statements, verbs


def _room_for(cast: Cast, places: int, training: Training | None = None) -> int:
    """More places, past the services: nobody is invited yet."""
    id_ = (training or cast.pottery).id
    cast.session.execute(
        sa.update(Training).where(Training.id == id_).values(max_participants=places)
    )
    cast.session.expire_all()
    return id_


def _rules(cast: Cast, **changes: object) -> None:
    cast.session.info["rules"] = Rules(**changes)  # type: ignore[arg-type]


def _invited_before(cast: Cast, name: str, times: int, at: datetime = NOON) -> None:
    """As many invitations in another training, as the history tells."""
    other = cast.training("Weaving")
    rows = [
        {
            "training_id": other.id,
            "student_id": cast.student(name).id,
            "seq": n,
            "at": at,
            "actor": "system",
            "event": "invited",
        }
        for n in range(1, times + 1)
    ]
    cast.session.execute(sa.insert(EnrolmentHistory), rows)


# --- by level -------------------------------------------------------------------------------------


def test_as_many_as_are_free_first_in_line_first(cast: Cast) -> None:
    ben, cleo, dora = cast.line("Ben", "Cleo", "Dora")
    invited = fill_open_spots(cast.session, _room_for(cast, 3), NOON)
    assert invited == [ben.uuid, cleo.uuid]
    assert cast.statuses(ben, cleo, dora) == ["waitlist-invited"] * 2 + ["waitlist"]
    assert cast.ledger() == (3, 0, 0)


def test_filling_twice_is_filling_once(cast: Cast) -> None:
    cast.line("Ben", "Cleo")
    fill_open_spots(cast.session, _room_for(cast, 2), NOON)
    before = cast.everything()
    assert fill_open_spots(cast.session, cast.pottery.id, NOON) == []
    assert cast.everything() == before


def test_three_leave_at_once_and_the_first_three_are_invited_once_each(cast: Cast) -> None:  # WQ7
    _room_for(cast, 3)
    rows = cast.enrol_all(*"ABCDEFGH")
    for leaver in rows[:3]:
        cast.leave(leaver)
    assert cast.statuses(*rows[3:]) == ["waitlist-invited"] * 3 + ["waitlist"] * 2
    assert [row.invite_no for row in rows[3:]] == [1, 1, 1, 0, 0]


def test_raising_the_capacity_invites_in_order(cast: Cast) -> None:  # WQ12
    training = cast.several(25, places=10)
    invited = trainings.set_capacity(cast.session, training.id, 20, cast.max, NOON)
    line = sa.select(TrainingEnroll.uuid).where(TrainingEnroll.training_id == training.id)
    in_line = cast.session.scalars(line.order_by(TrainingEnroll.queue_position)).all()
    assert invited == list(in_line[:20])


@pytest.mark.parametrize(
    "change",
    [{"active": False}, {"cancelled_at": NOON}, {"archived_at": NOON}, {"waitlist_paused": True}],
)
def test_a_closed_or_paused_training_invites_nobody(cast: Cast, change: dict[str, object]) -> None:
    (ben,) = cast.line("Ben")
    _room_for(cast, 2)
    cast.session.execute(sa.update(Training).values(**change))
    before = len(cast.events())
    assert fill_open_spots(cast.session, cast.pottery.id, NOON) == []
    assert (cast.statuses(ben), len(cast.events())) == (["waitlist"], before)


@pytest.mark.parametrize(
    ("before_start", "invited"),
    [(2 * HOUR + 15 * MINUTE, 1), (2 * HOUR + 14 * MINUTE, 0), (HOUR, 0), (-HOUR, 0)],
)
def test_nobody_is_invited_with_less_than_a_quarter_to_answer(
    cast: Cast, before_start: timedelta, invited: int
) -> None:
    cast.line("Ben")
    filled = fill_open_spots(cast.session, _room_for(cast, 2), START - before_start)
    assert len(filled) == invited


def test_more_kept_than_free_is_simply_nothing_free(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _room_for(cast, 2)
    cast.session.execute(sa.update(Training).values(seats_kept=5))
    cast.session.expire_all()
    assert fill_open_spots(cast.session, cast.pottery.id, NOON) == []
    assert standing(cast.session, cast.pottery, NOON).free == 0
    assert cast.statuses(ben) == ["waitlist"]


def test_an_overbooked_training_invites_nobody_and_says_so_once_known(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    cast.line("Ben")
    cleo = cast.student("Cleo")
    cast.add(TrainingEnroll(training_id=cast.pottery.id, student_id=cleo.id, status="enrolled"))
    with caplog.at_level(logging.WARNING):
        assert fill_open_spots(cast.session, cast.pottery.id, NOON) == []
    assert cast.ledger() == (2, 0, 1)
    assert "more seats taken than allowed" in caplog.text


def test_a_stale_training_is_read_anew_under_the_lock(cast: Cast) -> None:
    cast.line("Ben")
    assert cast.pottery.max_participants == 1
    cast.session.execute(
        sa.update(Training).values(max_participants=2),
        execution_options={"synchronize_session": False},
    )
    assert len(fill_open_spots(cast.session, cast.pottery.id, NOON)) == 1


def test_an_oversell_that_code_forgot_is_refused_by_the_database(cast: Cast) -> None:  # WX1
    cast.enrol("Ada")
    cleo = cast.student("Cleo")
    cast.add(TrainingEnroll(training_id=cast.pottery.id, student_id=cleo.id, status="enrolled"))
    training = locked(cast.session, Training, cast.pottery.id)
    with pytest.raises(sa.exc.IntegrityError, match="oversold"):
        settle(cast.session, training, takes_spot=True)


# --- each code of WD4 (WQ10) ----------------------------------------------------------------------


@pytest.mark.parametrize("code", ["inactive", "unreachable", "skipped", "later", "rate-limited"])
def test_who_has_a_code_is_passed_over_with_it_and_comes_again_without(
    cast: Cast, code: str
) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    _hinder(cast, ben, code)
    cast.leave(cast.row("Ada"))
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    passed = cast.last_event("invited").data["passed_over"]
    assert passed == [{"enrolment": ben.uuid, "position": 1, "code": code}]
    later = NOON + 25 * HOUR
    _free_of(cast, ben, code, later)
    cast.decline(cleo, later)
    assert cast.statuses(ben) == ["waitlist-invited"]
    assert ben.queue_position == 1


def test_where_the_first_in_line_is_taken_nobody_is_asked_who_was_passed_over(cast: Cast) -> None:
    cast.line("Ben", "Cleo")
    ada = cast.row("Ada")
    with count_statements(cast.session) as sent:
        cast.leave(ada)
    assert cast.last_event("invited").data["passed_over"] == []
    assert not [statement for statement in sent if "queue_position <" in statement]


def _hinder(cast: Cast, ben: TrainingEnroll, code: str) -> None:
    if code == "inactive":
        students.deactivate(cast.session, cast.student("Ben"), cast.max, NOON)
    elif code == "unreachable":
        students.opt_out(cast.session, cast.student("Ben"))
    elif code == "skipped":
        overrides.skip(cast.session, ben, cast.max, NOON, REASON)
    elif code == "later":
        overrides.skip(cast.session, ben, cast.max, NOON, REASON, until=NOON + DAY)
    else:
        _invited_before(cast, "Ben", 3)


def _free_of(cast: Cast, ben: TrainingEnroll, code: str, later: datetime) -> None:
    if code == "inactive":
        students.activate(cast.session, cast.student("Ben"), cast.max, later)
    elif code == "unreachable":
        students.opt_in(cast.session, cast.student("Ben"), later)
    elif code == "skipped":
        overrides.unskip(cast.session, ben, cast.max, later, REASON)


def test_a_planned_row_is_passed_over_with_its_code(cast: Cast) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    ben.invite_planned_at = NOON + HOUR
    fill_open_spots(cast.session, _room_for(cast, 3), NOON)
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    passed = cast.last_event("invited").data["passed_over"]
    assert [p["code"] for p in passed] == ["planned"]


def test_a_bounced_address_and_an_inactive_account_are_codes_too(cast: Cast) -> None:
    ben, cleo, dora = cast.line("Ben", "Cleo", "Dora")
    cast.student("Ben").user.undeliverable_at = NOON
    cast.student("Cleo").user.active = False
    cast.leave(cast.row("Ada"))
    assert cast.statuses(ben, cleo, dora) == ["waitlist", "waitlist", "waitlist-invited"]
    passed = cast.last_event("invited").data["passed_over"]
    assert [p["code"] for p in passed] == ["unreachable", "inactive"]


def test_later_ends_at_the_very_instant(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    overrides.skip(cast.session, ben, cast.max, NOON, REASON, until=NOON + HOUR)
    id_ = _room_for(cast, 2)
    millisecond = timedelta(milliseconds=1)
    assert fill_open_spots(cast.session, id_, NOON + HOUR - millisecond) == []
    assert fill_open_spots(cast.session, id_, NOON + HOUR) == [ben.uuid]


def test_the_history_of_an_invitation_says_what_it_was_decided_on(cast: Cast) -> None:  # WF5
    (ben,) = cast.offer("Ben")
    row = cast.last_event("invited")
    assert (row.actor, row.at, row.invite_no, row.queue_position) == ("system", NOON, 1, 1)
    assert row.data["free"] == 1
    assert row.data["schedule"] == cast.schedule.name
    assert datetime.fromisoformat(row.data["deadline"]) == DEADLINE
    assert row.data["passed_over"] == []
    assert row.enrolment_id == ben.id


# --- rate limit (WF7) -----------------------------------------------------------------------------


@pytest.mark.parametrize(("times", "invited"), [(2, 1), (3, 0), (4, 0)])
def test_three_invitations_a_day_are_enough(cast: Cast, times: int, invited: int) -> None:
    cast.line("Ben")
    _invited_before(cast, "Ben", times)
    assert len(fill_open_spots(cast.session, _room_for(cast, 2), NOON)) == invited


def test_the_window_moves_on(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _invited_before(cast, "Ben", 3)
    id_ = _room_for(cast, 2)
    assert fill_open_spots(cast.session, id_, NOON + DAY - timedelta(milliseconds=1)) == []
    assert fill_open_spots(cast.session, id_, NOON + DAY) == [ben.uuid]


def test_who_is_skipped_for_the_rate_limit_leaves_a_line_in_the_log(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    ben, _ = cast.line("Ben", "Cleo")
    _invited_before(cast, "Ben", 3)
    with caplog.at_level(logging.INFO, logger="app"):
        fill_open_spots(cast.session, _room_for(cast, 2), NOON)
    assert [r.levelname for r in caplog.records if "rate" in r.getMessage()] == ["INFO"]
    assert "Ben" not in caplog.text
    assert ben.queue_position == 1


def test_invitations_count_by_history_whatever_became_of_them(cast: Cast) -> None:  # WS18
    (ben,) = cast.offer("Ben")
    student = cast.student("Ben")
    for no in (1, 2, 3):
        assert documented.check_invitation_rate(cast.session, student, now=NOON) is (no < 3)
        assert ben.invite_no == no
        waitlist.return_to_list(
            cast.session, ben, cast.max, NOON, REASON, not_before=NOON + no * MINUTE
        )
        fill_open_spots(cast.session, cast.pottery.id, NOON + no * MINUTE)
        cast.session.refresh(ben)
    assert ben.status == "waitlist"
    assert documented.check_invitation_rate(cast.session, student, now=NOON + DAY)
    assert documented.check_invitation_rate(cast.session, student, limit=4, now=NOON)


# --- batch and stagger (WF8) ----------------------------------------------------------------------


def test_a_batch_size_bounds_one_fill_not_the_next(cast: Cast) -> None:
    _rules(cast, batch_size=2)
    rows = cast.line(*"BCDEF")
    id_ = _room_for(cast, 5)
    assert len(fill_open_spots(cast.session, id_, NOON)) == 2
    assert len(fill_open_spots(cast.session, id_, NOON)) == 2
    assert cast.statuses(*rows) == ["waitlist-invited"] * 4 + ["waitlist"]


def test_a_batch_leaves_no_gap_for_a_newcomer(cast: Cast) -> None:
    _rules(cast, batch_size=1)
    cast.line("Ben", "Cleo")
    _room_for(cast, 3)
    assert cast.enrol("Dora").status == "waitlist"
    assert cast.statuses(*map(cast.row, ("Ben", "Cleo"))) == ["waitlist-invited", "waitlist"]


def test_a_staggered_fill_invites_one_and_plans_the_others(cast: Cast) -> None:
    _rules(cast, stagger=30 * timedelta(seconds=1))
    ben, cleo, dora, _ = cast.line("Ben", "Cleo", "Dora", "Emil")
    assert fill_open_spots(cast.session, _room_for(cast, 5), NOON) == [ben.uuid]
    planned = [row.invite_planned_at for row in map(cast.row, ("Cleo", "Dora", "Emil"))]
    assert planned == [NOON + n * timedelta(seconds=30) for n in (1, 2, 3)]
    assert cast.statuses(cleo, dora) == ["waitlist", "waitlist"]
    assert standing(cast.session, cast.pottery, NOON).free == 0
    assert cast.enrol("Fay").status == "waitlist"
    assert cast.history()[-4:-1] == ["planned"] * 3


def test_a_documented_batch_is_planned_a_minute_apart(cast: Cast) -> None:  # WS17
    rows = cast.line(*"BCDEFGH")
    _room_for(cast, 9)
    before = cast.last_letter()
    uuids = documented.invite_batch_from_waitlist(cast.session, cast.pottery, 5, now=NOON)
    assert uuids == [row.uuid for row in rows[:5]]
    assert cast.statuses(*rows) == ["waitlist"] * 7
    planned = [row.invite_planned_at for row in rows]
    assert planned == [NOON + n * MINUTE for n in range(5)] + [None, None]
    assert cast.letters(before) == []
    assert cast.last_event("planned").actor == "console"


@pytest.mark.parametrize(("free", "size", "planned"), [(2, 5, 2), (0, 5, 0), (3, 0, 0), (3, -1, 0)])
def test_a_batch_holds_no_more_places_than_are_free(
    cast: Cast, free: int, size: int, planned: int
) -> None:
    cast.line(*"BCDE")
    _room_for(cast, 1 + free)
    found = documented.invite_batch_from_waitlist(cast.session, cast.pottery, size, now=NOON)
    assert len(found) == planned


def test_a_planned_invitation_holds_its_place(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _room_for(cast, 2)
    at = documented.schedule_invitation(cast.session, ben, HOUR, now=NOON)
    assert (at, ben.invite_planned_at) == (NOON + HOUR, NOON + HOUR)
    assert cast.enrol("Cleo").status == "waitlist"
    with pytest.raises(NoFreeSpot):
        documented.schedule_invitation(cast.session, cast.row("Cleo"), HOUR, now=NOON)


def test_a_plan_can_be_moved_although_nothing_else_is_free(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _room_for(cast, 2)
    documented.schedule_invitation(cast.session, ben, HOUR, now=NOON)
    documented.schedule_invitation(cast.session, ben, 2 * HOUR, now=NOON)
    cast.session.refresh(ben)
    assert ben.invite_planned_at == NOON + 2 * HOUR


# --- invitations by staff (WE2 4, WO2, WO3) -------------------------------------------------------


def test_inviting_the_first_in_line_needs_no_reason(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _room_for(cast, 2)
    waitlist.invite(cast.session, ben, cast.max, NOON)
    row = cast.last_event("invited")
    assert (row.actor, row.note) == (cast.max.name, None)
    assert ben.invite_expires_at == DEADLINE
    assert list(cast.jobs().values()) == [DEADLINE]


@pytest.mark.parametrize("why", ["not first", "skipped", "rate-limited", "later"])
def test_inviting_out_of_turn_needs_a_reason(cast: Cast, why: str) -> None:
    ben, cleo = cast.line("Ben", "Cleo")
    chosen = cleo if why == "not first" else ben
    if why != "not first":
        _hinder(cast, ben, why)
    _room_for(cast, 2)
    with pytest.raises(ReasonNeeded):
        waitlist.invite(cast.session, chosen, cast.max, NOON)
    waitlist.invite(cast.session, chosen, cast.max, NOON, reason=REASON)
    assert cast.last_event("invited").note == REASON


@pytest.mark.parametrize("reason", [None, REASON])
@pytest.mark.parametrize("code", ["inactive", "unreachable"])
def test_no_reason_invites_who_may_not_or_cannot_be_told(
    cast: Cast, code: str, reason: str | None
) -> None:
    (ben,) = cast.line("Ben")
    _hinder(cast, ben, code)
    _room_for(cast, 2)
    before = cast.everything()
    with pytest.raises(CannotBeInvited) as no:
        waitlist.invite(cast.session, ben, cast.max, NOON, reason=reason)
    assert code in str(no.value.sentence)
    assert cast.everything() == before


@pytest.mark.parametrize("code", ["inactive", "unreachable"])
def test_the_documented_invitation_refuses_them_as_well(cast: Cast, code: str) -> None:  # WA11
    (ben,) = cast.line("Ben")
    _hinder(cast, ben, code)
    _room_for(cast, 2)
    with pytest.raises(CannotBeInvited):
        documented.invite_from_waitlist(cast.session, ben, now=NOON)


@pytest.mark.parametrize(
    ("change", "now", "code"),
    [
        ({"active": False}, NOON, "closed"),
        ({"cancelled_at": NOON}, NOON, "closed"),
        ({}, START, "closed"),
        ({"waitlist_paused": True}, NOON, "paused"),
        ({}, START - 2 * HOUR, "too-late"),
    ],
)
def test_staff_invite_into_no_training_that_is_closed_paused_or_about_to_start(
    cast: Cast, change: dict[str, object], now: datetime, code: str
) -> None:
    (ben,) = cast.line("Ben")
    cast.session.execute(sa.update(Training).values(max_participants=2, **change))
    cast.session.expire_all()
    with pytest.raises(CannotBeInvited) as no:
        waitlist.invite(cast.session, ben, cast.max, now, reason=REASON)
    assert code in str(no.value.sentence)
    assert cast.statuses(ben) == ["waitlist"]


def test_staff_may_invite_in_the_last_quarter_of_an_hour(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _room_for(cast, 2)
    waitlist.invite(cast.session, ben, cast.max, START - 2 * HOUR - MINUTE)
    assert ben.invite_expires_at == START - 2 * HOUR


def test_without_a_free_place_staff_invite_nobody(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    before = cast.everything()
    with pytest.raises(NoFreeSpot):
        waitlist.invite(cast.session, ben, cast.max, NOON, reason=REASON)
    assert cast.everything() == before


def test_a_kept_place_may_be_given_by_invitation(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    ada = cast.row("Ada")
    enrolments.deroll(cast.session, ada, cast.max, NOON, reason=REASON, keep_place=True)
    waitlist.invite(cast.session, ben, cast.max, NOON, reason=REASON)
    assert cast.ledger() == (1, 0, 0)
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_a_planned_row_is_invited_early_in_its_own_place(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _room_for(cast, 2)
    documented.schedule_invitation(cast.session, ben, HOUR, now=NOON)
    waitlist.invite(cast.session, ben, cast.max, NOON, reason=REASON)
    assert (ben.status, ben.invite_planned_at) == ("waitlist-invited", None)
    assert cast.ledger() == (2, 0, 0)


def test_a_planned_row_whose_place_was_forced_away_is_refused_politely(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    _room_for(cast, 2)
    documented.schedule_invitation(cast.session, ben, HOUR, now=NOON)
    cleo = cast.student("Cleo")
    enrolments.force(cast.session, cast.pottery.id, cleo.id, cast.max, NOON, REASON)
    before = cast.everything()
    with pytest.raises(NoFreeSpot):
        waitlist.invite(cast.session, ben, cast.max, NOON, reason=REASON)
    assert cast.everything() == before


# --- statements (RC11, performance P2) ------------------------------------------------------------


@pytest.mark.parametrize("trainers", [True, False])
def test_a_thousand_freed_seats_take_as_many_statements_as_ten(cast: Cast, trainers: bool) -> None:
    counts = []
    for size in (10, 500, 1000):
        training = cast.several(size)
        if not trainers:
            training.trainers.clear()
        id_ = _room_for(cast, size, training)
        with count_statements(cast.session) as sent:
            assert len(fill_open_spots(cast.session, id_, NOON)) == size
        counts.append(len(sent))
    assert counts == [counts[0]] * 3
    assert counts[0] <= 15


def test_a_refill_locks_counts_moves_records_promises_plans_and_settles(cast: Cast) -> None:
    training = cast.several(10)
    with count_statements(cast.session) as sent:
        fill_open_spots(cast.session, _room_for(cast, 10, training), NOON)
    writes = [verb for verb in verbs(sent[1:]) if verb != "SELECT"]  # the first made the room
    assert verbs(sent)[1] == "SELECT"
    first = {write: writes.index(write) for write in reversed(writes)}
    in_order = [
        "UPDATE training_enroll",
        "INSERT enrolment_history",
        "INSERT outbox",
        "INSERT apscheduler_jobs",
    ]
    assert sorted(first[write] for write in in_order) == [first[write] for write in in_order]
    assert writes[-1] == "UPDATE training"


def test_invitations_are_written_in_the_order_of_the_line(cast: Cast) -> None:
    training = cast.several(30)
    fill_open_spots(cast.session, _room_for(cast, 30, training), NOON)
    events = cast.events(training)
    assert [row.seq for row in events] == list(range(1, 31))
    assert [row.queue_position for row in events] == list(range(1, 31))
    assert ["passed_over" in row.data for row in events] == [True] + [False] * 29


def test_a_staggered_fill_takes_as_many_statements_for_ten_as_for_a_hundred(cast: Cast) -> None:
    _rules(cast, stagger=timedelta(seconds=30))
    counts = []
    for size in (10, 100):
        training = cast.several(size)
        id_ = _room_for(cast, size, training)
        with count_statements(cast.session) as sent:
            fill_open_spots(cast.session, id_, NOON)
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 15


@pytest.mark.parametrize(("act", "most"), [("accept", 12), ("decline", 27), ("enrol", 18)])
def test_an_answer_costs_the_same_in_a_long_line_as_in_a_short_one(
    cast: Cast, act: str, most: int
) -> None:
    counts = []
    for size in (5, 300):
        training = cast.several(size)
        uuid = fill_open_spots(cast.session, _room_for(cast, 1, training), NOON)[0]
        mine = sa.select(TrainingEnroll).where(TrainingEnroll.uuid == uuid)
        row = cast.session.scalars(mine).one()
        who = cast.student(f"New{size}")
        with count_statements(cast.session) as sent:
            if act == "enrol":
                enrolments.enrol(cast.session, training.id, who.id, SYSTEM, NOON)
            else:
                getattr(waitlist, act)(cast.session, row, LINK, NOON)
        counts.append(len(sent))
    assert counts[0] == counts[1] <= most


def test_without_a_working_schedule_people_are_invited_all_the_same(cast: Cast) -> None:
    cast.session.execute(sa.update(AutomationSchedule).values(active=False))
    (ben,) = cast.line("Ben")
    cast.leave(cast.row("Ada"))
    assert cast.statuses(ben) == ["waitlist-invited"]
    assert cast.jobs() == {}
