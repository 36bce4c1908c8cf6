"""Who is somebody in two practices is both, each within its practice (people PG1)."""

from __future__ import annotations

import pytest

from app.models import Practice, Student, Trainer, Training, TrainingEnroll, TrainingTrainer, User
from app.services import enrolments
from app.services.actors import LINK
from app.services.people import standing
from tests.cast import Cast
from tests.statements import count_statements
from tests.web.browsing import Client, sign_in
from tests.web.test_catalogue import NOW, SOON, words


@pytest.fixture
def wood(cast: Cast) -> Practice:
    """Another practice, the second."""
    return cast.add(Practice(name="Wood", shortname="wood", timezone="Europe/London"))


@pytest.fixture
def carving(cast: Cast, wood: Practice) -> Training:
    """An open training there, forty days ahead."""
    training = cast.training("Carving", 2, SOON)
    training.practice_id = wood.id
    training.trainers.clear()
    cast.session.flush()
    return training


@pytest.fixture
def glazing(cast: Cast) -> Training:
    """An open training of the cast's practice."""
    return cast.training("Glazing", 2, SOON)


def learns(cast: Cast, who: User, practice: Practice, training: Training) -> TrainingEnroll:
    """Make somebody a student there, and a place theirs."""
    student = cast.add(Student(user_id=who.id, practice_id=practice.id))
    return enrolments.enrol(cast.session, training.id, student.id, LINK, NOW, terms=True)


def teaches(cast: Cast, who: User, practice: Practice, training: Training) -> None:
    trainer = cast.add(Trainer(user_id=who.id, practice_id=practice.id))
    training.trainers.append(TrainingTrainer(trainer_id=trainer.id))


@pytest.mark.parametrize("first", ["learns", "teaches"])
def test_one_learns_in_a_practice_and_teaches_in_another(
    first: str, client: Client, cast: Cast, wood: Practice, glazing: Training, carving: Training
) -> None:
    eve = cast.user("Eve")
    mine, other = (glazing, carving) if first == "learns" else (carving, glazing)
    places = {glazing: cast.practice, carving: wood}
    row = learns(cast, eve, places[mine], mine)
    teaches(cast, eve, places[other], other)
    sign_in(client, eve)
    assert mine.name in words(client.get("/me/trainings"))
    assert "You have a place" in words(client.get(f"/me/trainings/{row.uuid}"))
    assert client.get(f"/trainings/{mine.id}").status_code == 200
    taught = words(client.get("/trainer/trainings"))
    assert (other.name in taught, mine.name in taught) == (True, False)
    assert client.get(f"/trainer/trainings/{other.id}").status_code == 200
    assert client.get(f"/trainer/trainings/{mine.id}").status_code == 404


def test_one_learns_in_two(
    client: Client, cast: Cast, wood: Practice, glazing: Training, carving: Training
) -> None:
    eve = cast.user("Eve")
    learns(cast, eve, cast.practice, glazing)
    row = learns(cast, eve, wood, carving)
    full = cast.training("Turning", 2, SOON)
    full.practice_id = wood.id
    sign_in(client, eve)
    seen = words(client.get("/me/trainings"))
    assert ("Glazing" in seen, "Carving" in seen) == (True, True)
    assert "(London)" in words(client.get(f"/me/trainings/{row.uuid}"))
    for training in (glazing, carving, full):
        assert client.get(f"/trainings/{training.id}").status_code == 200
    assert client.act(f"/trainings/{full.id}/join", terms="y").status_code == 303
    assert "Turning" in words(client.get("/me/trainings"))


def test_the_list_of_each_practice_is_a_click_away(
    client: Client, cast: Cast, wood: Practice, glazing: Training, carving: Training
) -> None:
    eve = cast.user("Eve")
    learns(cast, eve, cast.practice, glazing)
    learns(cast, eve, wood, carving)
    sign_in(client, eve)
    seen = client.get("/trainings")
    assert ("Glazing" in words(seen), "Carving" in words(seen)) == (True, False)
    there = f"/trainings?practice={wood.id}"
    assert f'href="{there}"' in seen.text
    seen = client.get(f"{there}&q=carv")
    assert ("Glazing" in words(seen), "Carving" in words(seen)) == (False, True)
    assert f'name="practice" value="{wood.id}"' in seen.text
    assert f'href="{there}">Clear' in seen.text
    sign_in(client, cast.student("Ada"))
    seen = words(client.get(there))
    assert ("Carving" in seen, "what we do not know: practice" in seen) == (False, True)


@pytest.mark.usefixtures("web_app")
def test_a_stranger_meets_the_first_practice_and_the_office_its_own(
    cast: Cast, wood: Practice
) -> None:
    eve = cast.user("Eve")
    for user_id in (None, eve.id):
        assert standing(cast.session, user_id).practice is cast.practice
    eve.practice_id = wood.id
    cast.session.flush()
    with count_statements(cast.session) as sent:
        found = standing(cast.session, eve.id)
    assert (found.practice, found.student, found.trainer, len(sent)) == (wood, None, None, 1)
