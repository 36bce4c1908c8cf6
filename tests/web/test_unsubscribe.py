"""No more reminders, by a link in one of them (people PS10, reliability ML5)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.models import Outbox, UserSettings
from app.services import letters
from app.services.letter_facts import Untrue
from app.services.letter_reading import gather
from app.services.occurrence import Occurrence
from app.web import invitations
from tests.cast import NOON, START, Cast
from tests.web.browsing import Client
from tests.web.links import Clock, checksum, forms, heading, path_of, press, token_for

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It is noon on the links' pages too."""
    clock = Clock()
    monkeypatch.setattr(invitations, "utcnow", clock)
    return clock


@pytest.fixture
def path(cast: Cast) -> str:
    """Where Ben's reminder leads who wants no more of them."""
    ben = cast.in_status("enrolled")
    return path_of(token_for(cast, ben, "unsubscribe"), "unsubscribe")


def reminded(cast: Cast, name: str) -> list[str]:
    """The kinds of letters that a reminder of Pottery promises now."""
    before = cast.last_letter()
    coming = Occurrence(str(cast.pottery.id), START, NOON)
    letters.reminder_student(cast.session, cast.schedule.id, coming, NOON)
    return [kind for kind, reader in cast.letters(before) if reader == name]


def test_the_page_asks_and_a_scanner_changes_nothing(client: Client, cast: Cast, path: str) -> None:
    before = checksum(cast)
    looks = [client.get(path), client.head(path), client.options(path)]
    assert [answer.status_code for answer in looks] == [200] * 3
    blind = [client.post(path), client.post(path, data={"key": "x"})]
    assert [answer.status_code for answer in blind] == [400] * 2
    assert heading(looks[0]) == heading(blind[0]) == "Stop reminders?"
    assert "Invitations and changes still reach you" in looks[0].text
    assert checksum(cast) == before


def test_the_button_stops_reminders_and_nothing_else(client: Client, cast: Cast, path: str) -> None:
    opened = client.get(path)
    (act,) = forms(opened)
    answer = press(client, opened, act)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert heading(client.get(path)) == "You get no more reminders"
    assert reminded(cast, "Ben") == []
    settings = cast.session.get_one(UserSettings, cast.student("Ben").user_id)
    assert settings.msg_transactional_emails
    cast.leave(cast.row("Ben"))
    assert cast.letters()[-2:] != []
    assert ("derolled", "Ben") in cast.letters()


def test_one_click_of_a_mail_program_needs_no_cookie_and_is_not_sent_elsewhere(
    client: Client, cast: Cast, path: str
) -> None:
    assert reminded(cast, "Ben") == ["reminder_student"]
    for _ in range(2):
        answer = client.post(path, data=ONE_CLICK, headers={"Referer": ""})
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
        assert heading(answer) == "You get no more reminders"
    rows = cast.session.scalar(sa.select(sa.func.count()).select_from(UserSettings))
    assert rows == 1
    assert cast.session.scalar(sa.select(UserSettings.msg_reminders)) is False


def test_one_click_on_what_is_no_link_is_gone(client: Client, cast: Cast, path: str) -> None:
    before = checksum(cast)
    token = token_for(cast, cast.row("Ben"), "leave")
    wrong = [client.post(f"/unsubscribe/{t}", data=ONE_CLICK) for t in ("x", token)]
    wrong += [client.post(path[:-2], data=ONE_CLICK)]
    assert {answer.status_code for answer in wrong} == {410}
    assert checksum(cast) != before  # the token alone was added
    assert cast.session.scalar(sa.select(UserSettings.msg_reminders)) is None


def test_a_reminder_that_was_promised_before_is_not_sent_any_more(
    client: Client, cast: Cast, path: str
) -> None:
    reminded(cast, "Ben")
    client.post(path, data=ONE_CLICK)
    row = cast.session.scalars(
        sa.select(Outbox).where(
            Outbox.kind == "reminder_student", Outbox.enrolment_id == cast.row("Ben").id
        )
    ).one()
    assert gather(cast.session, [row], NOON)[row.id] == Untrue("opted out")
