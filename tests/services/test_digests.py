"""One letter a day: what it tells, and once, whatever runs late or twice (waitlist WN15)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.models import (
    AssignmentStatus,
    AutomationClasses,
    AutomationSchedule,
    Outbox,
    Practice,
    TrainerLetters,
    Training,
    TrainingEnroll,
    TrainingTrainer,
    User,
    UserSettings,
)
from app.models.rules import Rules
from app.services import (
    accounts,
    digests,
    enrolments,
    overrides,
    post,
    students,
    trainings,
    waitlist,
)
from app.services.actors import CONSOLE
from app.services.letter_facts import News, Untrue, is_for_trainers
from app.services.letter_reading import gather
from app.services.trainings import Meeting
from tests.cast import DAY, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast
from tests.statements import count_statements

EVENING = NOON + 6 * HOUR
ALERT = timedelta(hours=48)
EACH, DIGEST, CENTRE = TrainerLetters.EACH, TrainerLetters.DIGEST, TrainerLetters.CENTRE


def prefers(cast: Cast, how: TrainerLetters = DIGEST) -> None:
    """Tess does, from the beginning."""
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=how))
    cast.session.expire_all()


def tell(cast: Cast, now: datetime = EVENING, occasion: str | None = None) -> bool:
    return digests.tell(cast.session, cast.tess.id, occasion or now.isoformat(), now)


def written(cast: Cast) -> list[Outbox]:
    """The digests promised so far."""
    mine = sa.select(Outbox).where(Outbox.kind == "trainer_digest").order_by(Outbox.id)
    return list(cast.session.scalars(mine.execution_options(populate_existing=True)))


def news(cast: Cast, now: datetime = EVENING) -> tuple[News, ...]:
    """What the last digest says."""
    cast.session.flush()
    row = written(cast)[-1]
    found = gather(cast.session, [row], now)[row.id]
    assert not isinstance(found, Untrue), found
    return found.news


def told(cast: Cast, now: datetime = EVENING) -> list[tuple[str, str]]:
    """(how, first name) of each student in the last digest, about Pottery alone."""
    (one,) = news(cast, now)
    return [(change.how, change.student.first_name) for change in one.changes]


def to_tess(cast: Cast) -> list[str]:
    """The letters to her that tell of one thing each."""
    return [kind for kind, name in cast.letters() if name == "Tess" and is_for_trainers(kind)]


# --- what it tells -------------------------------------------------------------------------------


def test_it_says_who_came_who_went_who_is_asked_and_how_full_it_is(cast: Cast) -> None:
    prefers(cast)
    cast.pottery.max_participants = 3
    cast.enrol_all("Ada", "Ben", "Cleo", "Dora", "Emil", "Fay")
    cast.leave(cast.row("Ben"))
    cast.decline(cast.row("Dora"))
    assert to_tess(cast) == []
    assert tell(cast)
    (one,) = news(cast)
    assert (one.name, one.starts_at, one.places, one.taken) == ("Pottery", START, 3, 3)
    assert (one.waiting, one.cancelled, one.rescheduled) == (1, False, False)
    assert told(cast) == [
        ("enrolled", "Ada"),
        ("left", "Ben"),
        ("enrolled", "Cleo"),
        ("ended", "Dora"),
        ("queued", "Fay"),
    ]
    (offer,) = one.offers
    assert (offer.student.first_name, offer.deadline) == ("Emil", NOON + 48 * HOUR)


def bounce(cast: Cast, enrolment: TrainingEnroll) -> None:
    """The invitation comes back."""
    mine = sa.select(Outbox).where(Outbox.kind == "invited", Outbox.enrolment_id == enrolment.id)
    row = cast.session.scalars(mine).one()
    row.state, row.ended_at = "sent", NOON
    cast.session.flush()
    post.bounced(cast.session, row.id, "no such box", CONSOLE, NOON)


ACTS: dict[str, tuple[str, Callable[[Cast, TrainingEnroll], Any], str | None]] = {
    "accepted": ("waitlist-invited", lambda cast, ben: cast.accept(ben), "enrolled"),
    "declined": ("waitlist-invited", lambda cast, ben: cast.decline(ben), "ended"),
    "expired": ("waitlist-invited", lambda cast, ben: cast.expire(ben), "ended"),
    "deinvited": (
        "waitlist-invited",
        lambda cast, ben: waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON),
        "ended",
    ),
    "derolled": ("enrolled", lambda cast, ben: cast.leave(ben), "left"),
    "left": ("waitlist", lambda cast, ben: enrolments.leave(cast.session, ben, CONSOLE, NOON),
             "left"),
    "removed": (
        "waitlist",
        lambda cast, ben: enrolments.remove(cast.session, ben, cast.max, NOON, REASON),
        "left",
    ),
    "forced": (
        "waitlist",
        lambda cast, ben: enrolments.force(
            cast.session, cast.pottery.id, ben.student_id, cast.max, NOON, REASON
        ),
        "enrolled",
    ),
    "undelivered": ("waitlist-invited", lambda cast, ben: bounce(cast, ben), "unreached"),
    "queued": ("derolled", lambda cast, ben: cast.enrol("Ben"), "queued"),
    "re-enabled": ("waitlist-declined", lambda cast, ben: cast.enrol("Ben"), "queued"),
    "invited": ("waitlist", lambda cast, ben: cast.leave(cast.row("Ada")), None),
}  # fmt: skip


@pytest.mark.parametrize("event", ACTS)
def test_each_thing_that_happens_is_told_by_the_next_digest_and_by_no_other(
    cast: Cast, event: str
) -> None:
    prefers(cast)
    status, act, how = ACTS[event]
    ben = cast.in_status(status)
    tell(cast, NOON)
    act(cast, ben)
    assert cast.last_event(event).enrolment_id == ben.id
    assert tell(cast)
    if how is None:
        assert [offer.student.first_name for offer in news(cast)[0].offers] == ["Ben"]
    else:
        assert (how, "Ben") in told(cast)
    assert not tell(cast, EVENING + DAY)
    assert to_tess(cast) == []


@pytest.mark.parametrize("event", [*ACTS, "rescheduled", "training-cancelled"])
def test_what_each_letter_told_at_once_is_no_news_any_more(cast: Cast, event: str) -> None:
    """Of each kind: else its letter's key is not the one that is looked for."""
    status, act, _how = ACTS.get(event, ("waitlist", _changes_training(event), None))
    ben = cast.in_status(status)
    act(cast, ben)
    assert event in cast.history()
    prefers(cast)
    assert digests.plan(cast.session, None, EVENING) == []
    assert not tell(cast)
    cast.session.execute(sa.delete(Outbox).where(Outbox.user_id == cast.tess.user_id))
    assert tell(cast)


def _changes_training(event: str) -> Callable[[Cast, TrainingEnroll], Any]:
    later = [Meeting(START + DAY, START + DAY + HOUR)]
    if event == "rescheduled":
        return lambda cast, _ben: trainings.reschedule(
            cast.session, cast.pottery.id, later, cast.max, NOON
        )
    return lambda cast, _ben: trainings.cancel(
        cast.session, cast.pottery.id, cast.max, NOON, REASON
    )


@pytest.mark.parametrize("event", ["rescheduled", "training-cancelled"])
def test_other_dates_and_a_cancellation_are_told(cast: Cast, event: str) -> None:
    prefers(cast)
    cast.in_status("waitlist")
    tell(cast, NOON)
    _changes_training(event)(cast, cast.row("Ben"))
    assert tell(cast)
    (one,) = news(cast)
    assert (one.rescheduled, one.cancelled) == (event == "rescheduled", event != "rescheduled")
    assert one.changes == ()


def test_what_no_letter_tells_trainers_is_no_news(cast: Cast) -> None:
    prefers(cast)
    ben = cast.in_status("waitlist")
    tell(cast, NOON)
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    overrides.skip(cast.session, ben, cast.max, NOON, REASON)
    assert not tell(cast)


def test_all_trainings_stand_in_one_letter_next_to_start_first(cast: Cast) -> None:
    prefers(cast)
    for name, start in (("Weaving", START - DAY), ("Baking", None), ("Quiet", START)):
        cast.training(name, 3, start)
    by_name = {one.name: one for one in cast.session.scalars(sa.select(Training))}
    for name in ("Pottery", "Baking", "Weaving"):
        cast.enrol("Ada", training=by_name[name])
    assert tell(cast)
    assert [one.name for one in news(cast)] == ["Weaving", "Pottery", "Baking"]
    assert len(written(cast)) == 1


def test_who_was_erased_has_no_name_in_it(cast: Cast) -> None:
    prefers(cast)
    cast.enrol("Ada")
    tell(cast)
    students.erase(cast.session, cast.student("Ada"), cast.max, EVENING)
    (one,) = news(cast)
    assert [change.student.erased_at for change in one.changes] == [EVENING]
    assert "Ada" not in str(written(cast)[-1].payload)


def test_what_its_reader_no_longer_teaches_is_left_out(cast: Cast) -> None:
    prefers(cast)
    weaving = cast.training("Weaving", 3)
    cast.enrol("Ada")
    cast.enrol("Ada", training=weaving)
    tell(cast)
    weaving.trainers.clear()
    assert [one.name for one in news(cast)] == ["Pottery"]
    cast.pottery.trainers[0].status = AssignmentStatus.DECLINED
    cast.session.flush()
    (row,) = written(cast)
    assert gather(cast.session, [row], EVENING)[row.id] == Untrue("no longer teaches any of these")


# --- to whom -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [EACH, CENTRE, None])
def test_who_did_not_choose_it_gets_none(cast: Cast, how: TrainerLetters | None) -> None:
    if how is not None:
        prefers(cast, how)
    cast.enrol("Ada")
    cast.session.execute(sa.delete(Outbox))
    assert digests.plan(cast.session, None, EVENING) == []


@pytest.mark.parametrize("what", ["trainer", "account", "mail", "bounced", "declined"])
def test_who_is_not_to_be_written_to_gets_none(cast: Cast, what: str) -> None:
    prefers(cast)
    cast.enrol("Ada")
    user = cast.tess.user
    if what == "trainer":
        cast.tess.status = "inactive"
    elif what == "account":
        user.active = False
    elif what == "mail":
        user.settings.msg_transactional_emails = False
    elif what == "bounced":
        user.undeliverable_at = NOON
    else:
        cast.pottery.trainers[0].status = AssignmentStatus.DECLINED
    cast.session.flush()
    assert digests.plan(cast.session, None, EVENING) == []
    assert not tell(cast)


def test_a_practice_has_the_digests_of_its_own_trainers(cast: Cast) -> None:
    prefers(cast)
    cast.enrol("Ada")
    other = cast.add(Practice(name="Wool", shortname="wool"))
    assert digests.plan(cast.session, other.id, EVENING) == []
    for practice_id in (cast.practice.id, None):
        (one,) = digests.plan(cast.session, practice_id, EVENING)
        assert (one.trainer_id, one.user_id) == (cast.tess.id, cast.tess.user_id)
        assert (dict(one.news), one.changes) == ({cast.pottery.id: (1,)}, 1)


# --- once, and nothing between two ---------------------------------------------------------------


def test_nothing_happened_no_letter(cast: Cast) -> None:
    prefers(cast)
    assert not tell(cast)
    cast.enrol("Ada")
    assert tell(cast)
    assert not tell(cast, EVENING + DAY)
    assert len(written(cast)) == 1


def test_an_act_that_was_slow_to_commit_is_told_by_the_next(cast: Cast) -> None:
    """Its instant is earlier than the digest's: clocks do not say what was seen, numbers do."""
    prefers(cast)
    cast.enrol("Ada")
    assert tell(cast)
    cast.enrol("Ben", EVENING - MINUTE)
    assert tell(cast, EVENING + DAY)
    assert told(cast) == [("queued", "Ben")]


def test_after_days_without_a_digest_the_next_tells_it_all(cast: Cast) -> None:
    prefers(cast)
    cast.pottery.max_participants = 9
    for day, name in enumerate(("Ada", "Ben", "Cleo", "Dora")):
        cast.enrol(name, NOON + day * DAY)
    assert tell(cast, EVENING + 3 * DAY)
    assert [name for _how, name in told(cast, EVENING + 3 * DAY)] == ["Ada", "Ben", "Cleo", "Dora"]


def test_what_happened_longer_ago_than_letters_are_kept_is_no_news(cast: Cast) -> None:
    prefers(cast)
    cast.enrol("Ada")
    assert digests.plan(cast.session, None, NOON + digests.LOOKS_BACK) == []
    assert digests.plan(cast.session, None, NOON + digests.LOOKS_BACK - SECOND) != []


def test_one_occasion_has_one_letter_and_what_it_left_out_is_for_the_next(cast: Cast) -> None:
    prefers(cast)
    cast.enrol("Ada")
    assert tell(cast, EVENING, "run")
    cast.enrol("Ben")
    assert not tell(cast, EVENING, "run")
    assert tell(cast, EVENING, "next")
    assert told(cast) == [("queued", "Ben")]


# --- at once, near the start ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "at_once"),
    [
        (START - ALERT - SECOND, False),
        (START - ALERT, True),
        (START - 3 * HOUR, True),
        (START - SECOND, True),
        (START, False),
        (START + DAY, False),
    ],
)
def test_near_its_start_a_trainer_on_digest_hears_of_everything_at_once(
    cast: Cast, now: datetime, at_once: bool
) -> None:
    prefers(cast)
    cast.enrol_all("Ada", "Ben")
    tell(cast)
    enrolments.remove(cast.session, cast.row("Ben"), cast.max, now, REASON)
    assert to_tess(cast) == (["left_waitlist_trainer"] if at_once else [])
    assert tell(cast, now) is not at_once


def test_how_near_is_a_setting_and_none_of_it_may_be(cast: Cast) -> None:
    prefers(cast)
    now = START - 3 * HOUR
    for hours, letters in ((2, []), (0, []), (3, ["waitlisted_trainer"])):
        cast.session.info["rules"] = Rules(trainer_alert=timedelta(hours=hours))
        cast.enrol_all("Ada", now=now)
        since = len(to_tess(cast))
        cast.enrol(f"Guest {hours}", now)
        assert to_tess(cast)[since:] == letters


def test_who_looks_for_themselves_is_not_told_at_once_either(cast: Cast) -> None:
    prefers(cast, CENTRE)
    cast.enrol("Ada", START - HOUR)
    assert to_tess(cast) == []


def test_the_first_day_of_a_course_counts_and_without_days_there_is_no_start(cast: Cast) -> None:
    prefers(cast)
    undated = cast.training("Baking", 3, start=None)
    cast.enrol("Ada", START - HOUR, undated)
    trainings.reschedule(
        cast.session,
        cast.pottery.id,
        [Meeting(START + n * DAY, START + n * DAY + HOUR) for n in (0, 7)],
        cast.max,
        NOON,
    )
    trainings.cancel(cast.session, cast.pottery.id, cast.max, START + 6 * DAY, REASON)
    assert to_tess(cast) == []


def test_what_is_told_at_once_and_what_is_not_are_told_once_each(cast: Cast) -> None:
    prefers(cast)
    cast.pottery.max_participants = 9
    cast.enrol("Ada", START - ALERT - HOUR)
    cast.enrol("Ben", START - ALERT + HOUR)
    trainings.reschedule(
        cast.session, cast.pottery.id, [Meeting(START + 9 * DAY, START + 9 * DAY + HOUR)],
        cast.max, START - ALERT + 2 * HOUR,
    )  # fmt: skip
    cast.enrol("Cleo", START - ALERT + 3 * HOUR)
    now = START - ALERT + 4 * HOUR
    assert tell(cast, now)
    assert told(cast, now) == [("enrolled", "Ada"), ("enrolled", "Cleo")]
    assert to_tess(cast) == ["enrolled_trainer"]
    assert news(cast, now)[0].rescheduled


# --- choosing ------------------------------------------------------------------------------------


def chooses(cast: Cast, how: TrainerLetters, now: datetime = NOON) -> None:
    accounts.change_trainer_letters(cast.session, cast.tess.user, how, now)
    cast.session.flush()


def test_a_digest_begins_with_what_comes(cast: Cast) -> None:
    prefers(cast, CENTRE)
    cast.enrol("Ada")
    chooses(cast, DIGEST)
    assert not tell(cast)
    cast.enrol("Ben")
    assert tell(cast)
    assert told(cast) == [("queued", "Ben")]


def test_choosing_it_again_loses_nothing(cast: Cast) -> None:
    chooses(cast, DIGEST)
    cast.enrol("Ada")
    chooses(cast, DIGEST)
    assert tell(cast)


def test_who_wants_each_letter_again_is_told_first_what_no_digest_told(cast: Cast) -> None:
    chooses(cast, DIGEST)
    cast.enrol("Ada")
    chooses(cast, EACH)
    cast.enrol("Ben")
    assert told(cast) == [("enrolled", "Ada")]
    assert to_tess(cast) == ["waitlisted_trainer"]
    chooses(cast, DIGEST)
    assert not tell(cast)


def test_who_wants_no_letters_gets_not_one_more(cast: Cast) -> None:
    chooses(cast, DIGEST)
    cast.enrol("Ada")
    chooses(cast, CENTRE)
    assert written(cast) == []


@pytest.mark.parametrize(("how", "then"), [(DIGEST, CENTRE), (EACH, EACH), (CENTRE, CENTRE)])
def test_the_link_that_stops_digests_stops_nothing_else(
    cast: Cast, how: TrainerLetters, then: TrainerLetters
) -> None:
    prefers(cast, how)
    for _ in range(2):
        students.want_digests(cast.session, cast.tess.user_id, False)
    assert cast.tess.user.settings.trainer_letters is then


# --- how much it costs ---------------------------------------------------------------------------


def test_digests_take_as_many_statements_for_any_number_of_trainings(cast: Cast) -> None:
    prefers(cast)
    counted = []
    for count in (1, 12):
        for n in range(count):
            cast.enrol("Ada", training=cast.training(f"T{count}-{n}", 3))
        cast.session.flush()
        with count_statements(cast.session) as sent:
            digests.plan(cast.session, None, EVENING)
            assert tell(cast, EVENING + count * SECOND)
        row = written(cast)[-1]
        with count_statements(cast.session) as read:
            gather(cast.session, [row], EVENING)
        assert len(row.payload["news"]) == count
        counted.append((len(sent), len(read)))
    assert counted[0] == counted[1]
    assert counted[0][0] <= 5


# --- the schedule that sends them ----------------------------------------------------------------


def shipped(cast: Cast) -> list[int | None]:
    """The practices that have one."""
    s = AutomationSchedule
    mine = (
        sa.select(s.practice_id)
        .join(AutomationClasses)
        .where(AutomationClasses.class_name == digests.TASK, s.deleted_at.is_(None))
    )
    return sorted(cast.session.scalars(mine))


def test_whoever_chooses_digests_brings_the_schedule_that_sends_them(cast: Cast) -> None:
    tess = cast.session.get_one(User, cast.tess.user_id)
    for how in (TrainerLetters.CENTRE, DIGEST, TrainerLetters.EACH, DIGEST):
        accounts.change_trainer_letters(cast.session, tess, how, NOON)
        assert shipped(cast) == ([] if how is TrainerLetters.CENTRE else [cast.practice.id])


def test_practices_whose_trainers_chose_before_get_theirs_when_the_scheduler_starts(
    cast: Cast,
) -> None:
    cast.add(Practice(name="Wool", shortname="wool"))  # nobody there wants one
    digests.provide(cast.session)
    assert shipped(cast) == []
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=DIGEST))
    for _ in range(2):
        digests.provide(cast.session)
        assert shipped(cast) == [cast.practice.id]


def test_what_the_office_removed_comes_again_only_for_who_chooses_it_anew(cast: Cast) -> None:
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=DIGEST))
    gone = digests.ship(cast.session, cast.practice)
    gone.deleted_at, gone.active = NOON, False
    cast.session.flush()
    digests.provide(cast.session)
    assert shipped(cast) == []
    digests.provide(cast.session, cast.tess.user_id)
    assert shipped(cast) == [cast.practice.id]


def test_a_schedule_for_all_practices_is_enough(cast: Cast) -> None:
    ours = digests.ship(cast.session, cast.practice)
    ours.practice_id = None
    cast.session.flush()
    digests.provide(cast.session, cast.tess.user_id)
    assert shipped(cast) == [None]


def test_two_practices_share_the_class_and_not_the_name(cast: Cast) -> None:
    wool = cast.add(Practice(name="Wool", shortname="wool"))
    ours, theirs = digests.ship(cast.session, cast.practice), digests.ship(cast.session, wool)
    assert [ours.name, theirs.name] == [digests.NAME, f"{digests.NAME} {wool.id}"]
    assert ours.automation_class is theirs.automation_class
    assert (ours.active, ours.dry_run, str(ours.schedule_type)) == (True, False, "daily")
    counted = sa.select(sa.func.count()).select_from(AutomationClasses)
    assert cast.session.scalar(counted.where(AutomationClasses.class_name == digests.TASK)) == 1


def test_a_name_is_free_again_once_its_schedule_is_deleted(cast: Cast) -> None:
    cast.add(AutomationSchedule(name=digests.NAME, deleted_at=NOON, active=False))
    assert digests.ship(cast.session, cast.practice).name == digests.NAME


def test_who_begins_to_teach_is_not_told_of_what_was_before(cast: Cast) -> None:
    """As staff and imports assign trainers; what they loaded may be older than the history."""
    cast.enrol("Ada")
    tina = cast.trainer("Tina")
    cast.add(UserSettings(user_id=tina.user_id, trainer_letters=DIGEST))
    known = digests.so_far(cast.pottery)
    cast.pottery.trainers.append(TrainingTrainer(trainer=tina, told_seq=known))
    cast.session.flush()
    assert digests.plan(cast.session, None, EVENING) == []
    cast.enrol("Ben")
    (one,) = digests.plan(cast.session, None, EVENING)
    assert dict(one.news) == {cast.pottery.id: (2,)}
