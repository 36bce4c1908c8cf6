"""For whom is imported, and by one at a time."""

from __future__ import annotations

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app.models.engine import is_busy
from app.models.practice import Practice
from app.models.rules import rules_of
from app.services import policies
from app.services.local_time import zone_names
from app.services.locks import locked
from app.services.refusals import NotFound, Refusal


class ImportRunning(Refusal):
    """Two imports for one practice go one after the other (reliability B58)."""

    code = "import_running"
    sentence = _l("Another import for this practice is running: try again when it has ended.")


class NoPractice(Refusal):
    """A fresh installation."""

    code, status = "no_practice", 404
    sentence = _l(
        "There is no practice yet: add --practice SHORTNAME --create-practice NAME to make it."
    )


class WhichPractice(Refusal):
    """There are several."""

    code, status = "which_practice", 400
    sentence = _l("Say for which practice, by --practice: %(names)s.")


class PracticeExists(Refusal):
    """It is there already, with settings of its own."""

    code = "practice_exists"
    sentence = _l("Practice %(shortname)s exists already: leave --create-practice out.")


class BadPractice(Refusal):
    """A name or zone that no practice has."""

    code, status = "bad_practice", 400
    sentence = _l(
        "A practice has a short name of 1 to 40 characters, a name of up to 200, and a time zone"
        " such as Europe/Amsterdam."
    )


def find_practice(session: Session, shortname: str | None) -> Practice:
    """The practice of that short name; without one, the only practice there is.

    Raises `NotFound`, `NoPractice`, `WhichPractice`.
    """
    if shortname is not None:
        named = sa.select(Practice).where(Practice.shortname == shortname)
        if practice := session.scalars(named).one_or_none():
            return practice
    names = session.scalars(sa.select(Practice.shortname).order_by(Practice.shortname)).all()
    if not names:
        raise NoPractice
    if shortname is not None:
        raise NotFound(what="practice", id=shortname)
    if len(names) > 1:
        raise WhichPractice(names=", ".join(names))
    return session.scalars(sa.select(Practice)).one()


def create_practice(session: Session, shortname: str, name: str, timezone: str) -> Practice:
    """A new practice. Raises `BadPractice`, `PracticeExists`."""
    shortname, name = shortname.strip(), name.strip()
    if not (1 <= len(shortname) <= 40 and 1 <= len(name) <= 200):
        raise BadPractice
    if timezone not in zone_names():
        raise BadPractice
    there = sa.select(Practice.id).where(Practice.shortname == shortname)
    if session.scalar(there) is not None:
        raise PracticeExists(shortname=shortname)
    rules = rules_of(session)
    practice = Practice(
        shortname=shortname,
        name=name,
        timezone=timezone,
        people_mail_daily_cap=rules.people_mail_daily_cap,
        people_mail_weekly_cap=rules.people_mail_weekly_cap,
    )
    session.add(practice)
    session.flush()  # it is locked by its id, and named by its policies
    policies.ship(session, practice.id)
    return practice


def lock(session: Session, practice: Practice) -> None:
    """One import at a time, so that none creates what the other is creating.

    Raises `ImportRunning`.
    """
    try:
        locked(session, Practice, practice.id)
    except sa.exc.OperationalError as error:
        if is_busy(error):
            raise ImportRunning from error
        raise
