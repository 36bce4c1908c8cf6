"""What must always hold, checked on the rows: `check(session)` (reliability I1–I12).

Each training's history is folded (`fold.py`) and compared with the tables, the letters and the
jobs. Reads only. `flask doctor`, `backup verify`, the nightly check and the tests use it.

What the rows do not keep is not guessed: whoever may have been switched off, opted out or bounced
for a while counts as unreachable then.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.extensions import utcnow
from app.models.automation import AutomationRun, AutomationSchedule
from app.models.enrolment import TrainingEnroll
from app.models.enrolment_history import EnrolmentHistory
from app.models.job import Job
from app.models.outbox import Outbox, OutboxState
from app.models.person import PersonStatus, Student
from app.models.practice import Practice
from app.models.queue import starts_at
from app.models.rules import Environment, Rules, rules_of
from app.models.training import Training
from app.models.user import User, UserSettings
from app.ops.fold import (
    INVITED,
    TAKING,
    WAITING,
    Fold,
    People,
    Row,
    Violation,
    capacities,
    hard_stops,
)

SWEEP_GRACE = timedelta(minutes=1)  # what only time has changed, the sweep finds within this

# Letter of a transition -> the events that promise it; by invitation, else by history number.
BY_INVITATION = {
    "invited": {"invited"},
    "accepted": {"accepted"},
    "declined": {"declined"},
    "expired": {"expired", "deinvited"},
}
BY_NUMBER = {
    "enrolled": {"enrolled", "forced"},
    "waitlisted": {"queued", "re-enabled"},
    "derolled": {"derolled"},
    "left_waitlist": {"left", "removed"},
}
LATE = "late_cancellation"  # beside `derolled`, where its history row says so


def check(session: Session, now: datetime | None = None) -> list[Violation]:
    """All that is broken; empty when all is well. `now` defaults to the clock.

    Whoever changes a row while we read makes it look broken, so what is found must be found twice.
    """
    now = now or utcnow()
    found = list(_look(session, now))
    return [v for v in found if v in set(_look(session, now))] if found else []


def _look(session: Session, now: datetime) -> Iterator[Violation]:
    rules = rules_of(session)
    people = _people(session, rules)
    for training in _trainings(session):
        yield from _training(session, training, people, rules, now)
    yield from _twins(session)
    yield from _strays(session)
    yield from _expiry_jobs(session, rules)


# --- one training --------------------------------------------------------------------------------


def _trainings(session: Session) -> list[Any]:
    t = Training
    cutoff = sa.select(Practice.invite_cutoff).where(Practice.id == t.practice_id).scalar_subquery()
    facts = (starts_at(t.id).label("starts"), cutoff.label("practice_cutoff"))
    return list(session.execute(sa.select(*t.__table__.columns, *facts).order_by(t.id)))


def _training(
    session: Session, training: Any, people: People, rules: Rules, now: datetime
) -> Iterator[Violation]:
    rows = _history(session, training.id)
    enrolments = _enrolments(session, training.id)
    told = Fold(
        training.id,
        {e.id: e.uuid for e in enrolments},
        {e.id: e.seats for e in enrolments},
        people,
        capacities(rows, training.max_participants),
        hard_stops(rows, _hard_stop(training, rules)),
        exact_deadlines=rules.environment is Environment.PRODUCTION,
    )
    told.read(rows)
    yield from told.violations
    yield from _as_told(training, rows, enrolments, told)
    yield from _ledger(training, enrolments)
    yield from _nobody_forgotten(training, enrolments, people, rules, now)
    yield from _letters(session, training, rows, enrolments, people)


def _history(session: Session, training_id: int) -> list[Row]:
    h = EnrolmentHistory
    columns = (h.seq, h.enrolment_id, h.student_id, h.at, h.actor, h.event, h.from_status,
               h.to_status, h.invite_no, h.queue_position, h.reason, h.note, h.data)  # fmt: skip
    found = session.execute(sa.select(*columns).where(h.training_id == training_id).order_by(h.seq))
    return [Row(*row) for row in found]


def _enrolments(session: Session, training_id: int) -> list[Any]:
    e = TrainingEnroll.__table__.columns
    status = sa.cast(e.status, sa.String).label("status")  # a word of no enum is ours to find
    facts = (e.id, e.uuid, status, e.seats, e.queue_position, e.invite_no, e.student_id, e.skipped,
             e.not_before, e.invite_planned_at)  # fmt: skip
    user = (Student.user_id, Student.status.label("student_status"), User.active, User.phone,
            User.erased_at, User.undeliverable_at, UserSettings.msg_transactional_emails,
            UserSettings.msg_sms, UserSettings.msg_push)  # fmt: skip
    return list(
        session.execute(
            sa.select(*facts, *user)
            .join_from(TrainingEnroll, Student, Student.id == e.student_id)
            .join(User, User.id == Student.user_id)
            .outerjoin(UserSettings, UserSettings.user_id == User.id)
            .where(e.training_id == training_id)
            .order_by(e.queue_position, e.id)
        )
    )


def _as_told(
    training: Any, rows: list[Row], enrolments: list[Any], told: Fold
) -> Iterator[Violation]:
    """I4: the history adds up to the table."""
    if training.history_seq != len(rows):
        sentence = f"gave {training.history_seq} history numbers, {len(rows)} rows are there"
        yield Violation("I4", training.id, sentence)
    if training.last_position < told.highest:
        sentence = f"last gave position {training.last_position}, history knows {told.highest}"
        yield Violation("I3", training.id, sentence)
    for row in enrolments:
        place = told.places.pop(row.id, None)
        if place is None:
            yield Violation("I4", training.id, f"enrolment {row.id} has no history")
            continue
        pairs = [
            ("status", place.status, row.status),
            ("invite_no", place.invite_no, row.invite_no),
            ("position", place.position, row.queue_position),
        ]
        for name, by_history, by_table in pairs:
            if by_history != by_table:
                sentence = f"enrolment {row.id} has {name} {by_table}, by its history {by_history}"
                yield Violation("I4", training.id, sentence)
    for id_ in told.places:
        yield Violation("I4", training.id, f"history speaks of enrolment {id_}, which is not there")


def _ledger(training: Any, enrolments: list[Any]) -> Iterator[Violation]:
    """I1: nothing oversold, and the columns say what a recount says."""
    taken = sum(row.seats for row in enrolments if row.status in TAKING)
    over = max(0, taken - training.max_participants)
    if over > training.overbooked_by:
        sentence = f"{taken} seats taken of {training.max_participants} + {training.overbooked_by}"
        yield Violation("I1", training.id, sentence)
    if (training.seats_taken, training.overbooked_by) != (taken, over):
        ledger = f"{training.seats_taken} taken, {training.overbooked_by} over"
        sentence = f"the ledger says {ledger}; a recount {taken} taken, {over} over"
        yield Violation("I1", training.id, sentence)


# --- at rest -------------------------------------------------------------------------------------


def _nobody_forgotten(
    training: Any, enrolments: list[Any], people: People, rules: Rules, now: datetime
) -> Iterator[Violation]:
    """I8: no place is free while someone waits who could be invited."""
    taken = sum(e.seats for e in enrolments if e.status in TAKING)
    held = sum(e.seats for e in enrolments if e.status == WAITING and e.invite_planned_at)
    free = training.max_participants - taken - held - training.seats_kept
    if free < 1 or rules.batch_size or not _invites(training, rules, now):
        return
    for row in enrolments:
        if row.status == WAITING and _eligible(row, people, rules, now):
            sentence = f"{free} places are free and enrolment {row.id} could be invited"
            yield Violation("I8", training.id, sentence)
            return


def _invites(training: Any, rules: Rules, now: datetime) -> bool:
    closed = not training.active or training.cancelled_at or training.archived_at
    if closed or training.waitlist_paused:
        return False
    if training.starts is None:
        return True
    stop = _hard_stop(training, rules)
    return bool(now < training.starts and stop is not None and stop - now >= rules.min_answer)


def _hard_stop(training: Any, rules: Rules) -> datetime | None:
    """Start less the first cut-off that is given, be it zero (WD3)."""
    if training.starts is None:
        return None
    given = (training.invite_cutoff, training.practice_cutoff, rules.cutoff)
    stop: datetime = training.starts - next(cutoff for cutoff in given if cutoff is not None)
    return stop


def _eligible(row: Any, people: People, rules: Rules, now: datetime) -> bool:
    """WD4, in plain Python: the SELECT of the services is what is being checked."""
    if row.student_status != PersonStatus.ACTIVE or not row.active or not _told(row, rules):
        return False
    since = now - rules.invite_window - SWEEP_GRACE
    lately = [at for at in people.invitations.get(row.student_id, []) if at > since]
    later = row.not_before is not None and row.not_before > now - SWEEP_GRACE
    held = row.skipped or later or row.invite_planned_at is not None
    return not held and len(lately) < rules.invite_limit


def _told(row: Any, rules: Rules) -> bool:
    if row.erased_at is not None:
        return False
    mail = row.msg_transactional_emails is not False and row.undeliverable_at is None
    sms = row.msg_sms is not False and row.phone is not None
    ways = {"email": mail, "sms": sms, "push": bool(row.msg_push)}
    return any(ways[channel] for channel in rules.channels)


# --- letters -------------------------------------------------------------------------------------


def _letters(
    session: Session, training: Any, rows: list[Row], enrolments: list[Any], people: People
) -> Iterator[Violation]:
    """I4, I6: each transition has its letter, and no letter tells of what never happened."""
    there = _promised(session, training.id)
    uuids = {e.id: e.uuid for e in enrolments}
    happened = dict(_announced(rows, uuids))
    for letter, row in happened.items():
        if letter not in there and row.student_id in people.reachable:
            sentence = f"history row {row.seq} ({row.event}) has no letter {letter[0]!r}"
            yield Violation("I4", training.id, sentence)
    for kind, uuid, occasion in there - happened.keys():
        sentence = f"letter {kind!r} of {uuid} tells of {occasion}, which never happened"
        yield Violation("I6", training.id, sentence)


def _promised(session: Session, training_id: int) -> set[tuple[str, str, int]]:
    """(letter, uuid, occasion) of what students were promised."""
    keys = session.scalars(
        sa.select(Outbox.key)
        .join(TrainingEnroll, TrainingEnroll.id == Outbox.enrolment_id)
        .where(
            TrainingEnroll.training_id == training_id,
            Outbox.kind.in_([*BY_INVITATION, *BY_NUMBER, LATE]),
        )
    )
    parts = (key.split(":") for key in keys)
    return {(kind, uuid, int(occasion)) for kind, uuid, occasion, *_ in parts}


def _announced(
    rows: list[Row], uuids: dict[int, str]
) -> Iterator[tuple[tuple[str, str, int], Row]]:
    """The letters that the history calls for."""
    after = {(row.enrolment_id, row.seq): row.event for row in rows}
    for row in rows:
        uuid = uuids.get(row.enrolment_id or 0)
        if not row.moves or uuid is None or row.reason in ("erased", "import"):
            continue  # the erased are told nothing, an import writes only if asked
        following = [after.get((row.enrolment_id, row.seq + n)) for n in (1, 2)]
        if [row.event, *following] == ["re-enabled", "left", "enrolled"]:
            continue  # who gets a free place past the hard stop comes back, leaves the line …
        if [row.event, following[0]] == ["left", "enrolled"]:
            continue  # … and enters, all in one act (WF4)
        for letters, occasion in ((BY_INVITATION, row.invite_no), (BY_NUMBER, row.seq)):
            for letter, events in letters.items():
                if row.event in events:
                    yield (letter, uuid, occasion or 0), row
        if row.event == "derolled" and row.facts.get("late"):
            yield (LATE, uuid, row.seq), row


def _people(session: Session, rules: Rules) -> People:
    """Who could surely be told of anything, and when each was invited."""
    bounced = sa.select(Outbox.user_id).where(
        Outbox.state.in_((OutboxState.BOUNCED, OutboxState.DEAD)), Outbox.user_id.is_not(None)
    )
    sure = session.scalars(
        sa.select(Student.id)
        .join(User, User.id == Student.user_id)
        .outerjoin(UserSettings, UserSettings.user_id == User.id)
        .where(
            Student.status == PersonStatus.ACTIVE,
            User.active,
            User.erased_at.is_(None),
            User.undeliverable_at.is_(None),
            UserSettings.user_id.is_(None),
            User.id.not_in(bounced),
        )
    )
    h = EnrolmentHistory
    invitations: dict[int, list[datetime]] = collections.defaultdict(list)
    invited = sa.select(h.student_id, h.at).where(h.event == "invited", h.student_id.is_not(None))
    for student_id, at in session.execute(invited.order_by(h.at)):
        invitations[student_id or 0].append(at)
    return People(set(sure), dict(invitations), rules.invite_limit, rules.invite_window)


# --- one row each, and the plan ------------------------------------------------------------------


def _twins(session: Session) -> Iterator[Violation]:
    """I5, I11, I12: what stands twice that may stand once."""
    e, run = TrainingEnroll, AutomationRun
    twice: Iterable[tuple[str, str, tuple[Any, ...]]] = (
        ("I5", "letters with the key", (Outbox.key,)),
        ("I11", "enrolments of (training, student)", (e.training_id, e.student_id)),
        (
            "I12",
            "runs of (schedule, item, occurrence)",
            (run.schedule_id, run.item, run.occurrence),
        ),
    )
    for rule, what, columns in twice:
        count = sa.func.count()
        rows = sa.select(count, *columns).group_by(*columns).having(count > 1).order_by(*columns)
        for many, *which in session.execute(rows):
            named = ", ".join(map(str, which))
            yield Violation(rule, None, f"there are {many} {what} {named}")


def _strays(session: Session) -> Iterator[Violation]:
    """What no foreign key watches: others' history (L8), letters about or to nobody (L6)."""
    h, o, e = EnrolmentHistory, Outbox, TrainingEnroll
    own = sa.and_(e.id == h.enrolment_id, e.student_id == h.student_id)
    someone = sa.or_(h.enrolment_id.is_not(None), h.student_id.is_not(None))
    checks: Iterable[tuple[str, str, sa.Select[Any]]] = (
        ("L8", "history rows name another student than their enrolment",
         sa.select(h.id).where(someone, ~sa.exists().where(own))),
        ("L6", "letters are about enrolments that don't exist",
         sa.select(o.id).where(o.enrolment_id.is_not(None),
                               ~sa.exists().where(e.id == o.enrolment_id))),
        ("L6", "letters go to accounts that don't exist",
         sa.select(o.id).where(o.user_id.is_not(None), ~sa.exists().where(User.id == o.user_id))),
    )  # fmt: skip
    for rule, what, strays in checks:
        if ids := session.scalars(strays.order_by(sa.text("1")).limit(5)).all():
            yield Violation(rule, None, f"{what}: ids {', '.join(map(str, ids))}")


def _expiry_jobs(session: Session, rules: Rules) -> Iterator[Violation]:
    """L1: each invitation that a schedule ends has its job, and no other such job stands."""
    e, s = TrainingEnroll, AutomationSchedule
    wanted = session.execute(
        sa.select(s.name, e.uuid)
        .join(s, s.id == e.invite_schedule_id)
        .where(
            e.status == INVITED,
            ~e.expiry_exempt,
            e.invite_expires_at.is_not(None),
            e.invite_promised_until.is_(None),
            s.works(),
        )
    )
    planned = {f"{name}/{uuid}/{rules.environment}" for name, uuid in wanted}
    there = set(_waitlist_jobs(session, rules))
    for id_ in sorted(planned - there):
        yield Violation("L1", None, f"an open invitation has no job {id_}")
    for id_ in sorted(there - planned):
        yield Violation("L1", None, f"job {id_} ends no open invitation")


def _waitlist_jobs(session: Session, rules: Rules) -> Iterator[str]:
    for id_, state in session.execute(sa.select(Job.id, Job.job_state)):
        if id_.endswith(f"/{rules.environment}") and _class_name(state) == "AutomaticWaitList":
            yield id_


def _class_name(state: bytes) -> str | None:
    """The task of a job; None for what cannot be read, which is parked and reported elsewhere."""
    try:
        return str(json.loads(state)["args"][2])
    except (ValueError, LookupError, TypeError):
        return None
