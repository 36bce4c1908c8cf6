"""What the catalogue reads and chooses, and how trainings stand for a student (people PS1, PG8)."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from app.models import Training, TrainingEvent
from app.models.queue import standing as counted
from app.services import catalogue, enrolments, overrides, standing, students, waitlist
from app.services.actors import LINK
from app.services.catalogue import Entry, Wanted, folded, page_of
from app.services.standing import Act, Offer, State
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, START, Cast
from tests.statements import count_statements

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.fixture
def cast(session: Session) -> Cast:
    return Cast(session)


def offer_to(cast: Cast, name: str, now: Any = NOON, training: Training | None = None) -> Offer:
    cast.session.flush()
    student = cast.student(name)
    found = catalogue.offer(
        cast.session, cast.practice.id, (training or cast.pottery).id, student.id, now
    )
    assert found is not None
    return found


def entries(cast: Cast, now: Any = NOON) -> dict[str, Entry]:
    cast.session.flush()
    open_ = catalogue.open_trainings(cast.session, cast.practice.id, AMSTERDAM, now)
    return {entry.name: entry for entry in open_}


# --- choosing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("CRÈME brûlée", "creme brulee"),
        ("Straße", "strasse"),
        ("Łódź", "lodz"),
        ("Køge", "koge"),
        ("İstanbul", "istanbul"),
        ("ﬁre", "fire"),
    ],
)
def test_text_is_folded_without_case_and_accents(typed: str, meant: str) -> None:
    assert folded(typed) == meant


@pytest.mark.parametrize(
    ("number", "items", "shown"), [(1, 5, [0, 1]), (3, 5, [4]), (9, 5, [4]), (0, 5, [0, 1])]
)
def test_a_page_past_the_end_is_the_last(number: int, items: int, shown: list[int]) -> None:
    page = page_of(list(range(items)), number, 2)
    assert (page.items, page.pages, page.total) == (shown, 3, 5)


def test_an_empty_list_has_one_empty_page() -> None:
    page = page_of([], 7, 24)
    assert (page.items, page.number, page.pages) == ([], 1, 1)


def test_the_filter_to_drop_is_the_one_without_which_most_is_found() -> None:
    there = [
        Entry(1, "Bowl", 1, "Clay", START, free=0),
        Entry(2, "Cup", 1, "Clay", START, free=0),
        Entry(3, "Bowl", 2, "Wood", START, free=3),
    ]
    assert catalogue.best_to_drop(there, Wanted(q="cup", type=1, places=True)) == ("places", 1)
    assert catalogue.best_to_drop(there, Wanted(type=1, places=True)) == ("places", 2)
    assert catalogue.best_to_drop(there, Wanted(q="x", month="2030-01")) is None


# --- reading -------------------------------------------------------------------------------------


def test_an_entry_counts_free_places_as_the_lock_does(cast: Cast) -> None:
    weaving = cast.training("Weaving", 4)
    cast.enrol("Ada", training=weaving)
    weaving.seats_kept = 1
    assert entries(cast)["Weaving"].free == 2
    assert entries(cast)["Weaving"].free == counted(cast.session, weaving, NOON).free


def test_the_month_is_that_of_the_practices_zone(cast: Cast) -> None:
    late = NOON.replace(month=4, day=30, hour=22, minute=30)  # 00:30 on 1 May in Amsterdam
    cast.training("Night", 1, late)
    assert entries(cast)["Night"].month == "2026-05"


def test_a_training_of_another_practice_is_not_offered(cast: Cast) -> None:
    assert catalogue.open_trainings(cast.session, cast.practice.id + 1, AMSTERDAM, NOON) == []
    other = catalogue.offer(cast.session, cast.practice.id + 1, cast.pottery.id, None, NOON)
    assert other is None


def test_numbers_of_many_are_those_of_each(cast: Cast) -> None:
    weaving, empty = cast.several(7, 3), cast.training("Empty", 2, None)
    cast.offer("Ben", "Cleo")
    waitlist.fill_open_spots(cast.session, weaving.id, NOON)
    ids = [cast.pottery.id, weaving.id, empty.id]
    for id_, offer in standing.offers(cast.session, ids, {}, NOON).items():
        one = counted(cast.session, cast.session.get_one(Training, id_), NOON)
        assert (offer.stand.taken, offer.stand.waiting, offer.stand.free) == (
            one.taken,
            one.waiting,
            one.free,
        )
        assert offer.stand.hard_stop == one.hard_stop
    assert standing.offers(cast.session, [weaving.id], {}, NOON)[weaving.id].answering == 3


def test_reading_takes_as_many_statements_for_many_as_for_few(cast: Cast) -> None:
    def sent() -> int:
        with count_statements(cast.session) as sent:
            mine = standing.rows_of(cast.session, cast.student("Ada").user_id, NOON)
            open_ = catalogue.open_trainings(cast.session, cast.practice.id, AMSTERDAM, NOON, mine)
            standing.offers(cast.session, [entry.id for entry in open_], mine, NOON)
        return len(sent)

    cast.enrol("Ada")
    few = sent()
    for n in range(20):
        cast.enrol("Ada", training=cast.training(f"T{n}"))
    assert sent() == few == 5


# --- how it stands -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected", "can"),
    [
        ("waitlist", State.WAITING, (Act.LEAVE,)),
        ("waitlist-invited", State.INVITED, (Act.ACCEPT, Act.DECLINE)),
        ("enrolled", State.ENROLLED, (Act.CANCEL,)),
        ("waitlist-invite-expired", State.RAN_OUT, (Act.JOIN_AGAIN,)),
        ("waitlist-declined", State.DECLINED, (Act.JOIN_AGAIN,)),
        ("derolled", State.LEFT, (Act.JOIN_AGAIN,)),
    ],
)
def test_each_status_has_its_state_and_its_acts(
    cast: Cast, status: str, expected: State, can: tuple[Act, ...]
) -> None:
    cast.in_status(status)
    offer = offer_to(cast, "Ben")
    assert standing.state(offer) is expected
    assert standing.acts(offer) == can


@pytest.mark.parametrize(
    "status", ["waitlist", "waitlist-invited", "enrolled", "waitlist-declined", "derolled"]
)
def test_what_is_cancelled_can_only_be_read(cast: Cast, status: str) -> None:
    cast.in_status(status)
    cast.pottery.cancelled_at = NOON
    offer = offer_to(cast, "Ben")
    assert standing.state(offer) is State.CANCELLED
    assert standing.acts(offer) == ()


def test_an_unanswered_invitation_runs_out_at_its_deadline_even_if_no_sweep_ran(
    cast: Cast,
) -> None:
    cast.offer("Ben")
    before, at = DEADLINE - MINUTE, DEADLINE
    assert standing.state(offer_to(cast, "Ben", before)) is State.INVITED
    assert standing.state(offer_to(cast, "Ben", at)) is State.RAN_OUT
    assert standing.acts(offer_to(cast, "Ben", at)) == (Act.JOIN_AGAIN,)


def test_who_waits_can_always_leave(cast: Cast) -> None:
    cast.line("Ben")
    cast.pottery.active = False
    closed = offer_to(cast, "Ben")
    assert (standing.state(closed), standing.acts(closed)) == (State.WAITING, (Act.LEAVE,))
    started = offer_to(cast, "Ben", START)
    assert (standing.state(started), standing.acts(started)) == (State.STARTED, (Act.LEAVE,))


def test_a_newcomer_sees_places_full_paused_or_inactive(cast: Cast) -> None:
    assert standing.state(offer_to(cast, "Finn")) is State.PLACES
    cast.enrol("Ada")
    assert standing.state(offer_to(cast, "Finn")) is State.FULL
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    assert standing.state(offer_to(cast, "Finn")) is State.PAUSED
    assert standing.state(offer_to(cast, "Finn"), active=False) is State.INACTIVE
    assert standing.acts(offer_to(cast, "Finn"), active=False) == ()


def test_after_the_start_nobody_joins_or_cancels(cast: Cast) -> None:
    cast.enrol_all("Ada", "Ben")
    assert standing.acts(offer_to(cast, "Ada", START)) == ()
    assert standing.state(offer_to(cast, "Ada", START)) is State.ENROLLED
    assert standing.state(offer_to(cast, "Ada", START + DAY)) is State.HAD_PLACE
    assert standing.state(offer_to(cast, "Ben", START)) is State.STARTED
    assert standing.state(offer_to(cast, "Finn", START)) is State.STARTED


def test_the_place_in_line_counts_those_who_wait_before(cast: Cast) -> None:
    ben, _cleo, _dora = cast.line("Ben", "Cleo", "Dora")
    enrolments.leave(cast.session, ben, LINK, NOON)
    mine = offer_to(cast, "Dora").mine
    assert mine is not None
    assert mine.place == 2
    assert offer_to(cast, "Ada").mine.place is None  # type: ignore[union-attr]


def test_a_row_is_found_by_its_own_student_alone(cast: Cast) -> None:
    (ada,) = cast.enrol_all("Ada")
    own, other = cast.student("Ada").user_id, cast.student("Mallory").user_id
    assert standing.row_called(cast.session, own, ada.uuid, NOON) is not None
    assert standing.row_called(cast.session, other, ada.uuid, NOON) is None


# --- what joining would do -----------------------------------------------------------------------


def joins(cast: Cast, name: str, now: Any) -> bool:
    """Whether the student gets a place by joining now."""
    return cast.enrol(name, now).status == "enrolled"


@pytest.mark.parametrize(
    "scene", ["free", "full", "paused", "late-free", "late-full", "batch-left", "unreachable-waits"]
)
def test_what_is_said_before_joining_is_what_joining_does(cast: Cast, scene: str) -> None:
    now = NOON
    if scene in ("full", "late-full"):
        cast.enrol("Ada")
    if scene == "paused":
        overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    if scene == "batch-left":
        cast.line("Ben")
        cast.pottery.max_participants = 2  # past the services: nobody has refilled yet
    if scene == "unreachable-waits":
        cast.line("Ben")
        cast.wont_mail("Ben")
        cast.pottery.max_participants = 2
    if scene.startswith("late"):
        now = START - HOUR
    said = standing.would_get_in(cast.session, offer_to(cast, "Finn", now))
    assert said is joins(cast, "Finn", now)
    assert said is (scene in ("free", "late-free", "unreachable-waits"))


def test_the_time_to_answer_ends_at_the_hard_stop(cast: Cast) -> None:
    assert standing.answer_time(cast.session, offer_to(cast, "Finn")) == 48 * HOUR
    soon = offer_to(cast, "Finn", START - 12 * HOUR)
    assert standing.answer_time(cast.session, soon) == 10 * HOUR


def test_whoever_letters_do_not_reach_is_known(cast: Cast) -> None:
    cast.wont_mail("Ada")
    told = {n: standing.can_be_told(cast.session, cast.student(n).id) for n in ("Ada", "Ben")}
    assert told == {"Ada": False, "Ben": True}


def test_a_waiting_student_knows_why_they_are_passed_over(cast: Cast) -> None:
    cast.line("Ben")
    students.deactivate(cast.session, cast.student("Ben"), cast.max, NOON)
    mine = offer_to(cast, "Ben").mine
    assert mine is not None
    assert mine.obstacle == "inactive"


def test_days_stand_in_order_with_where_they_are(cast: Cast) -> None:
    cast.pottery.events.append(TrainingEvent(start_time=START - DAY, end_time=START - DAY + HOUR))
    days = offer_to(cast, "Ada").days
    assert [day.start for day in days] == [START - DAY, START]
    assert offer_to(cast, "Ada").stand.starts_at == START - DAY
