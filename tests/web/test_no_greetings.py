"""No more greetings and profile checks, by a link in one of them (people PS8, PS10)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.models import TrainerLetters, UserSettings
from app.services import people_letters, tickets
from app.web import invitations
from tests.cast import DAY, NOON, Cast
from tests.web.browsing import Client
from tests.web.links import KEY, Clock, checksum, forms, heading

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It is noon on the links' pages too, and their key is known."""
    clock = Clock()
    monkeypatch.setattr(invitations, "utcnow", clock)
    monkeypatch.setattr(invitations, "link_keys", lambda _settings: [b"n" * 32, KEY])
    return clock


@pytest.fixture
def path(cast: Cast) -> str:
    """Where Ada's greeting leads who wants no more of them."""
    ada = cast.student("Ada").user
    return people_letters.no_more(KEY, ada.id, cast.practice.id, ada.email, NOON)


def wanted(cast: Cast) -> bool | None:
    cast.session.expire_all()
    return cast.session.scalar(sa.select(UserSettings.msg_greetings))


def test_the_page_asks_and_only_its_button_acts(client: Client, cast: Cast, path: str) -> None:
    before = checksum(cast)
    opened = client.get(path)
    assert heading(opened) == "Stop greetings?"
    assert [client.head(path).status_code, client.post(path).status_code] == [200, 400]
    assert checksum(cast) == before
    (form,) = forms(opened).values()
    answer = client.post(form["at"], data={"token": form["token"], "key": form["key"]})
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert wanted(cast) is False
    assert heading(client.get(path)) == "You get no more greetings"


def test_one_click_of_a_mail_program_needs_no_cookie(client: Client, cast: Cast, path: str) -> None:
    answer = client.post(path, data=ONE_CLICK)
    assert (answer.status_code, wanted(cast)) == (200, False)
    assert "Set-Cookie" not in answer.headers


def test_what_is_no_link_for_this_address_is_gone(
    client: Client, cast: Cast, path: str, clock: Clock
) -> None:
    wrong = [path[:-2], "/no-greetings/x"]
    assert {client.post(one, data=ONE_CLICK).status_code for one in wrong} == {410}
    clock.now = NOON + 181 * DAY
    assert client.post(path, data=ONE_CLICK).status_code == 410
    clock.now = NOON
    cast.student("Ada").user.email = "new@example.org"
    cast.session.flush()
    assert client.post(path, data=ONE_CLICK).status_code == 410
    assert wanted(cast) is None


def test_news_of_free_places_stops_by_its_own_link_alone(
    client: Client, cast: Cast, path: str
) -> None:
    ada, clay = cast.student("Ada").user, cast.practice.id
    spots = people_letters.no_more(KEY, ada.id, clay, ada.email, NOON, tickets.NO_SPOTS)
    token = spots.rpartition("/")[2]
    assert client.post(f"/no-greetings/{token}", data=ONE_CLICK).status_code == 410
    assert client.post(path.replace("greetings", "free-places"), data=ONE_CLICK).status_code == 410
    opened = client.get(spots)
    assert heading(opened) == "Stop news of free places?"
    (form,) = forms(opened).values()
    answer = client.post(form["at"], data={"token": form["token"], "key": form["key"]})
    assert (answer.status_code, answer.headers["Location"]) == (303, spots)
    cast.session.expire_all()
    asked = sa.select(UserSettings.msg_last_min_spots, UserSettings.msg_greetings)
    assert cast.session.execute(asked).one() == (False, True)
    assert client.post(spots, data=ONE_CLICK).status_code == 200


def test_a_digest_stops_by_its_own_link_and_no_greeting_with_it(client: Client, cast: Cast) -> None:
    tess, clay = cast.tess.user, cast.practice.id
    cast.add(UserSettings(user_id=tess.id, trainer_letters=TrainerLetters.DIGEST))
    path = people_letters.no_more(KEY, tess.id, clay, tess.email, NOON, tickets.NO_DIGESTS)
    assert client.post(path.replace("digests", "greetings"), data=ONE_CLICK).status_code == 410
    opened = client.get(path)
    assert heading(opened) == "Stop the daily letter about your trainings?"
    (form,) = forms(opened).values()
    answer = client.post(form["at"], data={"token": form["token"], "key": form["key"]})
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    cast.session.expire_all()
    asked = sa.select(UserSettings.trainer_letters, UserSettings.msg_greetings)
    assert cast.session.execute(asked).one() == (TrainerLetters.CENTRE, True)
    assert heading(client.get(path)) == "You get no more daily letters about your trainings"


def test_one_click_on_an_old_digest_leaves_another_choice_alone(client: Client, cast: Cast) -> None:
    tess, clay = cast.tess.user, cast.practice.id
    cast.add(UserSettings(user_id=tess.id, trainer_letters=TrainerLetters.EACH))
    path = people_letters.no_more(KEY, tess.id, clay, tess.email, NOON, tickets.NO_DIGESTS)
    assert client.post(path, data=ONE_CLICK).status_code == 200
    cast.session.expire_all()
    assert cast.session.scalar(sa.select(UserSettings.trainer_letters)) is TrainerLetters.EACH
