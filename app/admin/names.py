"""What rows and values are called on pages of the administration: plain text, escaped later."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa
from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup

from app.admin import office
from app.extensions import Model, db
from app.models import Student, Trainer, TrainingEnroll, TrainingEvent, TrainingTrainer, User
from app.models.bulk import among
from app.models.enrolment import EnrolmentStatus
from app.services.intervals import show_interval

STATUS_WORDS = {
    "waitlist": "Waiting",
    "waitlist-invited": "Invited",
    "enrolled": "Enrolled",
    "waitlist-invite-expired": "Ran out",
    "waitlist-declined": "Declined",
    "derolled": "Left",
}
NEW = {
    "Training": _l("New training"),
    "TrainingType": _l("New training type"),
    "Policy": _l("New policy"),
    "Location": _l("New location"),
    "TrainingEnroll": _l("New enrolment"),
    "Student": _l("New student"),
    "Trainer": _l("New trainer"),
    "User": _l("New user"),
    "AutomationSchedule": _l("New schedule"),
    "ApiKey": _l("New key"),
    "Webhook": _l("New webhook"),
}
USER, USER_ACTOR = "user:", re.compile(r"user:\d{1,9}")
WORD_ENDS = re.compile(r"(?<=_)|(?<=[a-z])(?=[A-Z])")
LOOKS = {
    EnrolmentStatus.WAITLIST: "wait",
    EnrolmentStatus.INVITED: "act",
    EnrolmentStatus.ENROLLED: "ok",
    EnrolmentStatus.EXPIRED: "late",
    EnrolmentStatus.DECLINED: "dim",
    EnrolmentStatus.DEROLLED: "dim",
}


def name_of(row: Any) -> str:
    """How a row is called where another one names it."""
    if isinstance(row, Student | Trainer):
        return name_of(row.user)
    if isinstance(row, TrainingTrainer):
        return name_of(row.trainer)
    if isinstance(row, User):
        return row.fullname or row.email
    if isinstance(row, TrainingEnroll):
        return f"{name_of(row.student)} · {row.training.name}"
    if isinstance(row, TrainingEvent):
        return str(local(row.start_time))
    for attribute in ("name", "class_name", "key"):
        if isinstance(found := getattr(row, attribute, None), str):
            return found
    return str(getattr(row, "id", row))


def actors_in_words(actors: Iterable[str]) -> dict[str, str]:
    """Colleagues by name; programs, `system` and others' staff as they are. One statement."""
    all_ = set(actors)
    ids = sorted(int(one.removeprefix(USER)) for one in all_ if USER_ACTOR.fullmatch(one))
    ours = sa.select(User).where(among(User.id, ids), User.practice_id == office.practice_id())
    users = db.session.scalars(ours).all() if ids else []
    named = {f"{USER}{user.id}": name_of(user) for user in users}
    return {actor: named.get(actor, actor) for actor in all_}


def who(actor: str) -> str:
    """The same of one."""
    return actors_in_words([actor])[actor]


def breakable(text: str) -> Markup:
    """`waitlist_reminder`, `StudentReminderTask`: a line may end between their words."""
    return Markup("<wbr>").join(WORD_ENDS.split(text))


def words(value: Enum) -> str:
    """A status or choice in words: `Waiting`, `before`."""
    text = str(value.value)
    return STATUS_WORDS.get(text) or text.replace("-", " ").replace("_", " ").capitalize()


def badge(look: str, said: str) -> Markup:
    """A state with its icon, as on every page (people PD2)."""
    macros = current_app.jinja_env.get_template("frame/macros.html")
    return Markup(macros.module.state_badge(look, said))  # type: ignore[attr-defined]  # noqa: S704  our own macro escapes


def local(at: datetime) -> Markup:
    """An instant in the office's zone, machine-readable too (people PG7)."""
    said: Markup = current_app.jinja_env.filters["when"](at)
    return said


# --- cells of lists and details ------------------------------------------------------------------


def _none(_view: Any, _value: Any, _name: str) -> str:
    return ""


def _bool(_view: Any, value: bool, _name: str) -> str:
    return str(_("Yes") if value else _("No"))


def _instant(_view: Any, value: datetime, _name: str) -> Markup | str:
    return local(value) if value.tzinfo else str(value)


def _date(_view: Any, value: date, _name: str) -> str:
    return value.isoformat()


def _interval(_view: Any, value: timedelta, _name: str) -> str:
    return show_interval(value)


def _enum(_view: Any, value: Enum, _name: str) -> Markup | str:
    if isinstance(value, EnrolmentStatus):
        return badge(LOOKS[value], words(value))
    return words(value)


def _row(_view: Any, value: Model, _name: str) -> str:
    return name_of(value)


def _several(_view: Any, values: Any, _name: str) -> str:
    return ", ".join(name_of(value) for value in values)


CELLS: dict[type, Any] = {
    type(None): _none,
    bool: _bool,
    datetime: _instant,
    date: _date,
    timedelta: _interval,
    Enum: _enum,
    Model: _row,
    list: _several,
}


def _exact_instant(_view: Any, value: datetime, _name: str) -> str:
    return value.astimezone(office.zone()).isoformat(timespec="seconds")


def _exact_enum(_view: Any, value: Enum, _name: str) -> str:
    return str(value.value)


EXPORTED: dict[type, Any] = CELLS | {datetime: _exact_instant, Enum: _exact_enum}


def exported(value: Any) -> str:
    """A value as a file has it, and as one reads what changed meanwhile."""
    for kind, said in EXPORTED.items():
        if isinstance(value, kind):
            return str(said(None, value, ""))
    return str(value)
