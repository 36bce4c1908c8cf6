"""Which letters are still true when they are about to be sent (reliability OB4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from app.models.enrolment import (
    DECLINED,
    DEROLLED,
    ENROLLED,
    EXPIRED,
    INVITED,
    OPEN,
    WAITLIST,
    EnrolmentStatus,
)
from app.services import account_letters, people_letters, schedule_letters
from app.services.letter_facts import (
    ATTENDEE_LIST,
    MINIMUM_ALERT,
    OPEN_SPOT,
    UNDELIVERED,
    Facts,
    as_instant,
)

Rule = Callable[[Facts, datetime], str | None]  # why it is no longer true


def _in(*statuses: EnrolmentStatus) -> Rule:
    """The enrolment is in one of these statuses."""

    def rule(facts: Facts, _now: datetime) -> str | None:
        seat = facts.seat
        if seat is None:
            return "the enrolment is gone"
        return None if seat.status in statuses else f"now {seat.status}"

    return rule


def _same_invitation(facts: Facts, _now: datetime) -> str | None:
    newer = facts.seat is not None and facts.row.invite_no not in (None, facts.seat.invite_no)
    return "there is a newer invitation" if newer else None


def _in_time(facts: Facts, now: datetime) -> str | None:
    deadline = facts.seat.deadline if facts.seat else None
    return "the deadline has passed" if deadline is not None and deadline <= now else None


def _ahead(facts: Facts, now: datetime) -> str | None:
    if facts.row.payload.get("event") is not None and facts.event is None:
        return "that meeting is gone"
    return "it has started" if facts.begins is None or facts.begins <= now else None


def _takes_place(facts: Facts, _now: datetime) -> str | None:
    return "the training is cancelled" if facts.course.cancelled_at else None


def _greetings_wanted(facts: Facts, _now: datetime) -> str | None:
    return None if facts.reader.wants_greetings else "opted out of greetings"


def _has_account(facts: Facts, _now: datetime) -> str | None:
    return None if facts.reader.active else "inactive account"


def _same_day(facts: Facts, now: datetime) -> str | None:
    """What says "today" is true until that day ends, whatever held it up."""
    ends_at = as_instant(facts.row.payload.get("until"))
    return "that day is over" if ends_at is not None and ends_at <= now else None


TO_PEOPLE: tuple[Rule, ...] = (_greetings_wanted, _has_account)


def _can_be_invited(facts: Facts, _now: datetime) -> str | None:
    return None if facts.seat is not None and facts.seat.active else "inactive account"


def _free_for_them(facts: Facts, _now: datetime) -> str | None:
    if facts.free is None:
        return "nothing they could join, or want to hear of"
    return None if facts.free > 0 else "no place is free any more"


def _somebody_comes(facts: Facts, _now: datetime) -> str | None:
    return None if facts.attendees else "nobody is enrolled any more"


def _too_few(facts: Facts, _now: datetime) -> str | None:
    enough = len(facts.attendees) >= (facts.course.minimum or 0)
    return "enough are enrolled by now" if enough else None


def _still_teaches(facts: Facts, _now: datetime) -> str | None:
    return None if facts.news else "no longer teaches any of these"


OPEN_INVITATION: tuple[Rule, ...] = (_in(INVITED), _same_invitation, _in_time)

# Every letter we write, and what must be true when it goes out. What trainers are told of happened,
# whatever came after; only what lies ahead can become untrue.
RULES: dict[str, tuple[Rule, ...]] = (
    {
        "enrolled": (_in(ENROLLED),),
        "waitlisted": (_in(WAITLIST),),
        "invited": OPEN_INVITATION,
        "invite_reminder": OPEN_INVITATION,
        "accepted": (_in(ENROLLED),),
        "declined": (_in(DECLINED), _same_invitation),
        "expired": (_in(EXPIRED, WAITLIST), _same_invitation),  # it may go back on the list (WI7)
        "invitation_withdrawn": (_in(WAITLIST), _same_invitation),
        "deadline_changed": OPEN_INVITATION,
        "derolled": (_in(DEROLLED),),
        "left_waitlist": (_in(DEROLLED),),
        "late_cancellation": (_in(DEROLLED),),
        "training_rescheduled": (_in(*OPEN), _takes_place),
        "training_cancelled": (),
        "reminder_student": (_in(ENROLLED), _takes_place, _ahead),
        "reminder_waitlist": (_in(WAITLIST), _can_be_invited, _takes_place, _ahead),
        OPEN_SPOT: (_takes_place, _ahead, _free_for_them),
        "enrolled_trainer": (),
        "waitlisted_trainer": (),
        "invited_trainer": (),
        "accepted_trainer": (),
        "declined_trainer": (),
        "expired_trainer": (),
        "derolled_trainer": (),
        "left_waitlist_trainer": (),
        "late_cancellation_trainer": (),
        "training_rescheduled_trainer": (_takes_place,),
        "training_cancelled_trainer": (),
        "reminder_trainer": (_takes_place, _ahead),
        ATTENDEE_LIST: (_takes_place, _ahead, _somebody_comes),
        MINIMUM_ALERT: (_takes_place, _ahead, _too_few),
        people_letters.TRAINER_DIGEST: (_has_account, _still_teaches),
        UNDELIVERED: (),  # whatever became of the enrolment, that student cannot be told
        people_letters.BIRTHDAY_TODAY: (*TO_PEOPLE, _same_day),
        people_letters.BIRTHDAY_LATE: TO_PEOPLE,
        people_letters.PROFILE_CHECK: TO_PEOPLE,
    }
    | dict.fromkeys(account_letters.KINDS, ())
    | dict.fromkeys(schedule_letters.KINDS, (_has_account,))
)
TO_THE_OFFICE_TOO = (UNDELIVERED,)  # whose readers need not teach
# And each says how (people PS10).
ONE_CAN_DO_WITHOUT = ("reminder_student", "reminder_waitlist")


def objections(facts: Facts, now: datetime, *, teaches: bool, office: bool) -> Iterator[str]:
    """Why this letter is not to be sent any more; nothing: it is as true as it was.

    `teaches`, `office`: what the reader is to this training now; a deactivated account is neither.
    """
    reader, kind = facts.reader, facts.row.kind
    if reader.erased_at:
        yield "erased"
    if reader.undeliverable_at:
        yield "undeliverable"
    if not reader.wants_mail or (kind in ONE_CAN_DO_WITHOUT and not reader.wants_reminders):
        yield "opted out"
    if facts.to_trainer:
        if not reader.active:
            yield "inactive account"
        if not (teaches or (office and kind in TO_THE_OFFICE_TOO)):
            yield "no longer teaches this"
    yield from (why for rule in RULES.get(kind, ()) if (why := rule(facts, now)))
