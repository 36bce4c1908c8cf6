"""Trainings of a practice from rows, one row a day; changes go through `services/trainings.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from app.models.bulk import chunks
from app.models.person import Trainer
from app.models.practice import Practice
from app.models.training import Location, Training, TrainingEvent, TrainingTrainer, TrainingType
from app.models.user import User
from app.services import digests, history, plan, trainings
from app.services.actors import Actor
from app.services.importing.accounts import accounts, new_account
from app.services.importing.report import Fault, Report, Wishes, refuse_if
from app.services.importing.rows import TrainingRow
from app.services.locks import locked_trainings
from app.services.refusals import Refusal
from app.services.trainings import Meeting


@dataclass(frozen=True)
class Wanted:
    """A training as the file has it; what its rows share stands in the first."""

    first: TrainingRow
    days: list[TrainingRow]


@dataclass(frozen=True)
class Known:
    """Ids of what the file names."""

    types: dict[str, int]
    locations: dict[str, int]
    trainers: dict[str, int]  # by address in lower case


def put(
    session: Session,
    practice: Practice,
    rows: Sequence[TrainingRow],
    actor: Actor,
    now: datetime,
    wishes: Wishes,
) -> Report:
    """Create and change trainings. Raises `FaultyFile`."""
    wanted = _grouped(rows)
    known = Known(
        _named(session, TrainingType, practice, (row.type for row in rows)),
        _named(session, Location, practice, (row.location for row in rows)),
        _trainers(session, practice, wanted, create=wishes.create_trainers),
    )
    there = _trainings(session, practice, [training.first.training for training in wanted])
    put_one = _Putting(session, known, actor, now, wishes.letters)
    report = Report()
    fresh: list[Training] = []
    for one in wanted:
        training = there.get(one.first.training)
        if training is None:
            fresh.append(put_one.create(practice, one))
        elif put_one.change(training, one):
            report.changed += 1
        else:
            report.same += 1
    refuse_if(put_one.faults)
    session.flush()  # history and jobs name the ids of new trainings
    for training in fresh:
        if training.active:
            history.note_training(session, training, "activated", actor, now)
            plan.training_jobs(session, training, now)
    report.created, report.invited = len(fresh), put_one.invited
    return report


def _grouped(rows: Sequence[TrainingRow]) -> list[Wanted]:
    """Rows by training, in the order of the file. Raises `FaultyFile` if some contradict others."""
    by_key: dict[str, list[TrainingRow]] = {}
    for row in rows:
        by_key.setdefault(row.training, []).append(row)
    wanted = [Wanted(days[0], days) for days in by_key.values()]
    refuse_if(
        [
            day.fault(column, f"not as in line {one.first.line}, which is of the same training")
            for one in wanted
            for day in one.days
            for column in TrainingRow.SHARED
            if getattr(day, column) != getattr(one.first, column)
        ]
    )
    return wanted


# --- what a file names --------------------------------------------------------------------------


def _named(
    session: Session, model: Any, practice: Practice, names: Iterable[str]
) -> dict[str, int]:
    """Name -> id of the practice's types or locations; those nobody knows yet are made."""
    wanted = dict.fromkeys(name for name in names if name)
    rows = session.scalars(sa.select(model).where(model.practice_id == practice.id))
    found = {row.name: row for row in sorted(rows, key=lambda row: -row.id)}
    for name in wanted:
        if name not in found:
            found[name] = model(practice_id=practice.id, name=name)
            session.add(found[name])
    session.flush()  # trainings name their ids
    return {name: found[name].id for name in wanted}


def _trainers(
    session: Session, practice: Practice, wanted: Sequence[Wanted], *, create: bool
) -> dict[str, int]:
    """Address in lower case -> trainer. Raises `FaultyFile` for who is none, unless `create`."""
    asked = {a.lower(): (a, one.first) for one in wanted for a in one.first.trainers or ()}
    users = accounts(session, [address for address, _ in asked.values()])
    mine = sa.select(Trainer).where(Trainer.practice_id == practice.id)
    by_user = {trainer.user_id: trainer for trainer in session.scalars(mine)}
    found: dict[str, Trainer] = {}
    faults = []
    for key, (address, row) in asked.items():
        user = users.get(key)
        trainer = by_user.get(user.id) if user else None
        if trainer is None and not create:
            message = f"{address} is no trainer of this practice; --create-trainers makes one"
            faults.append(row.fault("trainers", message))
            continue
        if trainer is None:
            trainer = Trainer(user=user or User(**new_account(address)), practice_id=practice.id)
            session.add(trainer)
        found[key] = trainer
    refuse_if(faults)
    session.flush()  # trainings name their ids
    return {key: trainer.id for key, trainer in found.items()}


def _trainings(session: Session, practice: Practice, keys: Sequence[str]) -> dict[str, Training]:
    """Import key -> training, all locked, with their days and trainers."""
    ids: list[int] = []
    for some in chunks(keys):
        mine = sa.select(Training.id).where(
            Training.practice_id == practice.id, Training.import_key.in_(some)
        )
        ids += session.scalars(mine)
    found = {}
    for some_ids in chunks(sorted(ids)):
        locked_trainings(session, some_ids)
        whole = sa.select(Training).options(
            selectinload(Training.events), selectinload(Training.trainers)
        )
        for training in session.scalars(whole.where(Training.id.in_(some_ids))):
            found[str(training.import_key)] = training
    return found


# --- one training -------------------------------------------------------------------------------


class _Putting:
    """Writes trainings one by one; remembers who got invited and what was refused."""

    def __init__(
        self, session: Session, known: Known, actor: Actor, now: datetime, letters: bool
    ) -> None:
        self.session, self.known = session, known
        self.actor, self.now, self.letters = actor, now, letters
        self.invited = 0
        self.faults: list[Fault] = []

    def create(self, practice: Practice, one: Wanted) -> Training:
        """A new training. Nobody waits yet: to be open is a note and its jobs, no refill (WT2)."""
        training = Training(
            practice_id=practice.id,
            import_key=one.first.training,
            name=one.first.name,
            training_type_id=self.known.types.get(one.first.type),
            max_participants=one.first.max_participants,
            active=one.first.active,
        )
        for day in one.days:
            location = self.known.locations.get(day.location)
            training.events.append(
                TrainingEvent(start_time=day.start, end_time=day.end, location_id=location)
            )
        self._set_trainers(training, one.first)
        self.session.add(training)
        return training

    def change(self, training: Training, one: Wanted) -> bool:
        """Bring a training in line; say whether it was not. What is refused becomes a fault."""
        steps = list(self._steps(training, one))
        for column, step in steps:
            try:
                if training.cancelled_at or training.archived_at:
                    raise trainings.TrainingClosed
                step()
            except Refusal as no:
                self.faults.append(one.first.fault(column, str(no.sentence)))
                break  # the next step would only stumble over the same
        return bool(steps)

    def _steps(self, training: Training, one: Wanted) -> Iterable[tuple[str, Callable[[], None]]]:
        """What differs: first it closes, last it opens, so that nobody is invited in between."""
        row, id_, meetings = one.first, training.id, _meetings(training, one.days, self.known)
        args = (self.actor, self.now)
        if training.active and not row.active:
            yield "active", lambda: trainings.deactivate(self.session, id_, *args)
        if training.name != row.name:
            yield "name", lambda: setattr(training, "name", row.name)
        if row.type and training.training_type_id != self.known.types[row.type]:
            yield "type", lambda: self._set_type(training, row)
        if self._trainer_ids(row) not in (None, [t.trainer_id for t in training.trainers]):
            yield "trainers", lambda: self._set_trainers(training, row)
        if training.max_participants != row.max_participants:
            yield "max_participants", lambda: self._set_capacity(id_, row.max_participants)
        if _of(meetings) != _of(training.events):
            yield "start", lambda: self._reschedule(id_, meetings)
        if row.active and not training.active:
            yield "active", lambda: self._activate(id_)

    def _set_type(self, training: Training, row: TrainingRow) -> None:
        training.training_type_id = self.known.types[row.type]
        self.session.flush()  # the jobs that follow are read by the type
        if training.active:
            plan.training_jobs(self.session, training, self.now)

    def _set_trainers(self, training: Training, row: TrainingRow) -> None:
        ids = self._trainer_ids(row)
        if ids is None:
            return
        there = {t.trainer_id: t for t in training.trainers}
        for rank, id_ in enumerate(ids, start=1):
            if id_ not in there:
                known = digests.so_far(training)
                there[id_] = TrainingTrainer(trainer_id=id_, told_seq=known)
            there[id_].rank = rank
        training.trainers = [there[id_] for id_ in ids]

    def _trainer_ids(self, row: TrainingRow) -> list[int] | None:
        if row.trainers is None:
            return None
        return [self.known.trainers[address.lower()] for address in row.trainers]

    def _set_capacity(self, id_: int, places: int) -> None:
        self.invited += len(trainings.set_capacity(self.session, id_, places, self.actor, self.now))

    def _reschedule(self, id_: int, meetings: list[Meeting]) -> None:
        done = trainings.reschedule(
            self.session, id_, meetings, self.actor, self.now, notify=self.letters
        )
        self.invited += len(done.invited)

    def _activate(self, id_: int) -> None:
        self.invited += len(trainings.activate(self.session, id_, self.actor, self.now))


def _meetings(training: Training, days: Sequence[TrainingRow], known: Known) -> list[Meeting]:
    """The days as they should be; one that moved keeps its row, so that letters say it moved."""
    left = list(training.events)
    same: dict[int, TrainingEvent] = {}
    for number, day in enumerate(days):
        event = next((e for e in left if (e.start_time, e.end_time) == (day.start, day.end)), None)
        if event is not None:
            same[number] = event
            left.remove(event)
    meetings = []
    for number, day in enumerate(days):
        event = same.get(number) or (left.pop(0) if left else None)
        location = known.locations.get(day.location) or (event.location_id if event else None)
        meetings.append(Meeting(day.start, day.end, location, event.id if event else None))
    return meetings


def _of(days: Iterable[Meeting | TrainingEvent]) -> set[tuple[Any, ...]]:
    return {(day.id, day.start_time, day.end_time, day.location_id) for day in days}
