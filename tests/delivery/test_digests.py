"""The daily letter to trainers as they read it (waitlist WN15, WM3, people PS10)."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from app.delivery.rendering import Letter, compose
from app.models import LetterText, Outbox, TrainerLetters, UserSettings
from app.services import digests, post_reading, students, trainings
from tests.cast import DAY, HOUR, NOON, REASON, START, Cast
from tests.delivery.scenes import SETTINGS

EVENING = NOON + 5 * HOUR


@pytest.fixture
def busy(cast: Cast) -> Cast:
    """Ada and Ben have places, Cleo is asked, Dora left, Emil waits; and Weaving is cancelled."""
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=TrainerLetters.DIGEST))
    cast.pottery.max_participants = 3
    cast.enrol_all("Ada", "Ben", "Dora", "Cleo", "Emil")
    cast.leave(cast.row("Dora"))
    weaving = cast.training("Weaving", 8, START + DAY)
    trainings.cancel(cast.session, weaving.id, cast.max, NOON, REASON)
    return cast


def row_of(cast: Cast) -> Outbox:
    assert digests.tell(cast.session, cast.tess.id, "x", EVENING)
    return cast.session.scalars(sa.select(Outbox).where(Outbox.kind == "trainer_digest")).one()


def letter(cast: Cast, row: Outbox) -> Letter:
    cast.session.flush()
    cast.session.expire_all()
    made = compose(cast.session, [row], SETTINGS, EVENING, mint=False)[row.id]
    assert isinstance(made, Letter), made
    return made


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_both_parts_tell_the_same(busy: Cast) -> None:
    made = letter(busy, row_of(busy))
    assert made.to.startswith("tess-")
    assert made.subject == "What happened in your trainings"
    for said in (" ".join(made.text.split()), words(made.html)):
        assert "Hello Tess" in said
        assert "Wed 1 April 2026, 14:00 (Amsterdam)" in said
        assert "Now have a place: Ada Example, Ben Example" in said
        assert "Joined the waitlist: Emil Example" in said
        assert "Left: Dora Example" in said
        until = "Wed 4 March 2026, 13:00 (Amsterdam)"
        assert f"no answer yet: Cleo Example (answer before {until})" in said
        assert "3 of 3 places are taken, 1 waiting" in said
        assert "The training was cancelled." in said
        assert said.index("Pottery") < said.index("Weaving")
        assert "None" not in said


def test_it_says_how_to_get_no_more_of_it(busy: Cast) -> None:
    made = letter(busy, row_of(busy))
    assert made.unsubscribe is not None
    assert made.unsubscribe.startswith("https://clay.example.org/no-digests/")
    for said in (made.text, made.html):
        assert made.unsubscribe in said
        assert "https://clay.example.org/trainer/trainings" in said


def test_who_was_erased_is_a_former_student(busy: Cast) -> None:
    row = row_of(busy)
    students.erase(busy.session, busy.student("Ada"), busy.max, EVENING)
    made = letter(busy, row)
    assert "Now have a place: Former student, Ben Example" in made.text
    assert "Ada" not in made.text + made.html


def test_a_name_is_shown_and_does_nothing(busy: Cast) -> None:  # B48
    user = busy.student("Ben").user
    user.first_name, user.last_name = "<b>{{ 7*7 }}</b>", "\u202egnirts"
    made = letter(busy, row_of(busy))
    assert "<b>{{ 7*7 }}</b> gnirts" in made.text
    assert "&lt;b&gt;{{ 7*7 }}&lt;/b&gt;" in made.html


def test_of_very_many_people_the_first_are_named_and_the_rest_counted(cast: Cast) -> None:
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=TrainerLetters.DIGEST))
    cast.pottery.max_participants = 30
    cast.enrol_all(*(f"N{n:02}" for n in range(23)))
    made = letter(cast, row_of(cast))
    assert "N19 Example and 3 more" in " ".join(made.text.split())


def test_of_very_many_trainings_the_rest_are_counted(cast: Cast) -> None:
    cast.add(UserSettings(user_id=cast.tess.user_id, trainer_letters=TrainerLetters.DIGEST))
    for n in range(120):
        cast.enrol("Ada", training=cast.training(f"Weaving {n} {'w' * 180}"))
    made = letter(cast, row_of(cast))
    shown = len(re.findall(r"^Weaving", made.text, re.M))
    assert 20 < shown < 120
    assert f"There is news of more trainings: {120 - shown}." in made.text


def test_the_office_may_write_it_in_its_own_words(busy: Cast) -> None:
    text = (
        "{% for training in trainings %}{{ training.name }}: {{ training.enrolled }};{% endfor %}"
    )
    busy.add(LetterText(
        practice_id=busy.practice.id, key="trainer_digest", language="en", subject="Today",
        text=text + " {{ links.page }}", html=f"<p>{text}</p>", updated_at=NOON,
    ))  # fmt: skip
    made = letter(busy, row_of(busy))
    assert made.text.startswith("Pottery: Ada Example, Ben Example;Weaving: ;")


def test_it_is_a_letter_of_its_practice(busy: Cast) -> None:  # SE7
    row = row_of(busy)
    for practice_id, there in ((busy.practice.id, True), (busy.practice.id + 1, False)):
        mine = post_reading.of_practices([practice_id])
        found = busy.session.scalars(sa.select(Outbox.id).where(mine, Outbox.id == row.id))
        assert bool(found.all()) is there
