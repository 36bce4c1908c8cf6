"""The oracle sees what is wrong, and nothing where all is right (rulings RD3).

It is shown a true history and told something else, or told the truth and shown forged rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app.models import EnrolmentHistory, TrainingEnroll
from app.ops.oracle import MOVES, Oracle, Violations
from app.services.trainings import BelowTakenChoice, set_capacity
from app.services.transitions import EVENTS
from tests.cast import DEADLINE, HOUR, NOON, REASON, START, Cast

ANSWER_TIME = 48 * HOUR


class Watched:
    """The cast's training, and an oracle that believes it has so many places."""

    def __init__(self, cast: Cast, places: int = 1, answer_time: timedelta = ANSWER_TIME) -> None:
        self.cast, self.id = cast, cast.pottery.id
        self.oracle = Oracle(cast.session.connection(), answer_time)
        self.oracle.opened(self.id, places, START)

    def come(self, *names: str, told: tuple[str, ...] | None = None) -> list[TrainingEnroll]:
        rows = self.cast.enrol_all(*names)
        for name in told if told is not None else names:
            self.oracle.enrolled(self.id, [self.cast.student(name).id], NOON)
        self.check()
        return rows

    def leave(self, row: TrainingEnroll) -> None:
        self.cast.leave(row)
        self.oracle.left(self.id, row.student_id, NOON)
        self.check()

    def accept(self, row: TrainingEnroll, now: datetime) -> None:
        self.cast.accept(row, now)
        self.oracle.answered(self.id, row.student_id, True, now)
        self.check(now)

    def check(self, now: datetime = NOON) -> None:
        self.oracle.check(self.id, now)

    def found(self, now: datetime = NOON) -> dict[str, int]:
        """What is not zero after the last, full look."""
        self.oracle.check_all(now)
        return {name: n for name, n in vars(self.oracle.violations).items() if n}


@pytest.fixture
def watched(cast: Cast) -> Watched:
    return Watched(cast)


def test_where_all_is_right_it_finds_nothing(watched: Watched) -> None:
    ada, ben, _ = watched.come("Ada", "Ben", "Cleo")
    watched.leave(ada)
    watched.accept(ben, NOON + HOUR)
    watched.leave(ben)
    assert watched.found() == {}
    assert not watched.oracle.violations
    assert Violations(idle_spots=1)


def test_it_knows_the_table_of_moves_by_heart() -> None:
    theirs = {name: (set(map(str, e.from_)), str(e.to)) for name, e in EVENTS.items()}
    assert {name: (set(map(str, from_)), to) for name, (from_, to) in MOVES.items()} == theirs


def test_a_place_that_is_not_there_is_oversold(session: sa.orm.Session) -> None:
    watched = Watched(Cast(session, places=2), places=1)
    watched.come("Ada", "Ben")
    assert watched.found() == {"oversold": 1}


def test_seats_taken_without_a_history_are_oversold(watched: Watched) -> None:
    _, ben = watched.come("Ada", "Ben")
    forge(watched, TrainingEnroll, ben.id, status="enrolled")
    assert watched.found()["oversold"] == 1


def test_a_cut_that_leaves_people_in_oversells_nothing(session: sa.orm.Session) -> None:
    watched = Watched(Cast(session, places=2), places=2)
    ada, _, _ = watched.come("Ada", "Ben", "Cleo")
    cut(watched, 1)
    watched.leave(ada)
    assert watched.found() == {}


def test_who_came_earlier_is_passed(watched: Watched) -> None:
    ada, _, _ = watched.come("Ada", "Cleo", "Ben", told=("Ada", "Ben", "Cleo"))
    watched.leave(ada)
    assert watched.found() == {"fifo_violations": 1}


def test_a_line_that_stands_in_another_order_is_unfair(watched: Watched) -> None:
    watched.come("Ada", "Cleo", "Ben", told=("Ada", "Ben", "Cleo"))
    assert watched.found() == {"fifo_violations": 1}


def test_a_place_taken_after_the_right_had_lapsed_is_unfair(cast: Cast) -> None:
    watched = Watched(cast, answer_time=HOUR)
    ada, ben = watched.come("Ada", "Ben")
    watched.leave(ada)
    watched.accept(ben, NOON + HOUR)
    assert watched.found(NOON + HOUR) == {"fifo_violations": 1}


def test_a_right_taken_away_too_early_is_unfair(cast: Cast) -> None:
    watched = Watched(cast, answer_time=72 * HOUR)
    ada, ben = watched.come("Ada", "Ben")
    watched.leave(ada)
    cast.expire(ben, DEADLINE)
    watched.oracle.swept(watched.id, DEADLINE)
    assert watched.found(DEADLINE) == {"fifo_violations": 1}


def test_an_answer_in_time_that_was_refused_is_unfair(watched: Watched) -> None:
    ada, ben = watched.come("Ada", "Ben")
    watched.leave(ada)
    watched.oracle.answered(watched.id, ben.student_id, True, NOON)
    assert watched.found() == {"fifo_violations": 1}


def test_an_answer_that_came_too_late_may_be_refused(watched: Watched) -> None:
    ada, ben = watched.come("Ada", "Ben")
    watched.leave(ada)
    watched.accept(ben, DEADLINE)
    assert watched.found(DEADLINE) == {}


def test_a_free_place_while_someone_waits_is_idle(cast: Cast) -> None:
    watched = Watched(cast, places=2)
    watched.come("Ada", "Ben")
    assert watched.found()["idle_spots"] > 0


def test_a_place_that_nobody_could_answer_for_in_time_is_not_idle(cast: Cast) -> None:
    watched = Watched(cast, places=2)
    watched.come("Ada", "Ben")
    before = watched.oracle.violations.idle_spots
    watched.check(START - 2 * HOUR)
    assert watched.oracle.violations.idle_spots == before


def test_an_invitation_that_outlives_the_sweep_keeps_a_place_idle(watched: Watched) -> None:
    ada, _ = watched.come("Ada", "Ben")
    watched.leave(ada)
    watched.oracle.swept(watched.id, DEADLINE)
    assert watched.found(DEADLINE) == {"idle_spots": 1}


def test_a_missing_number_is_a_gap(watched: Watched) -> None:
    watched.come("Ada")
    row = watched.cast.session.scalar(sa.select(EnrolmentHistory.id))
    forge(watched, EnrolmentHistory, row, seq=2)
    fresh = Watched(watched.cast)
    fresh.oracle.enrolled(fresh.id, [watched.cast.student("Ada").id], NOON)
    assert fresh.found()["history_gaps"] > 0


def test_a_status_that_no_history_leads_to_is_a_gap(watched: Watched) -> None:
    _, ben = watched.come("Ada", "Ben")
    forge(watched, TrainingEnroll, ben.id, status="waitlist-declined")
    assert watched.found()["history_gaps"] > 0


def test_two_statuses_that_changed_places_are_found_in_the_end(watched: Watched) -> None:
    ada, ben = watched.come("Ada", "Ben")
    forge(watched, TrainingEnroll, ada.id, status="waitlist", queue_position=2)
    forge(watched, TrainingEnroll, ben.id, status="enrolled")
    assert watched.found()["history_gaps"] == 2


def test_a_move_that_the_table_does_not_know_is_a_gap(watched: Watched) -> None:
    watched.cast.enrol_all("Ada")
    watched.oracle.enrolled(watched.id, [watched.cast.student("Ada").id], NOON)
    row = watched.cast.session.scalar(sa.select(EnrolmentHistory.id))
    forge(watched, EnrolmentHistory, row, event="accepted")
    assert watched.found()["history_gaps"] > 0


def test_a_move_that_nobody_asked_for_is_a_gap(watched: Watched) -> None:
    watched.come("Ada", told=())
    assert watched.found() == {"history_gaps": 1}


def test_an_act_that_left_no_trace_is_a_gap(watched: Watched) -> None:
    watched.come(told=("Ada",))
    assert watched.found() == {"history_gaps": 1}


def cut(watched: Watched, places: int) -> None:
    overbook = BelowTakenChoice.OVERBOOK
    session, max_ = watched.cast.session, watched.cast.max
    set_capacity(session, watched.id, places, max_, NOON, choice=overbook, reason=REASON)
    watched.oracle.resized(watched.id, places)
    watched.check()


def forge(watched: Watched, model: type, id_: int | None, **values: object) -> None:
    """Write past the services."""
    watched.cast.session.execute(sa.update(model).where(model.id == id_).values(**values))
