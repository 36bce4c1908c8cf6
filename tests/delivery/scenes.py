"""Every letter we write, promised by what people do: the rows that tests render."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from app.models import Location, Outbox, TrainingEnroll
from app.services import deadline_changes, enrolments, letters, trainings, waitlist
from app.services.actors import LINK
from app.services.occurrence import Occurrence
from app.services.trainings import Meeting
from app.services.transitions import place_of
from config import Settings
from tests.cast import DAY, DEADLINE, HOUR, NOON, REASON, START, Cast
from tests.rules import kind_of_training, of_type, window

SETTINGS = Settings(
    _env_file=None,
    secret_key="s" * 40,
    public_base_url="https://clay.example.org",
    link_keys=["k" * 32],
)


def _rescheduled(cast: Cast) -> None:
    cast.in_status("waitlist")
    later = [Meeting(START + n * DAY, START + n * DAY + 2 * HOUR) for n in (1, 2)]
    trainings.reschedule(cast.session, cast.pottery.id, later, cast.max, NOON)


def _cancelled(cast: Cast) -> None:
    cast.in_status("waitlist")
    trainings.cancel(cast.session, cast.pottery.id, cast.max, NOON, REASON)


def _withdrawn(cast: Cast) -> None:
    ben = cast.in_status("waitlist-invited")
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON)


def _more_time(cast: Cast) -> None:
    ben = cast.in_status("waitlist-invited")
    deadline_changes.give_more_time(cast.session, ben, DEADLINE + HOUR, cast.max, NOON, REASON)


def _undelivered(cast: Cast) -> None:
    ben = cast.in_status("waitlist-invited")
    letters.undelivered(cast.session, place_of(ben), NOON)


def _invitation_reminded(cast: Cast) -> None:
    ben = cast.in_status("waitlist-invited")
    letters.invite_reminder(cast.session, [place_of(ben)], 1, NOON)


def _reminded(cast: Cast, remind: Callable[..., int]) -> None:
    cast.in_status("enrolled")
    coming = Occurrence(str(cast.pottery.id), START, NOON)
    assert remind(cast.session, cast.schedule.id, coming, NOON) == 1


def _too_few(cast: Cast) -> None:
    cast.pottery.min_participants = 3
    _reminded(cast, letters.minimum_alert)


def _waits(cast: Cast) -> None:
    cast.in_status("waitlist")
    coming = Occurrence(str(cast.pottery.id), START, NOON)
    told = letters.reminder_waitlist(
        cast.session, cast.schedule.id, coming, NOON, answer_time=48 * HOUR
    )
    assert told == 2


def _announced(cast: Cast) -> None:
    cast.student("Ben")
    coming = Occurrence(str(cast.pottery.id), START, NOON)
    assert letters.open_spot(cast.session, cast.schedule.id, coming, NOON) == 1


def _cancelled_late(cast: Cast) -> None:
    ben, type_ = cast.in_status("enrolled"), kind_of_training(cast)
    of_type(cast, cast.pottery, type_)
    window(cast, type_, hours=8784, text_nl="Meld je een dag eerder af.")
    enrolments.deroll(cast.session, ben, LINK, NOON, late=True)


# Who does what so that this letter is promised, to its student and, if there is one, the trainer.
ACTS: dict[str, Callable[[Cast], Any]] = {
    "enrolled": lambda cast: cast.in_status("enrolled"),
    "waitlisted": lambda cast: cast.in_status("waitlist"),
    "invited": lambda cast: cast.in_status("waitlist-invited"),
    "accepted": lambda cast: cast.accept(cast.in_status("waitlist-invited")),
    "declined": lambda cast: cast.in_status("waitlist-declined"),
    "expired": lambda cast: cast.in_status("waitlist-invite-expired"),
    "invitation_withdrawn": _withdrawn,
    "deadline_changed": _more_time,
    "derolled": lambda cast: cast.leave(cast.in_status("enrolled")),
    "late_cancellation": _cancelled_late,
    "left_waitlist": lambda cast: cast.in_status("derolled"),
    "training_rescheduled": _rescheduled,
    "training_cancelled": _cancelled,
    "undelivered": _undelivered,
    "invite_reminder": _invitation_reminded,
    "reminder_student": lambda cast: _reminded(cast, letters.reminder_student),
    "reminder": lambda cast: _reminded(cast, letters.reminder_trainer),
    "attendee_list": lambda cast: _reminded(cast, letters.attendee_list),
    "minimum_alert": _too_few,
    "reminder_waitlist": _waits,
    "open_spot": _announced,
}


def promised(cast: Cast, kind: str) -> Outbox:
    """The row of a letter of this kind, after what brings it about; Ben's or Tess's."""
    furnish(cast)
    ACTS[kind if kind in ACTS else kind.removesuffix("_trainer")](cast)
    return row_of(cast, kind)


def row_of(cast: Cast, kind: str) -> Outbox:
    """The last letter of this kind about Ben, or about the whole training."""
    cast.session.flush()
    found = cast.session.scalars(sa.select(Outbox).where(Outbox.kind == kind).order_by(Outbox.id))
    readers = (cast.student("Ben").user_id, cast.tess.user_id)
    about = (None, *_ids_of(cast, "Ben"))
    return [row for row in found if row.user_id in readers and row.enrolment_id in about][-1]


def _ids_of(cast: Cast, name: str) -> list[int]:
    """The enrolment of a student in Pottery, if there is one."""
    e = TrainingEnroll
    mine = sa.select(e.id).where(e.student_id == cast.student(name).id)
    return list(cast.session.scalars(mine.where(e.training_id == cast.pottery.id)))


def furnish(cast: Cast) -> None:
    """Give Pottery a location."""
    mill = cast.add(Location(practice_id=cast.practice.id, name="The Mill", address="Dam 1, Delft"))
    for event in cast.pottery.events:
        event.location_id = mill.id
    cast.session.flush()


def by_hand(cast: Cast, kind: str, enrolment: TrainingEnroll | None = None, **facts: Any) -> Outbox:
    """A row as the services write it."""
    reader = enrolment.student.user_id if enrolment else cast.tess.user_id
    subject = enrolment.uuid if enrolment else f"training-{cast.pottery.id}"
    return cast.add(
        Outbox(
            key=f"{kind}:{subject}:1:email:{reader}",
            channel="email",
            aggregate=f"{subject}/{reader}",
            kind=kind,
            user_id=reader,
            enrolment_id=enrolment.id if enrolment else None,
            invite_no=enrolment.invite_no if enrolment else None,
            sequence=enrolment.ical_sequence if enrolment else None,
            payload=facts if enrolment else {"training": cast.pottery.id, **facts},
            due_at=NOON,
            created_at=NOON,
        )
    )
