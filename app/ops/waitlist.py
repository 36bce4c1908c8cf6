"""`flask waitlist`: see who waits and why, fill what is free, sweep what is due (people PC)."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeVar
from zoneinfo import ZoneInfo

import click
import sqlalchemy as sa
from flask.cli import with_appcontext

from app.automation.lock import wake_scheduler
from app.extensions import db, unit, utcnow
from app.models import EnrolmentHistory, Student, Training, TrainingEnroll, User
from app.models.enrolment import INVITED, WAITLIST
from app.models.queue import standing
from app.ops.exits import WITH_FAULTS, needs_database
from app.ops.terminal import (
    MOST_CANDIDATES,
    TEXT,
    dry_run_option,
    each,
    json_option,
    note,
    number,
    print_facts,
    print_json,
    print_table,
    printable,
    sure,
    the_one,
    yes_option,
)
from app.services import sweep, waitlist, why
from app.services.locks import locked

T = TypeVar("T")


@click.group("waitlist")
def command() -> None:
    """Who waits for a training T (its id, or its exact name), and why."""


# --- look ----------------------------------------------------------------------------------------


@command.command("show")
@click.argument("training", metavar="T", type=TEXT)
@json_option
@with_appcontext
@needs_database
def show(training: str, as_json: bool) -> None:
    """The numbers of a training, who is invited, who waits."""
    found = _training(training)
    zone, stand = _zone(found), standing(db.session(), found, utcnow())
    people = why.line(db.session(), stand)
    if as_json:
        numbers = {
            "id": found.id,
            "name": found.name,
            "places": found.max_participants,
            "taken": stand.taken,
            "free": stand.free,
            "kept": found.seats_kept,
            "overbooked_by": found.overbooked_by,
            "waiting": stand.waiting,
            "paused": found.waitlist_paused,
            "starts_at": stand.starts_at,
            "hard_stop": stand.hard_stop,
        }
        print_json({"training": numbers, "people": [asdict(person) for person in people]})
        return
    invited = sum(person.status is INVITED for person in people)
    print_facts(
        [
            ("training", f"{found.id} {found.name}"),
            ("places", f"{stand.taken} of {found.max_participants} taken"),
            ("free", stand.free),
            ("kept back", found.seats_kept or None),
            ("invited", invited),
            ("waiting", stand.waiting),
            ("starts", stand.starts_at and why.when(stand.starts_at, zone)),
            ("answers until", stand.hard_stop and why.when(stand.hard_stop, zone)),
            ("invites nobody", why.why_nobody(stand, zone)),
        ]
    )
    click.echo()
    print_table(
        ("place", "state", "student", "name", "answer before", "in the way", "enrolment"),
        [
            (
                person.place,
                person.status,
                person.student_id,
                person.name,
                person.deadline and why.when(person.deadline, zone),
                why.whats_in_the_way(person, zone),
                person.enrolment,
            )
            for person in people
        ],
    )
    if not people:
        note("Nobody is invited, nobody waits.")


@command.command("why")
@click.argument("training", metavar="T", type=TEXT)
@click.argument("student", metavar="[STUDENT]", type=TEXT, required=False)
@json_option
@with_appcontext
@needs_database
def explain(training: str, student: str | None, as_json: bool) -> None:
    """Why who waits is not invited yet, and what was decided; of a STUDENT only what concerns them.

    STUDENT is an enrolment's uuid, a student's id, an e-mail address or an exact name.
    """
    found = _training(training)
    zone, stand = _zone(found), standing(db.session(), found, utcnow())
    said = list(why.sentences(stand, why.line(db.session(), stand), zone))
    told = why.decisions(db.session(), found.id, zone)
    if student is not None:
        uuid = _enrolment(found, student)
        said = [(person, sentence) for person, sentence in said if person.enrolment == uuid]
        told = why.of_student(told, uuid)
    if as_json:
        people = [{"enrolment": p.enrolment, "place": p.place, "code": p.code, "why": s}
                  for p, s in said]  # fmt: skip
        print_json(
            {
                "training": found.id,
                "people": people,
                "decisions": [{"at": one.at, "steps": one.steps} for one in told],
            }
        )
        return
    for person, sentence in said:
        click.echo(printable(f"{person.name}: {sentence}"))
    if said and told:
        click.echo()
    for one in told:
        click.echo(printable(f"{why.when(one.at, zone)}  {one}"))
    if not said and not told:
        note("Nothing has happened there yet.")


# --- act -----------------------------------------------------------------------------------------


@command.command("fill")
@click.argument("training", metavar="T", type=TEXT, required=False)
@click.option("--all", "all_", is_flag=True, help="All trainings in which someone waits.")
@dry_run_option
@yes_option
@with_appcontext
@needs_database
def fill(training: str | None, all_: bool, dry_run: bool, yes: bool) -> None:
    """Invite the first in line, as far as places are free."""
    if (training is None) is not all_:
        raise click.UsageError("Give one training T, or --all.")
    ids = _fillable() if training is None else [_training(training).id]
    if all_ and ids and not dry_run:
        sure(f"Invite people to up to {len(ids)} trainings?", yes)

    def act(id_: int) -> None:
        waitlist.fill_open_spots(db.session(), id_, utcnow())

    if not _act_on(ids, act, dry_run) and not all_:
        note(_why_nobody(ids[0]))


def _why_nobody(id_: int) -> str:
    training = db.session.get_one(Training, id_)
    stand = standing(db.session(), training, utcnow())
    if reason := why.why_nobody(stand, _zone(training)):
        return f"Nobody is invited: {reason}."
    return "No place is free." if stand.free < 1 else "Nobody waits who can be invited."


@command.command("sweep")
@dry_run_option
@with_appcontext
@needs_database
def sweep_(dry_run: bool) -> None:
    """End what is overdue, invite who was planned, fill what is free: what the scheduler does."""
    ids = sweep.trainings_to_sweep(db.session(), utcnow())

    def act(id_: int) -> None:
        sweep.sweep_training(db.session(), id_, utcnow())

    _act_on(ids, act, dry_run)


def _act_on(ids: Sequence[int], act: Callable[[int], None], dry_run: bool) -> int:
    """One transaction per training; tell and count whom it concerned. Ends with 1 after a fault."""
    counts: Counter[str] = Counter()

    def moved_by(id_: int) -> dict[str, list[str]]:
        # What others did before we had the lock is not ours to tell.
        seq = locked(db.session(), Training, id_).history_seq
        act(id_)
        return _events_after(id_, seq)

    def one(id_: int) -> None:
        moved = _rolled_back(moved_by, id_) if dry_run else unit(db.session, lambda: moved_by(id_))
        for event, people in moved.items():
            counts[event] += len(people)
            click.echo(printable(f"training {id_}: {_verb(event, dry_run)}: {', '.join(people)}"))

    db.session.rollback()  # the look-ups are over: each training is a transaction of its own
    failed = each(ids, "training", one)
    if not dry_run:
        wake_scheduler()
    told = ", ".join(f"{_verb(event, dry_run)}: {count}" for event, count in counts.items())
    where = f" in {len(ids)} trainings" if len(ids) != 1 else ""
    click.echo(f"{told or 'nothing to do'}{where}" + (" (nothing written)" if dry_run else ""))
    if failed:
        sys.exit(WITH_FAULTS)
    return counts.total()


def _rolled_back(act: Callable[[int], T], id_: int) -> T:
    try:
        return act(id_)
    finally:
        db.session.rollback()


# What an act on a line can do to people.
VERBS = {
    "invited": "invited",
    "expired": "ended",
    "returned": "taken back",
    "planned": "planned",
    "plan-dropped": "dropped from the plan",
    "deadline-changed": "given another deadline",
}


def _verb(event: str, dry_run: bool) -> str:
    return f"would be {VERBS[event]}" if dry_run else VERBS[event]


def _events_after(training_id: int, seq: int) -> dict[str, list[str]]:
    h = EnrolmentHistory
    rows = db.session.execute(
        sa.select(h.event, h.student_id, User.first_name, User.last_name)
        .join(Student, Student.id == h.student_id)
        .join(User, User.id == Student.user_id)
        .where(h.training_id == training_id, h.seq > seq, h.event.in_(VERBS))
        .order_by(h.seq)
    )
    moved: dict[str, list[str]] = {}
    for event, student_id, *name in rows:
        moved.setdefault(event, []).append(f"{' '.join(name).strip()} (student {student_id})")
    return moved


def _fillable() -> list[int]:
    """Trainings open for booking in which someone waits; whether a place is free, fill counts."""
    waits = sa.exists().where(
        TrainingEnroll.training_id == Training.id, TrainingEnroll.status == WAITLIST
    )
    is_open = sa.and_(
        Training.active, Training.cancelled_at.is_(None), Training.archived_at.is_(None)
    )
    return list(
        db.session.scalars(sa.select(Training.id).where(is_open, waits).order_by(Training.id))
    )


# --- which one -----------------------------------------------------------------------------------


def _training(text: str) -> Training:
    """By id or exact name. Raises `Ended`: 3 unknown, 2 with candidates if there are several."""
    id_ = number(text)
    which = sa.or_(Training.name == text, *([Training.id == id_] if id_ else []))
    found = db.session.scalars(
        sa.select(Training).where(which).order_by(Training.id).limit(MOST_CANDIDATES + 1)
    ).all()
    return the_one(
        "training", text, [(one, f"{one.id}  {one.name}{_starting(one)}") for one in found]
    )


def _starting(training: Training) -> str:
    if not training.events:
        return ""
    return f", starts {why.when(training.events[0].start_time, _zone(training))}"


def _enrolment(training: Training, text: str) -> str:
    """The uuid of someone's row in a training. Raises `Ended` as `_training`."""
    e, id_ = TrainingEnroll, number(text)
    full_name = sa.func.trim(User.first_name + " " + User.last_name)
    which = sa.or_(
        e.uuid == text,
        sa.func.lower(User.email) == text.lower(),
        full_name == text,
        *([e.student_id == id_] if id_ else []),
    )
    found = db.session.execute(
        sa.select(e.uuid, e.student_id, full_name)
        .join(Student, Student.id == e.student_id)
        .join(User, User.id == Student.user_id)
        .where(e.training_id == training.id, which)
        .order_by(e.student_id)
        .limit(MOST_CANDIDATES + 1)
    ).all()
    what = f"student in training {training.id} called"
    return the_one(what, text, [(str(uuid), f"{id_}  {name}") for uuid, id_, name in found])


def _zone(training: Training) -> ZoneInfo:
    return ZoneInfo(training.practice.timezone)
