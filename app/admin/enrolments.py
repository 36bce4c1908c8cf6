"""Enrolments: moved only by acts, each the service that everyone calls (people PA2, PT3)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import joinedload
from wtforms import BooleanField, EmailField, TextAreaField
from wtforms.validators import InputRequired, Length

from app.admin import office
from app.admin.acts import Act, WithReason
from app.admin.fields import InstantField, RowField, choices_of, readable
from app.admin.filters import ChoiceOrMore, Number
from app.admin.frame import SecureView
from app.admin.names import name_of, words
from app.extensions import db, utcnow
from app.models import EnrolmentStatus, Student, Training, TrainingEnroll, User
from app.models.enrolment import (
    CLOSED,
    ENROLLED,
    INVITED,
    WAITLIST,
)
from app.models.queue import standing
from app.services import (
    attention,
    deadline_changes,
    enrolments,
    overrides,
    policies,
    waitlist,
    why,
)
from app.services.policies import OverLimit
from app.services.refusals import Refusal


class NoSuchStudent(Refusal):
    """Nobody of the practice has this address."""

    code, status = "no_such_student", 400
    sentence = _l("No student of this practice has this address.")


class MaybeReason(WithReason):
    """A reason that only skipping the line needs."""

    reason = TextAreaField(
        _l("Reason"),
        [Length(max=500), readable],
        description=_l("Needed if somebody else is first in line."),
    )


class Leaving(WithReason):
    """Whether the place that becomes free is offered to the line."""

    keep_place = BooleanField(_l("Keep the place back instead of inviting the next in line"))


class Later(WithReason):
    """A later deadline."""

    until = InstantField(_l("New deadline"), [InputRequired(_l("Say until when."))])


# --- acts ----------------------------------------------------------------------------------------


def _invite(session: Any, row: Any, actor: Any, now: datetime, reason: str) -> None:
    waitlist.invite(session, row, actor, now, reason=reason or None)


def _force(session: Any, row: Any, actor: Any, now: datetime, reason: str) -> None:
    enrolments.force(session, row.training_id, row.student_id, actor, now, reason)


def _more_time(
    session: Any, row: Any, actor: Any, now: datetime, until: datetime, reason: str
) -> None:
    deadline_changes.give_more_time(session, row, until, actor, now, reason)


def _take_out(
    session: Any, row: Any, actor: Any, now: datetime, reason: str, keep_place: bool
) -> None:
    if row.status is ENROLLED:
        enrolments.deroll(session, row, actor, now, reason=reason, keep_place=keep_place)
    else:
        enrolments.remove(session, row, actor, now, reason, keep_place=keep_place)


def _bring_back(session: Any, row: Any, actor: Any, now: datetime) -> None:
    enrolments.enrol(session, row.training_id, row.student_id, actor, now)


def _in(*statuses: EnrolmentStatus) -> Any:
    return lambda row: row.status in statuses


ACTS = (
    Act(
        "invite",
        _l("Invite now"),
        _invite,
        _l("They are offered a free place, or one that you kept back."),
        MaybeReason,
        offered=_in(WAITLIST),
    ),
    Act(
        "more-time",
        _l("Give more time"),
        _more_time,
        _l("Their invitation ends later, at most when invitations end."),
        Later,
        bulk=False,
        offered=_in(INVITED),
    ),
    Act(
        "return",
        _l("Take the invitation back"),
        waitlist.return_to_list,
        _l("They keep their place in line, and are passed over until you say otherwise."),
        Leaving,
        offered=_in(INVITED),
    ),
    Act(
        "end",
        _l("End the invitation"),
        waitlist.deinvite,
        _l("As if it had run out: they leave the line, the next one is invited."),
        Leaving,
        danger=True,
        offered=_in(INVITED),
    ),
    Act(
        "skip",
        _l("Pass over"),
        overrides.skip,
        _l("They keep their place in line and are not invited until you say otherwise."),
        WithReason,
        offered=lambda row: row.status is WAITLIST and not row.skipped,
    ),
    Act(
        "unskip",
        _l("Pass over no longer"),
        overrides.unskip,
        _l("Their turn counts again."),
        WithReason,
        offered=lambda row: row.status is WAITLIST and (row.skipped or row.not_before is not None),
    ),
    Act(
        "back",
        _l("Bring back"),
        _bring_back,
        _l("They join again: at the end of the line, or with a free place at once."),
        offered=_in(*CLOSED),
    ),
    Act(
        "force",
        _l("Enrol at once"),
        _force,
        _l("Past the line, and above the number of places if need be."),
        WithReason,
        danger=True,
        offered=lambda row: row.status is not ENROLLED,
    ),
    Act(
        "remove",
        _l("Take off the training"),
        _take_out,
        _l("They are told. The next in line is invited, unless you keep the place back."),
        Leaving,
        danger=True,
        offered=_in(WAITLIST, INVITED, ENROLLED),
    ),
)


# --- the view ------------------------------------------------------------------------------------


class EnrolmentView(SecureView):
    """Who is where in which training. No form writes a status, a position or a deadline (A5)."""

    column_list = (
        "student", "training.name", "status", "queue_position", "joined_at", "invite_expires_at",
    )  # fmt: skip
    column_details_list = (
        "student", "email", "training.name", "status", "queue_position", "joined_at", "invite_date",
        "invite_expires_at", "invite_planned_at", "skipped", "not_before", "missed_invites", "paid",
        "terms_accepted_at", "uuid",
    )  # fmt: skip
    column_export_list = (
        "training_id", "training.name", "student", "email", "status", "queue_position", "joined_at",
        "invite_date", "invite_expires_at", "paid", "uuid",
    )  # fmt: skip
    column_filters = (
        Number(TrainingEnroll.training_id, _l("Training no.")),
        ChoiceOrMore(
            TrainingEnroll.status,
            _l("Status"),
            [(s.value, words(s)) for s in EnrolmentStatus],
            {"ending": (_l("Invited, ends within a day"), attention.ending_soon)},
        ),
    )
    column_sortable_list = (
        "queue_position", "joined_at", "invite_expires_at", "status",
        ("training.name", "training.name"),
    )  # fmt: skip
    column_default_sort = [("training_id", True), ("status", True), ("queue_position", False)]
    column_labels = {
        "student": _l("Student"),
        "email": _l("E-mail"),
        "training.name": _l("Training"),
        "status": _l("Status"),
        "queue_position": _l("No. in line"),
        "joined_at": _l("Joined"),
        "invite_date": _l("Invited"),
        "invite_expires_at": _l("Answer before"),
        "invite_planned_at": _l("Invitation planned for"),
        "skipped": _l("Passed over"),
        "not_before": _l("Passed over until"),
        "missed_invites": _l("Invitations missed"),
        "paid": _l("Paid"),
        "terms_accepted_at": _l("Terms accepted"),
        "uuid": _l("Number"),
    } | {"training_id": _l("Training no.")}
    column_formatters = {"email": lambda _v, _c, row, _n: row.student.user.email}
    column_formatters_detail = column_formatters
    column_formatters_export = column_formatters
    form_columns = ("where", "address")
    form_extra_fields = {
        "where": RowField(
            _l("Training"),
            [InputRequired(_l("Choose a training."))],
            query_factory=lambda: choices_of(Training).filter(
                Training.cancelled_at.is_(None), Training.archived_at.is_(None)
            ),
            get_label=name_of,
        ),
        "address": EmailField(
            _l("E-mail address of the student"),
            [InputRequired(_l("Type an address.")), Length(max=254), readable],
        ),
    }
    refused_at = {"no_such_student": "address"}
    loads = (
        joinedload(TrainingEnroll.training),
        joinedload(TrainingEnroll.student).joinedload(Student.user),
    )
    acts = ACTS
    can_edit = False
    details_template = "admin/enrolments/details.html"

    def scope(self) -> sa.ColumnElement[bool]:
        """Of the practice's trainings."""
        ours = sa.select(Training.id).where(Training.practice_id == office.practice_id())
        return TrainingEnroll.training_id.in_(ours)

    def init_search(self) -> bool:
        """By student and training, which columns of other tables name."""
        return True

    def _apply_search(
        self, query: Any, count_query: Any, joins: Any, count_joins: Any, search: str
    ) -> Any:
        fits = sa.and_(*(_names(term) for term in search.split()))
        counted = None if count_query is None else count_query.filter(fits)
        return query.filter(fits), counted, joins, count_joins

    def save(self, form: Any, row: Any, created: bool, now: datetime) -> str | None:
        """As if the student had come: a place, or one in the line (WE2 1-3)."""
        typed = (form.address.data or "").strip().lower()
        asked = sa.select(Student).join(User, User.id == Student.user_id)
        here = Student.practice_id == office.practice_id()
        student = db.session.scalars(asked.where(here, sa.func.lower(User.email) == typed)).first()
        if student is None:
            raise NoSuchStudent
        above = _above_limit(form.where.data, student.id, now)
        found = enrolments.enrol(db.session(), form.where.data.id, student.id, office.actor(), now)
        said = f"{name_of(found)}: {words(found.status)}"
        return f"{said}. {above.to_staff}" if above else said

    def told_before(self, act: Act, rows: list[Any]) -> list[str]:
        """Which of these cancel late, or come back above a booking limit (WP2, WP3)."""
        session, now = db.session(), utcnow()
        if act.name == "remove":
            theirs = {row.training_id: row.training for row in rows if row.status is ENROLLED}
            lates = (policies.late_now(session, one, now) for one in theirs.values())
            said = (
                _("This is a late cancellation. %(text)s", text=one.words) for one in lates if one
            )
            return list(dict.fromkeys(said))
        if act.name == "back":
            return [
                f"{name_of(row.student)}: {over.to_staff}"
                for row in rows
                if (over := _above_limit(row.training, row.student_id, now)) is not None
            ]
        return []

    def details_more(self, row: Any) -> dict[str, Any]:
        """Why they are where they are."""
        found = why.decisions(db.session(), row.training_id, office.zone())
        return {"decisions": why.of_student(found, row.uuid)[::-1][:40]}


def _above_limit(training: Training, student_id: int, now: datetime) -> OverLimit | None:
    """The booking limit that joining goes above, which keeps no staff from it."""
    session = db.session()
    if not (limits := policies.limits_on(session, training)):
        return None
    stand = standing(session, training, now)
    return policies.too_many(session, stand, limits, [student_id]).get(student_id)


def _names(part: str) -> sa.ColumnElement[bool]:
    """This is part of a name: each table is read once, whatever a planner knows of them."""
    texts = (User.first_name, User.last_name, User.email)
    fits = sa.or_(*(text.icontains(part, autoescape=True) for text in texts))
    students = sa.select(Student.id).join(User, User.id == Student.user_id).where(fits)
    trainings = sa.select(Training.id).where(Training.name.icontains(part, autoescape=True))
    e = TrainingEnroll
    return sa.or_(e.student_id.in_(students), e.training_id.in_(trainings))


def views() -> list[SecureView]:
    """Of this module."""
    return [EnrolmentView(TrainingEnroll, "Enrolments", "Trainings")]
