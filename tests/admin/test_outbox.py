"""The outbox: each letter's fate in words, the letter without its keys, the acts (people PA8)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from pydantic import SecretStr
from sqlalchemy.orm import Session

from app.extensions import utcnow
from app.models import LinkToken, Outbox, OutboxState, Practice
from app.services import account_letters, post
from app.services.refusals import NotFound
from tests.admin.desk import Desk
from tests.admin.test_lists import NASTY
from tests.cast import DAY, HOUR, REASON, Cast
from tests.statements import count_statements

TOKEN = "a-token-that-lets-in"


@pytest.fixture
def invited(cast: Cast) -> Outbox:
    """Ben's invitation, promised a moment ago; the training is in thirty days from now."""
    now = utcnow()
    start = now + 30 * DAY
    cast.pottery.events[0].start_time, cast.pottery.events[0].end_time = start, start + 3 * HOUR
    cast.session.flush()
    cast.enrol_all("Ada", "Ben", now=now)
    cast.leave(cast.row("Ada"), now)
    return letter(cast, "invited")


def letter(cast: Cast, kind: str) -> Outbox:
    of_kind = sa.select(Outbox).where(Outbox.kind == kind).order_by(Outbox.id)
    return cast.session.scalars(of_kind.execution_options(populate_existing=True)).all()[-1]


def ended(cast: Cast, row: Outbox, state: OutboxState, why: str = "550 no such user") -> Outbox:
    row.state, row.ended_at, row.last_error, row.attempts = state, utcnow(), why, 3
    row.first_tried_at = utcnow() - HOUR
    cast.session.flush()
    return row


def reset_of(cast: Cast, name: str = "Ben") -> Outbox:
    """The letter with a link that lets its reader choose a new password."""
    user, now = cast.student(name).user, utcnow()
    page, practice = f"/new-password/{TOKEN}", cast.practice.id
    account_letters.reset(cast.session, practice, user, page, now + HOUR, now)
    cast.session.flush()
    return letter(cast, "account_reset")


def now_of(cast: Cast, row: Outbox) -> Outbox:
    cast.session.expire_all()
    return cast.session.get_one(Outbox, row.id)


# --- seeing --------------------------------------------------------------------------------------


def test_the_list_says_in_words_what_became_of_each_letter(
    desk: Desk, cast: Cast, invited: Outbox
) -> None:
    ended(cast, letter(cast, "enrolled"), OutboxState.DEAD)
    page = desk.get("outbox/").text
    for words in ("Invitation", "Ben Example", "Pottery", "Waiting", "Given up", "550 no such"):
        assert words in page
    table = page[page.index("<tbody>") :]
    assert table.index("Student invited") < table.index("Student enrolled")  # newest first
    assert invited.key not in page


def test_letters_are_found_by_state_kind_time_and_reader(
    desk: Desk, cast: Cast, invited: Outbox
) -> None:
    ended(cast, letter(cast, "enrolled"), OutboxState.DEAD)
    page = desk.get("outbox/").text
    state, kind, since, until = re.findall(r'name="(flt\d_\d+)"', page)
    ben, tomorrow = cast.student("Ben").user.email, cast.today + DAY
    for asked, there, gone in (
        (f"{state}=dead", "Given up</span>", "Waiting</span>"),
        (f"{kind}=invited", "Ben Example", "Ada Example"),
        (f"{until}={tomorrow}", "Ada Example", "Nothing here fits"),
        (f"{since}={tomorrow}", "Nothing here fits", "Ada Example"),
        (f"search={ben[:12].upper()}", "Ben Example", "Ada Example"),
        ("search=_en_E%25", "Nothing here fits", "Ben Example"),
    ):
        found = desk.get(f"outbox/?{asked}").text
        table = found[found.index("</form>") :]
        assert there in table, asked
        assert gone not in table, asked
    for odd in (f"{kind}=nonsense", f"{state}=nonsense"):
        assert desk.get(f"outbox/?{odd}").status_code == 200


def test_a_list_costs_the_same_however_many_letters(desk: Desk, cast: Cast) -> None:
    engine = Session(cast.session.get_bind())
    costs = []
    for places in (2, 40):
        cast.several(places, places)
        cast.enrol_all(*(f"P{places}{n}" for n in range(places)))
        cast.session.commit()
        with count_statements(engine) as sent:
            assert desk.get("outbox/").status_code == 200
        costs.append(len(sent))
    assert costs[0] == costs[1] <= 8


def test_a_letter_is_seen_without_the_keys_of_its_links(
    desk: Desk, cast: Cast, invited: Outbox, web_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keys = {"link_keys": [SecretStr("k" * 40)]}
    settings = web_app.extensions["settings"].model_copy(update=with_keys)
    monkeypatch.setitem(web_app.extensions, "settings", settings)
    before = cast.everything()
    answer = desk.get(f"outbox/details/?id={invited.id}")
    page = answer.text
    assert "A place is free for you: Pottery" in page
    assert "/invitations/…" in page
    assert not re.search(r"/invitations/[\w-]", page)
    assert f"&lt;{invited.uuid}@" in page  # the Message-ID
    assert "Tried" not in page
    (frame,) = re.findall(r"<iframe [^>]*>", page)
    assert ' sandbox srcdoc="' in frame
    assert "style-src 'self' 'unsafe-inline'" in answer.headers["Content-Security-Policy"]
    assert "script-src 'self' 'nonce-" in answer.headers["Content-Security-Policy"]
    assert cast.everything() == before
    assert cast.session.scalars(sa.select(LinkToken)).all() == []


def test_a_page_tells_the_whole_fate(desk: Desk, cast: Cast, invited: Outbox) -> None:
    row = ended(cast, invited, OutboxState.BOUNCED, "mailbox gone")
    page = desk.get(f"outbox/details/?id={row.id}").text
    for words in ("Came back", "mailbox gone", "First tried", "<dd>3</dd>", "Send again"):
        assert words in page
    assert "Try now" not in page
    row.state, row.ended_at, row.claim = OutboxState.SENDING, None, "a-claim-token"
    row.due_at = utcnow() + HOUR
    page = desk.get(f"outbox/details/?id={row.id}").text
    assert "By a worker, at most until" in page
    assert "a-claim-token" not in page
    assert "Do not send" not in page


def test_an_account_letter_shows_its_reader_and_never_its_link(desk: Desk, cast: Cast) -> None:
    row = reset_of(cast)
    pages = [desk.get("outbox/").text, desk.get(f"outbox/details/?id={row.id}").text]
    pages.append("".join(desk.csv("outbox")))
    for page in pages:
        assert "Ben Example" in page
        assert TOKEN not in page
    assert "/new-password/…" in pages[1]
    account_letters.sign_up(
        cast.session,
        cast.practice.id,
        "new@example.org",
        f"/sign-up/{TOKEN}",
        utcnow() + DAY,
        utcnow(),
    )
    row = letter(cast, "account_sign_up")
    assert TOKEN not in desk.get(f"outbox/details/?id={row.id}").text


def test_names_that_act_are_text_in_page_and_file(desk: Desk, cast: Cast, invited: Outbox) -> None:
    cast.pottery.name = NASTY[2]
    user = cast.student("Ben").user
    user.first_name, user.last_name = NASTY[0], NASTY[1]
    for path in ("outbox/", f"outbox/details/?id={invited.id}"):
        page = desk.get(path).text
        assert NASTY[0] not in page
        assert NASTY[1] in page
    lines = desk.csv("outbox")
    assert any("'=HYPERLINK" in line for line in lines)
    assert not any(",=HYPER" in line or ',"=HYPER' in line for line in lines)
    assert "payload" not in lines[0].lower()


# --- acting --------------------------------------------------------------------------------------


def test_a_letter_given_up_is_tried_again_under_its_own_key(
    desk: Desk, cast: Cast, invited: Outbox
) -> None:
    row, key = ended(cast, invited, OutboxState.DEAD), (invited.key, invited.uuid)
    assert "Invitation to Ben Example" in desk.ask("outbox", "retry", row.id).text
    assert now_of(cast, row).state is OutboxState.DEAD  # a question changes nothing
    assert desk.act("outbox", "retry", row.id).status_code == 303
    row = now_of(cast, row)
    assert (row.state, row.attempts, row.last_error) == (OutboxState.PENDING, 0, None)
    assert (row.key, row.uuid) == key
    ended(cast, row, OutboxState.SENT, "")
    refused = desk.act("outbox", "retry", row.id)
    assert refused.status_code == 409
    assert "resend it instead" in refused.text


def test_a_letter_that_went_is_sent_again_once_with_a_reason(
    desk: Desk, cast: Cast, invited: Outbox
) -> None:
    row = ended(cast, invited, OutboxState.SENT, "")
    assert desk.act("outbox", "resend", row.id, reason="no").status_code == 400
    assert desk.act("outbox", "resend", row.id, reason=REASON).status_code == 303
    again = letter(cast, "invited")
    assert (again.key, again.state) == (f"{row.key}:again-1", OutboxState.PENDING)
    assert again.uuid != row.uuid
    assert again.payload["resent"]["by"] == f"user:{desk.who.id}"
    twice = desk.act("outbox", "resend", row.id, reason=REASON)
    assert twice.status_code == 409
    assert "was resent already" in twice.text
    assert letter(cast, "invited").id == again.id


def test_a_letter_is_dropped_with_a_reason_and_never_afterwards(
    desk: Desk, cast: Cast, invited: Outbox
) -> None:
    assert desk.act("outbox", "drop", invited.id, reason="").status_code == 400
    assert now_of(cast, invited).state is OutboxState.PENDING
    assert desk.act("outbox", "drop", invited.id, reason=REASON).status_code == 303
    row = now_of(cast, invited)
    assert (row.state, row.last_error) == (OutboxState.SKIPPED, f"dropped: {REASON}")
    assert desk.act("outbox", "drop", invited.id, reason=REASON).status_code == 409


def test_many_at_once_are_done_or_refused_one_by_one(
    desk: Desk, cast: Cast, invited: Outbox
) -> None:
    dead = ended(cast, invited, OutboxState.DEAD)
    sent = ended(cast, letter(cast, "enrolled"), OutboxState.SENT)
    answer = desk.act("outbox", "retry", dead.id, sent.id)
    assert answer.status_code == 303
    page = desk.client.get(answer.headers["Location"]).text
    assert "1 of 2 done." in page
    assert "Enrolled to Ada Example: Only a letter that waits" in page
    assert (now_of(cast, dead).state, now_of(cast, sent).state) == (
        OutboxState.PENDING,
        OutboxState.SENT,
    )


def test_an_account_letter_goes_again_only_with_its_link(desk: Desk, cast: Cast) -> None:
    row = ended(cast, reset_of(cast), OutboxState.DEAD)
    assert desk.act("outbox", "resend", row.id, reason=REASON).status_code == 303
    gone = ended(cast, letter(cast, "account_reset"), OutboxState.SENT, "")
    gone.payload = {}
    answer = desk.act("outbox", "resend", gone.id, reason=REASON)
    assert answer.status_code == 409
    assert "let its reader ask for a new one" in answer.text
    assert "its link went out with it" in desk.get(f"outbox/details/?id={gone.id}").text


# --- whose ---------------------------------------------------------------------------------------


@pytest.fixture
def theirs(cast: Cast) -> list[Outbox]:
    """Letters of another practice: to a student, to its trainers, about an account, sent or not."""
    mill = cast.add(Practice(name="Mill", shortname="mill"))
    own, tess = cast.practice, cast.tess
    cast.practice, cast.tess = mill, None
    cast.tess = cast.trainer("Vera")
    training = cast.training("Weaving", start=utcnow() + 30 * DAY)
    cast.enrol("Mallory", training=training, now=utcnow())
    rows = [letter(cast, "enrolled"), letter(cast, "enrolled_trainer"), reset_of(cast, "Mallory")]
    sent = ended(cast, reset_of(cast, "Mallory"), OutboxState.SENT)
    sent.payload = {}
    whole = _whole(cast, training.id, utcnow())
    cast.practice, cast.tess = own, tess
    return [*rows, sent, whole]


def _whole(cast: Cast, training_id: int, now: datetime) -> Any:
    return cast.add(
        Outbox(
            key=f"training_cancelled_trainer:training-{training_id}:1:email:1",
            channel="email",
            aggregate=f"training-{training_id}/1",
            kind="training_cancelled_trainer",
            user_id=cast.tess.user_id,
            payload={"training": training_id},
            due_at=now,
            created_at=now,
        )
    )


def test_letters_of_another_practice_are_neither_seen_nor_touched(
    desk: Desk, cast: Cast, theirs: list[Outbox]
) -> None:
    text = desk.get("outbox/").text + "".join(desk.csv("outbox"))
    for name in ("Mallory", "Vera", "Weaving"):
        assert name not in text
    for row in theirs:
        assert desk.get(f"outbox/details/?id={row.id}").status_code == 404
        for act in ("retry", "resend", "drop"):
            assert desk.act("outbox", act, row.id, reason=REASON).status_code == 404
            assert desk.ask("outbox", act, row.id).status_code == 404
        with pytest.raises(NotFound):
            post.retry(cast.session, row.id, cast.max, utcnow())


def test_their_own_office_sees_them_all(desk: Desk, cast: Cast, theirs: list[Outbox]) -> None:
    desk.who.practice_id = cast.session.scalars(
        sa.select(Practice.id).where(Practice.shortname == "mill")
    ).one()
    for row in theirs:
        assert desk.get(f"outbox/details/?id={row.id}").status_code == 200, row
    assert desk.get("outbox/").text.count('name="rowid"') == len(theirs)


def test_a_paused_channel_is_told_above_the_list(desk: Desk, cast: Cast) -> None:
    assert "No letter goes out now" not in desk.get("outbox/").text
    post.pause(cast.session, "email", "the server moves", cast.max, utcnow())
    assert "No letter goes out now: the server moves." in desk.get("outbox/").text
