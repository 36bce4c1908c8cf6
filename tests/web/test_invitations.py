"""Links in letters: a scanner changes nothing, a person's click works (people PI, ML, B31-B40)."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from app.models import PersonStatus, TrainingEnroll
from app.services import enrolments, students, trainings, waitlist
from app.services.actors import LINK
from app.web import invitations
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast
from tests.web.browsing import HOME, Client, sign_in
from tests.web.links import (
    Clock,
    checksum,
    click,
    forms,
    heading,
    path_of,
    press,
    statements_of,
    token_for,
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It is noon on the links' pages too."""
    clock = Clock()
    monkeypatch.setattr(invitations, "utcnow", clock)
    return clock


@pytest.fixture
def invited(cast: Cast) -> TrainingEnroll:
    """Ben's enrolment; Cleo waits behind him."""
    return cast.in_status("waitlist-invited")


@pytest.fixture
def token(cast: Cast, invited: TrainingEnroll) -> str:
    """The token of Ben's invitation."""
    return token_for(cast, invited)


@pytest.fixture
def counting(web_app: Flask) -> Iterator[None]:
    """Tries are counted."""
    (limiter,) = web_app.extensions["limiter"]
    limiter.enabled = True
    limiter.reset()
    yield
    limiter.reset()
    limiter.enabled = False


# --- a scanner, then the person ------------------------------------------------------------------

BEFORE = {"answer": "waitlist-invited", "leave": "waitlist", "keep": "waitlist"}
CLICKS = {
    "answer": ("accept", "enrolled"),
    "leave": ("leave", "derolled"),
    "keep": ("keep", "waitlist"),
    "re-enable": ("re-enable", "waitlist"),
}


@pytest.mark.parametrize("purpose", CLICKS)
def test_a_scanner_changes_nothing_and_then_the_click_works(
    client: Client, cast: Cast, purpose: str
) -> None:
    row = cast.in_status(BEFORE.get(purpose, "waitlist-declined"))
    path = path_of(token_for(cast, row, purpose), purpose)
    act, after = CLICKS[purpose]
    before = checksum(cast)
    posts = [client.post(path), client.post(f"{path}/{act}"), client.post(path, data={"a": "b"})]
    looks = [client.head(path), client.get(path), client.get(path), client.options(path)]
    looks += [client.get(f"{path}/{act}"), client.get(path, headers={"Purpose": "prefetch"})]
    assert [answer.status_code for answer in looks] == [200] * 6
    assert [answer.status_code for answer in posts] == [400] * 3
    assert all(act in forms(answer) for answer in posts)  # the page again
    assert all("Set-Cookie" not in answer.headers for answer in looks + posts)
    assert checksum(cast) == before
    assert click(client, path, act).status_code == 200
    assert cast.statuses(row) == [after]
    assert checksum(cast) != before


def test_a_scanner_that_posts_a_guessed_form_changes_nothing(
    client: Client, cast: Cast, token: str
) -> None:
    before = checksum(cast)
    at = f"{path_of(token)}/accept"
    declines = forms(client.get(path_of(token)))["decline"]
    bodies = [
        {"token": token},
        {"token": token, "key": "0" * 64},
        {"token": token, "key": declines["key"]},  # of the other answer
        {"token": "x" * 43, "key": forms(client.get(path_of(token)))["accept"]["key"]},
        {"answer": "accept", "key": "é"},
    ]
    foreign = {"Origin": "https://evil.example", "Referer": "https://evil.example/"}
    answers = [client.post(at, data=body, headers=foreign) for body in bodies]
    assert [answer.status_code for answer in answers] == [400] * len(bodies)
    assert checksum(cast) == before


# --- the table of PI2 -----------------------------------------------------------------------------


def _accepted(cast: Cast, ben: TrainingEnroll) -> None:
    cast.accept(ben)


def _declined(cast: Cast, ben: TrainingEnroll) -> None:
    cast.decline(ben)


def _swept(cast: Cast, ben: TrainingEnroll) -> None:
    cast.expire(ben)


def _ended_by_staff(cast: Cast, ben: TrainingEnroll) -> None:
    waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON)


def _withdrawn(cast: Cast, ben: TrainingEnroll) -> None:
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON)


def _rejoined(cast: Cast, ben: TrainingEnroll) -> None:
    cast.decline(ben)
    cast.enrol("Ben", NOON + MINUTE)


def _invited_again(cast: Cast, ben: TrainingEnroll) -> None:
    waitlist.return_to_list(cast.session, ben, cast.max, NOON, REASON, keep_place=True)
    waitlist.invite(cast.session, ben, cast.max, NOON, reason=REASON)


def _left(cast: Cast, ben: TrainingEnroll) -> None:
    enrolments.leave(cast.session, ben, LINK, NOON)


def _cancelled(cast: Cast, ben: TrainingEnroll) -> None:
    trainings.cancel(cast.session, ben.training_id, cast.max, NOON, REASON)


def _closed(cast: Cast, ben: TrainingEnroll) -> None:
    cast.pottery.active = False  # past the services: the row alone decides


def _inactive(cast: Cast, ben: TrainingEnroll) -> None:
    ben.student.status = PersonStatus.INACTIVE


def _nothing(cast: Cast, ben: TrainingEnroll) -> None:
    pass


def _started(cast: Cast, ben: TrainingEnroll) -> None:
    ben.invite_expires_at = None


LATE = "Too late: this invitation ran out on "
OVER = "This place can no longer be accepted: "
# What happened, when the link is opened: the heading, then the status of GET, accept and decline;
# None: who can no longer accept an open invitation may still give its place back (WE2 6).
TABLE: list[
    tuple[Callable[[Cast, TrainingEnroll], None], object, str, tuple[int, int, int | None]]
] = [
    (_nothing, NOON, "A place is free for you", (200, 303, 303)),
    (_nothing, DEADLINE - SECOND, "A place is free for you", (200, 303, 303)),
    (_accepted, NOON, "You have a place", (200, 303, 409)),
    (_declined, NOON, "You declined this place", (200, 409, 303)),
    (_nothing, DEADLINE, LATE + "Wed 4 March 2026, 13:00 (Amsterdam)", (410, 303, 303)),
    (_swept, DEADLINE + HOUR, LATE + "Wed 4 March 2026, 13:00 (Amsterdam)", (410, 303, 303)),
    (_ended_by_staff, NOON, LATE + "Mon 2 March 2026, 13:00 (Amsterdam)", (410, 303, 303)),
    (_withdrawn, NOON, "This invitation was withdrawn; you are 1st in line", (410, 303, 303)),
    (_rejoined, NOON + HOUR, "You are back on the waitlist; you are 1st in line", (200, 303, 303)),
    (_invited_again, NOON, "There is a newer invitation", (410, 303, 303)),
    (_left, NOON, OVER + "you are no longer on the list", (410, 303, 303)),
    (_cancelled, NOON, OVER + "the training is cancelled", (410, 303, 303)),
    (_closed, NOON, OVER + "the training is closed", (410, 303, None)),
    (_inactive, NOON, OVER + "your account is not active", (410, 303, None)),
    (_started, START, OVER + "the training has started", (410, 303, None)),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0].__name__}-{row[2]:.25}")
def test_a_genuine_link_tells_what_is_true(
    client: Client, cast: Cast, clock: Clock, invited: TrainingEnroll, token: str, row: tuple
) -> None:
    happened, at, words, (seen, accept, decline) = row
    opened = client.get(path_of(token))  # while it was open: its forms are sent later
    happened(cast, invited)
    clock.now = at
    page = client.get(path_of(token))
    assert (page.status_code, heading(page)) == (seen, words)
    assert f"<title>{words}" in page.text.replace("\n", "")
    if "A place is free" in words:
        return  # answers have their own tests
    before = checksum(cast)
    for act, status in (("accept", accept), ("decline", decline)):
        if status is None:
            continue
        answer = press(client, opened, act)
        assert answer.status_code == status
        after = client.get(answer.headers["Location"]) if status == 303 else answer
        assert heading(after) == words
    assert checksum(cast) == before


def test_the_open_page_tells_all_that_is_needed_and_nothing_of_others(
    client: Client, cast: Cast, token: str
) -> None:
    page = client.get(path_of(token)).text
    for words in ("Hello Ben", "Pottery", "Clay &amp; Co", "Wed 1 April 2026, 14:00 – 17:00"):
        assert words in page
    assert "Answer before" in page
    assert "Wed 4 March 2026, 13:00 (Amsterdam)" in page
    assert 'data-seconds="172800"' in page
    assert "Cleo" not in page
    assert "@example.org" not in page
    assert "csrf_token" not in page
    assert page.count("is-primary") == 1


# --- clicks ---------------------------------------------------------------------------------------


def test_a_click_enrols_and_a_second_one_is_told_the_same(
    client: Client, cast: Cast, invited: TrainingEnroll, token: str
) -> None:
    opened = client.get(path_of(token))
    assert heading(click(client, path_of(token), "accept")) == "You have a place"
    assert cast.history()[-1] == "accepted"
    assert cast.events()[-1].actor == "link"
    before = checksum(cast)
    assert press(client, opened, "accept").status_code == 303
    assert heading(client.get(path_of(token))) == "You have a place"
    assert checksum(cast) == before


def test_a_decline_invites_the_next(client: Client, cast: Cast, token: str) -> None:
    page = click(client, path_of(token), "decline")
    assert heading(page) == "You declined this place"
    assert cast.statuses(cast.row("Ben"), cast.row("Cleo")) == [
        "waitlist-declined",
        "waitlist-invited",
    ]


def test_the_opposite_answer_is_refused_and_says_what_to_do(
    client: Client, cast: Cast, token: str
) -> None:
    opened = client.get(path_of(token))
    click(client, path_of(token), "accept")
    refused = press(client, opened, "decline")
    assert refused.status_code == 409
    assert heading(refused) == "You have a place"
    assert "Cancel your place instead" in refused.text


def test_a_page_opened_in_time_is_too_late_once_the_deadline_has_come(
    client: Client, cast: Cast, clock: Clock, token: str
) -> None:
    opened = client.get(path_of(token))
    clock.now = DEADLINE
    answer = press(client, opened, "accept")
    assert answer.status_code == 303
    assert heading(client.get(answer.headers["Location"])).startswith("Too late")
    assert cast.statuses(cast.row("Ben")) == ["waitlist-invited"]  # the sweep ends it


def test_an_old_letter_does_not_answer_a_newer_invitation(
    client: Client, cast: Cast, invited: TrainingEnroll, token: str
) -> None:
    opened = client.get(path_of(token))
    _invited_again(cast, invited)
    newer = token_for(cast, cast.row("Ben"))
    press(client, opened, "decline")
    assert cast.statuses(invited) == ["waitlist-invited"]
    assert heading(click(client, path_of(newer), "accept")) == "You have a place"


@pytest.mark.parametrize("happened", [_declined, _swept, _nothing])
def test_whoever_is_too_late_may_join_again_at_the_end(
    client: Client, cast: Cast, clock: Clock, invited: TrainingEnroll, token: str, happened: object
) -> None:
    happened(cast, invited)  # type: ignore[operator]
    clock.now = DEADLINE + HOUR
    page = client.get(path_of(token))
    assert "person is waiting now" in page.text or "Nobody is waiting now" in page.text
    after = click(client, path_of(token), "re-enable")
    assert heading(after).startswith("You are back on the waitlist; you are 1st in line")
    assert cast.statuses(invited) == ["waitlist"]
    assert cast.history()[-1] == "re-enabled"


def test_no_link_leads_anywhere_else(client: Client, token: str) -> None:
    form = forms(client.get(path_of(token)))["accept"]
    for where in ("//evil", "/\\evil", "https:evil", "javascript:alert(1)"):
        more = {"next": where, "to": where, "return": where}
        asked = client.get(path_of(token), query_string=more)
        assert where not in asked.text
        answer = client.post(form["at"], query_string=more, data={**form, **more})
        assert answer.headers["Location"] == path_of(token)


# --- what does not verify -------------------------------------------------------------------------


def _erase(cast: Cast) -> None:
    students.erase(cast.session, cast.student("Ben"), cast.max, NOON)


def _move_house(cast: Cast) -> None:
    students.change_address(cast.session, cast.student("Ben"), "new@example.org", NOON)


def _bit_flipped(token: str) -> str:
    raw = bytearray(base64.urlsafe_b64decode(token + "="))
    raw[7] ^= 4
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


BAD: dict[str, Callable[[str], str]] = {
    "empty": lambda token: "",
    "one character": lambda token: "x",
    "100 kB": lambda token: token[:-1] * 2400,
    "NUL": lambda token: "%00",
    "not ascii": lambda token: "%F0%9F%99%82%ff",
    "a bit flipped": _bit_flipped,
    "shortened": lambda token: token[:-3],
    "doubled": lambda token: token + token,
    "escaped three times": lambda token: token + "%25252E",
}


def test_whatever_does_not_verify_gets_the_same_answer(
    client: Client, cast: Cast, token: str
) -> None:
    unknown = client.get("/invitations/" + "A" * 43)
    assert (unknown.status_code, heading(unknown)) == (410, "This link does not work")
    before = checksum(cast)
    for name, bent in BAD.items():
        path = path_of(bent(token))
        answers = [client.get(path), client.head(path), client.post(path)]
        if name != "empty":
            answers.append(client.post(f"{path}/accept", data={"token": bent(token)}))
        assert {answer.status_code for answer in answers} == {410}, name
        assert {answer.data for answer in answers} == {unknown.data, b""}, name
    assert checksum(cast) == before


def test_a_link_of_another_purpose_is_no_link(client: Client, cast: Cast, token: str) -> None:
    unknown = client.get("/invitations/" + "A" * 43).data
    others = {
        purpose: token_for(cast, cast.row("Ben"), purpose)
        for purpose in ("leave", "keep", "re-enable", "unsubscribe")
    }
    elsewhere = [("invitations", other) for other in others.values()]
    elsewhere += [("waitlist", token), ("waitlist", others["unsubscribe"])]
    elsewhere += [("unsubscribe", token), ("unsubscribe", others["leave"])]
    answers = [client.get(f"/{page}/{other}") for page, other in elsewhere]
    assert {(answer.status_code, answer.data) for answer in answers} == {(410, unknown)}


@pytest.mark.parametrize("happened", [_erase, _move_house])
def test_who_is_erased_or_has_another_address_has_no_old_links(
    client: Client, cast: Cast, token: str, happened: Callable[[Cast], None]
) -> None:
    opened = client.get(path_of(token))
    happened(cast)
    before = checksum(cast)
    unknown = client.get("/invitations/" + "A" * 43)
    assert client.get(path_of(token)).data == unknown.data
    assert press(client, opened, "accept").data == unknown.data
    assert checksum(cast) == before


def test_a_link_is_bad_after_180_days(client: Client, cast: Cast, clock: Clock, token: str) -> None:
    clock.now = NOON + 179 * DAY
    assert heading(client.get(path_of(token))).startswith("Too late")
    clock.now = NOON + 180 * DAY
    assert heading(client.get(path_of(token))) == "This link does not work"


def test_what_does_not_verify_costs_the_same_whatever_is_wrong(
    client: Client, web_app: Flask, cast: Cast, token: str
) -> None:
    old = token_for(cast, cast.row("Cleo"))
    students.erase(cast.session, cast.student("Cleo"), cast.max, NOON)
    wrong = ["x", "A" * 43, _bit_flipped(token), old, token_for(cast, cast.row("Ben"), "leave")]
    asked = set()
    for one in wrong:
        client.get(path_of(one))
        with statements_of(web_app) as sent:
            client.get(path_of(one))
        asked.add(tuple(sent))
    rounds = [[_cpu_seconds(client, path_of(one)) for one in wrong] for _ in range(15)]
    took = [min(of_one) for of_one in zip(*rounds, strict=True)]
    assert len(asked) == 1
    assert len(asked.pop()) <= 2
    assert max(took) - min(took) < 0.01  # ML3


def _cpu_seconds(client: Client, path: str) -> float:
    """Our own time, whatever else the machine does."""
    began = time.thread_time()
    client.get(path)
    return time.thread_time() - began


# --- spellings ------------------------------------------------------------------------------------


BENT = ["{}.", "{}>", "{})", "%3C{}%3E", "{}%20", "{}%252E", "%20{},", "{}/"]


def test_a_link_that_a_mail_program_bent_works(client: Client, cast: Cast, token: str) -> None:
    for bent in BENT:
        page = client.get(path_of(bent.format(token)))
        assert heading(page) == "A place is free for you", bent
        assert forms(page)["accept"]["at"] == f"{path_of(token)}/accept"  # cleaned from then on
    assert heading(click(client, path_of(f"{token}%252E"), "accept")) == "You have a place"


def test_another_spelling_of_a_token_is_the_same_link(
    client: Client, cast: Cast, token: str
) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + letters[letters.index(token[-1]) ^ 1]
    assert other != token
    assert heading(click(client, path_of(token), "accept")) == "You have a place"
    before = checksum(cast)
    for spelt in (other, token + "=", token + "=="):
        opened = client.get(path_of(spelt))
        assert heading(opened) == "You have a place"
    assert checksum(cast) == before


def test_guesses_are_counted_by_address_not_by_token(
    client: Client, cast: Cast, token: str, counting: None
) -> None:
    before = checksum(cast)
    tries = [f"{token[:-2]}{n:02}" for n in range(40)]
    statuses = [client.get(path_of(guess)).status_code for guess in tries]
    assert statuses.count(429) == 10
    assert statuses[30:] == [429] * 10
    stopped = client.get(path_of(token, "leave"))  # the rooms are counted together
    assert stopped.status_code == 429
    assert 0 < int(stopped.headers["Retry-After"]) <= 60
    assert stopped.headers["Referrer-Policy"] == "no-referrer"
    assert checksum(cast) == before


def test_guesses_near_a_genuine_token_find_nothing(client: Client, cast: Cast, token: str) -> None:
    before = checksum(cast)
    raw = base64.urlsafe_b64decode(token + "=")
    guesses = [
        base64.urlsafe_b64encode(bytes([raw[0] ^ (n + 1)]) + raw[1:-1] + bytes([n]))
        for n in range(60)
    ]
    found = {client.get(path_of(g.rstrip(b"=").decode())).status_code for g in guesses}
    assert found == {410}
    assert checksum(cast) == before


# --- what browsers are told -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/accept", "x"])
def test_nothing_of_a_link_is_kept_told_or_indexed(client: Client, token: str, path: str) -> None:
    for answer in (client.get(path_of(token) + path), client.post(path_of(token) + path)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Robots-Tag"] == "noindex"
        assert "'none'" in answer.headers["Content-Security-Policy"]
        assert "Set-Cookie" not in answer.headers


def test_whoever_is_signed_in_keeps_their_session_and_is_not_named(
    client: Client, cast: Cast, token: str
) -> None:
    sign_in(client, cast.student("Cleo"))
    page = client.get(path_of(token))
    assert "Cleo" not in page.text
    assert "Set-Cookie" not in page.headers
    click(client, path_of(token), "accept")
    assert cast.statuses(cast.row("Ben"), cast.row("Cleo")) == ["enrolled", "waitlist"]
    assert "Cleo" in client.get("/").text
    assert client.get(path_of("x")).status_code == 410


def test_no_token_is_written_to_a_log(
    client: Client, web_app: Flask, cast: Cast, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    click(client, path_of(token), "accept")
    client.get(path_of(token + "/nothing"))
    client.get(path_of(_bit_flipped(token)))
    for server in ("werkzeug", "gunicorn.access", "gunicorn.error"):
        logging.getLogger(server).info('"GET %s HTTP/1.1" 200 %s', path_of(token), HOME + token)
        logging.getLogger(server).error("Error handling request %s", f"/waitlist/%20{token}")
    assert token[:-1] not in caplog.text
    assert '"GET /invitations/… HTTP/1.1" 200' in caplog.text
    assert _bit_flipped(token) not in caplog.text


# --- how much it asks -----------------------------------------------------------------------------


def test_a_page_takes_two_statements_and_an_answer_seven_at_most(
    client: Client, web_app: Flask, cast: Cast, token: str, kind: str
) -> None:
    opened = client.get(path_of(token))
    with statements_of(web_app) as shown:
        client.get(path_of(token))
    with statements_of(web_app) as answered:
        press(client, opened, "accept")
    at_once = kind == "postgresql"  # which numbers the history as it writes it
    assert (len(shown), len(answered)) == (2, 6 if at_once else 7)


# --- the waitlist's links -------------------------------------------------------------------------


def test_leaving_by_link_asks_then_leaves_and_says_so_again(client: Client, cast: Cast) -> None:
    ben = cast.in_status("waitlist")
    path = path_of(token_for(cast, ben, "leave"), "leave")
    asks = client.get(path)
    assert heading(asks) == "Leave the waitlist?"
    assert "1st of 2 waiting" in asks.text
    assert heading(click(client, path, "leave")) == "You have left the waitlist"
    before = checksum(cast)
    assert press(client, asks, "leave").status_code == 303
    assert checksum(cast) == before


def test_who_has_a_place_is_told_to_cancel_it_instead(client: Client, cast: Cast) -> None:
    ben = cast.in_status("waitlist")
    asks = client.get(path_of(token_for(cast, ben, "leave"), "leave"))
    enrolments.force(cast.session, ben.training_id, ben.student_id, cast.max, NOON, REASON)
    refused = press(client, asks, "leave")
    assert (refused.status_code, heading(refused)) == (409, "You have a place")
    assert cast.statuses(ben) == ["enrolled"]


def test_saying_that_one_still_waits_is_kept_once(client: Client, cast: Cast) -> None:
    ben = cast.in_status("waitlist")
    path = path_of(token_for(cast, ben, "keep"), "keep")
    asks = client.get(path)
    assert heading(asks) == "Do you still want a place?"
    assert heading(click(client, path, "keep")) == "You keep your place in line"
    press(client, asks, "keep")
    assert cast.history().count("interest-confirmed") == 1
    assert cast.statuses(ben) == ["waitlist"]


@pytest.mark.parametrize("status", ["waitlist-declined", "waitlist-invite-expired"])
def test_joining_again_by_link_goes_to_the_end(client: Client, cast: Cast, status: str) -> None:
    ben = cast.in_status(status)
    cast.enrol("Dora")
    path = path_of(token_for(cast, ben, "re-enable"), "re-enable")
    asks = client.get(path)
    assert heading(asks) == "Join the waitlist again?"
    assert "terms" in asks.text
    after = click(client, path, "re-enable")
    assert heading(after) == "You are back on the waitlist; you are 2nd in line"
    before = checksum(cast)
    press(client, asks, "re-enable")
    assert checksum(cast) == before


def test_nobody_joins_again_what_has_closed(client: Client, cast: Cast) -> None:
    ben = cast.in_status("waitlist-declined")
    path = path_of(token_for(cast, ben, "re-enable"), "re-enable")
    asks = client.get(path)
    trainings.deactivate(cast.session, ben.training_id, cast.max, NOON)
    page = client.get(path)
    assert page.status_code == 410
    assert heading(page) == "This is no longer possible: the training is closed"
    refused = press(client, asks, "re-enable")
    assert refused.status_code == 409
    assert cast.statuses(ben) == ["waitlist-declined"]


def test_a_waitlists_link_tells_who_no_longer_waits(client: Client, cast: Cast) -> None:
    ben = cast.in_status("waitlist-declined")
    page = client.get(path_of(token_for(cast, ben, "leave"), "leave"))
    assert page.status_code == 410
    assert heading(page).endswith("you are not on the waitlist any more")


def test_the_leave_link_of_an_old_letter_points_to_the_newest(client: Client, cast: Cast) -> None:
    ben = cast.line("Ben", "Cleo")[0]
    path = path_of(token_for(cast, ben, "leave"), "leave")
    cast.leave(cast.row("Ada"))
    page = client.get(path)
    assert (page.status_code, heading(page)) == (410, "There is a newer invitation")


def test_a_link_that_holds_a_slash_is_no_link_like_any_other(client: Client, cast: Cast) -> None:
    unknown = client.get("/invitations/" + "A" * 43).data
    for room in ("invitations", "waitlist", "unsubscribe"):
        for typed in ("a%2Fb", "a/b/", "a/b/accept"):
            answers = [client.get(f"/{room}/{typed}"), client.post(f"/{room}/{typed}")]
            assert {(one.status_code, one.data) for one in answers} == {(410, unknown)}, typed


def test_no_page_under_a_link_has_a_form_of_the_session(
    client: Client, cast: Cast, token: str
) -> None:
    """Browsers name such a page to nobody, so whatever it posts would be refused."""
    sign_in(client, cast.tess)
    path = path_of(token)
    found = [client.get(path), client.get(path_of("x")), client.put(path), client.delete(path)]
    assert [answer.status_code for answer in found] == [200, 410, 405, 405]
    for answer in found:
        assert "csrf_token" not in answer.text
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers
    assert 'action="/sign-out"' in client.get("/nothing-here").text
