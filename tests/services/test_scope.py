"""Nobody acts outside their scope: another practice's reads like none at all (SE7, WD5, I16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.models import Practice
from app.services import (
    deadline_changes,
    enrolments,
    importing,
    overrides,
    students,
    trainings,
    waitlist,
)
from app.services.actors import CONSOLE, SYSTEM, Actor, staff
from app.services.refusals import NotFound
from tests.cast import DAY, NOON, REASON, START, Cast

Act = Callable[[Cast, Actor], Any]
STUDENTS = "email,first_name,last_name,phone,language,birthday,status"


def _ben(cast: Cast, actor: Actor) -> tuple[Any, ...]:
    return (cast.session, cast.row("Ben"), actor, NOON)


def _pottery(cast: Cast, actor: Actor) -> tuple[Any, ...]:
    return (cast.session, cast.pottery.id, actor, NOON)


def _list(cast: Cast, *more: Any) -> tuple[Any, ...]:
    return (cast.session, cast.pottery.id, *more)


def _student(cast: Cast, actor: Actor) -> tuple[Any, ...]:
    return (cast.session, cast.student("Ben"), actor, NOON)


def _import(cast: Cast, actor: Actor) -> Any:
    kind, content = (
        importing.Kind.STUDENTS,
        f"{STUDENTS}\nada@example.org,Ada,Lovelace,,,,active\n".encode(),
    )
    return importing.import_file(cast.session, kind, content, cast.practice, actor, NOON)


# Every act of staff; Ben is invited.
ACTS: dict[str, Act] = {
    "enrol": lambda c, a: enrolments.enrol(*_list(c, c.student("Dora").id), a, NOON),
    "force": lambda c, a: enrolments.force(*_list(c, c.student("Dora").id), a, NOON, REASON),
    "deroll": lambda c, a: enrolments.deroll(*_ben(c, a), reason=REASON),
    "remove": lambda c, a: enrolments.remove(*_ben(c, a), REASON),
    "accept": lambda c, a: waitlist.accept(*_ben(c, a)),
    "decline": lambda c, a: waitlist.decline(*_ben(c, a)),
    "re-enable": lambda c, a: waitlist.re_enable(*_ben(c, a)),
    "invite": lambda c, a: waitlist.invite(*_ben(c, a)),
    "end": lambda c, a: waitlist.deinvite(*_ben(c, a), REASON),
    "return": lambda c, a: waitlist.return_to_list(*_ben(c, a), REASON),
    "expire": lambda c, a: waitlist.expire(*_ben(c, a)),
    "more time": lambda c, a: deadline_changes.give_more_time(
        c.session, c.row("Ben"), START - DAY, a, NOON, REASON
    ),
    "exempt": lambda c, a: deadline_changes.exempt(*_ben(c, a)),
    "skip": lambda c, a: overrides.skip(*_ben(c, a), REASON),
    "unskip": lambda c, a: overrides.unskip(*_ben(c, a), REASON),
    "pause": lambda c, a: overrides.pause_list(*_pottery(c, a), REASON),
    "resume": lambda c, a: overrides.resume_list(*_pottery(c, a), REASON),
    "keep": lambda c, a: overrides.keep_spots(*_list(c, 1), a, NOON, REASON),
    "release": lambda c, a: overrides.release_spots(*_list(c, 1), a, NOON, REASON),
    "activate": lambda c, a: trainings.activate(*_pottery(c, a)),
    "deactivate": lambda c, a: trainings.deactivate(*_pottery(c, a)),
    "cancel": lambda c, a: trainings.cancel(*_pottery(c, a), REASON),
    "archive": lambda c, a: trainings.archive(*_pottery(c, a)),
    "delete": lambda c, a: trainings.delete(c.session, c.pottery.id, a),
    "capacity": lambda c, a: trainings.set_capacity(*_list(c, 9), a, NOON),
    "reschedule": lambda c, a: trainings.reschedule(*_list(c, []), a, NOON),
    "student off": lambda c, a: students.deactivate(*_student(c, a)),
    "student on": lambda c, a: students.activate(*_student(c, a)),
    "erase": lambda c, a: students.erase(*_student(c, a)),
    "import": _import,
}


@pytest.mark.parametrize("act", ACTS)
def test_staff_of_another_practice_find_nothing(cast: Cast, act: str) -> None:
    cast.offer("Ben")
    cast.student("Dora")
    other = cast.add(Practice(name="Stone", shortname="stone"))
    mallory = staff(cast.user("Mallory").id, [other.id])
    before = cast.everything()
    with pytest.raises(NotFound):
        ACTS[act](cast, mallory)
    assert cast.everything() == before


@pytest.mark.parametrize("act", ["deroll", "end", "capacity", "erase", "import"])
@pytest.mark.parametrize("who", ["Max", "console", "system", "of both"])
def test_those_who_work_there_and_the_house_itself_may(cast: Cast, act: str, who: str) -> None:
    (ben,) = cast.offer("Ben")
    if act == "deroll":
        cast.accept(ben)
    other = cast.add(Practice(name="Stone", shortname="stone"))
    of_both = staff(cast.user("Moll").id, [other.id, cast.practice.id])
    actors = {"Max": cast.max, "console": CONSOLE, "system": SYSTEM, "of both": of_both}
    ACTS[act](cast, actors[who])


def test_someone_who_works_for_nobody_finds_nothing(cast: Cast) -> None:
    cast.offer("Ben")
    with pytest.raises(NotFound):
        ACTS["end"](cast, staff(cast.user("Mallory").id, []))
