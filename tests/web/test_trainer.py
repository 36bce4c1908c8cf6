"""What trainers see and do, page by page (people PT1–PT3, PT5, PT7)."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import datetime

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.models import Practice, TrainingEnroll
from app.services import overrides, students, waitlist
from app.web import people_acts, trainer, trainer_acts, trainer_list
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, Cast
from tests.web.browsing import Client, sign_in
from tests.web.links import statements_of


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noon on the pages of trainers too."""
    at(monkeypatch, NOON)


def at(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    for room in (trainer, trainer_acts, trainer_list):
        monkeypatch.setattr(room, "utcnow", lambda: now)


@pytest.fixture
def tess(client: Client, cast: Cast) -> Client:
    """The browser of Tess, who teaches Pottery."""
    sign_in(client, cast.tess)
    return client


def pottery(cast: Cast, more: str = "") -> str:
    return f"/trainer/trainings/{cast.pottery.id}{more}"


def words(page: TestResponse) -> str:
    """What stands in the main part of a page, spaces made one."""
    main = re.sub(r"<[^>]+>", " ", page.text.partition("<main")[2].partition("</main>")[0])
    return " ".join(html.unescape(main).partition(">")[2].split())


def ask(client: Client, cast: Cast, act: str, *rows: TrainingEnroll) -> TestResponse:
    """The page that asks before an act."""
    cast.session.commit()
    asked = "".join(f"&row={row.uuid}" for row in rows)
    return client.get(pottery(cast, f"/acts?act={act}{asked}"))


def do(client: Client, cast: Cast, act: str, *rows: TrainingEnroll, **fields: str) -> TestResponse:
    """Ask, then press the button; what the test changes between the two is what it saw."""
    shown = re.findall(r'name="row" value="([^"]+)"', ask(client, cast, act, *rows).text)
    return press(client, cast, act, shown, **fields)


def press(client: Client, cast: Cast, act: str, shown: list[str], **fields: str) -> TestResponse:
    data = {"csrf_token": client.key(), "row": shown, **fields}
    answer = client.post(pottery(cast, f"/acts?act={act}"), data=data)
    cast.session.expire_all()
    return answer


# --- the list ------------------------------------------------------------------------------------


def test_a_training_of_the_list_says_how_full_it_is(tess: Client, cast: Cast) -> None:
    cast.offer("Ben", "Cleo", "Dan")
    assert "Pottery" in words(page := tess.get("/trainer/trainings"))
    assert "1/1 · 1 invited · 2 waiting" in words(page)
    assert "Wed 4 March 2026, 13:00 (Amsterdam)" in words(page)


def test_each_thing_that_wants_attention_is_named(
    tess: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "too many" not in words(tess.get("/trainer/trainings"))
    cast.offer("Ben", "Cleo")
    cast.row("Ben").invite_undelivered_at = NOON
    cast.pottery.overbooked_by, cast.pottery.max_participants = 1, 0
    cast.pottery.waitlist_paused, cast.pottery.seats_kept = True, 2
    at(monkeypatch, DEADLINE - HOUR)
    told = words(tess.get("/trainer/trainings"))
    for thing in (
        "1 person too many",
        "1 letter not delivered",
        "An answer is due soon",
        "List paused",
        "2 places kept back",
    ):
        assert thing in told
    assert "No trainer" not in told


def test_a_training_without_trainer_is_seen_among_all(tess: Client, cast: Cast) -> None:
    cast.training("Glazing").trainers.clear()
    assert "Glazing" not in words(tess.get("/trainer/trainings"))
    told = words(tess.get("/trainer/trainings?whose=all"))
    assert "Glazing" in told
    assert "No trainer" in told


def test_the_list_is_searched_and_a_page_past_its_end_shows_the_last(
    tess: Client, cast: Cast
) -> None:
    cast.training("Glazing")
    assert "Pottery" not in words(tess.get("/trainer/trainings?q=glaz"))
    assert "No training has these words" in words(tess.get("/trainer/trainings?q=bread"))
    assert "Pottery" in words(tess.get("/trainer/trainings?page=99"))


def test_nonsense_in_the_address_of_the_list_does_no_harm(tess: Client, cast: Cast) -> None:
    for query in ("page=x", "page=-1", "page=99999999999", "whose=no"):
        page = tess.get(f"/trainer/trainings?{query}")
        assert (page.status_code, "Pottery" in words(page)) == (200, True), query
        assert ("one of the filters" in words(page)) == query.startswith("whose")


# --- who may -------------------------------------------------------------------------------------

PAGES = ("", "/why", "/attendees", "/capacity", "/add", "/list/pause", "/acts?act=end&row=x")


def test_students_have_no_business_here(client: Client, cast: Cast) -> None:
    sign_in(client, cast.student("Ada"))
    assert client.get("/trainer/trainings").status_code == 403
    for page in PAGES:
        assert client.get(pottery(cast, page)).status_code == 403, page


def test_another_practices_training_is_not_there(tess: Client, cast: Cast) -> None:
    other = cast.add(Practice(name="Wood", shortname="wood"))
    cast.pottery.practice_id = other.id
    before = cast.everything()
    for page in PAGES:
        assert tess.get(pottery(cast, page)).status_code == 404, page
    for page in ("/attendees.csv", "/capacity", "/add", "/list/pause", "/acts?act=end&row=x"):
        assert tess.act(pottery(cast, page), reason=REASON).status_code == 404, page
    assert cast.everything() == before


def test_an_absurd_number_is_not_there(tess: Client) -> None:
    for number in ("0", "-1", "100000000000000000000", "1,2", "x"):
        assert tess.get(f"/trainer/trainings/{number}").status_code == 404, number


def test_someone_of_another_training_is_not_touched(tess: Client, cast: Cast) -> None:
    weaving = cast.training("Weaving")
    ada = cast.enrol("Ada", training=weaving)
    shown = [f"{ada.uuid}:{ada.version}:enrolled"]
    before = cast.everything()
    assert ask(tess, cast, "remove", ada).status_code == 404
    assert press(tess, cast, "remove", shown, reason=REASON).status_code == 404
    assert cast.everything() == before


def test_the_office_sees_all_trainings(client: Client, cast: Cast, office: str) -> None:
    sign_in(client, office)
    assert "Pottery" in words(client.get("/trainer/trainings"))
    assert client.get(pottery(cast)).status_code == 200


# --- the roster ----------------------------------------------------------------------------------


def test_the_roster_names_everyone_with_state_letter_and_what_is_in_the_way(
    tess: Client, cast: Cast
) -> None:
    cast.offer("Ben", "Cleo", "Dan")
    overrides.skip(cast.session, cast.row("Cleo"), cast.max, NOON, REASON)
    cast.student("Dan").user.phone = "+31612345678"
    told = words(tess.get(pottery(cast)))
    assert re.search(r"Invited 1 .*Ben Example Invited Letter on its way Wed 4 March", told)
    assert re.search(r"1\. Cleo Example Waiting skipped by staff", told)
    assert re.search(r"2\. Dan Example Waiting Mon 2 March .* \+31612345678", told)
    assert re.search(r"Closed 1 .*Ada Example Cancelled", told)


def test_the_roster_shows_a_section_or_a_name(tess: Client, cast: Cast) -> None:
    cast.offer("Ben", "Cleo")
    assert "Ben Example" not in words(tess.get(pottery(cast, "?show=waiting")))
    told = words(tess.get(pottery(cast, "?q=BEN")))
    assert "Ben Example" in told
    assert "Cleo Example" not in told
    assert "Nobody here fits" in words(tess.get(pottery(cast, "?q=nobody")))


def test_an_empty_roster_says_what_will_appear(tess: Client, cast: Cast) -> None:
    assert "Whoever joins this training will appear here." in words(tess.get(pottery(cast)))


def test_a_name_is_text_and_nothing_else(tess: Client, cast: Cast) -> None:
    cast.enrol("Ada").student.user.first_name = "<script>alert(1)</script>"
    for page in ("", "/why", "/attendees", "/add?q=script"):
        assert "<script>alert" not in tess.get(pottery(cast, page)).text


def test_a_name_does_not_turn_the_page_around(tess: Client, cast: Cast) -> None:
    turn = "\u202e"
    cast.pottery.name = f"Pot{turn}tery"
    (ben,) = cast.line("Ben")
    cast.student("Ada").user.first_name = ben.student.user.first_name = f"A{turn}b"
    cast.tess.user.first_name = f"T{turn}"
    pages = ("", "/why", "/attendees", "/add?q=exam", "/capacity", "/list/pause")
    for page in (*pages, f"/acts?act=remove&row={ben.uuid}"):
        assert turn not in tess.get(pottery(cast, page)).text, page
    assert turn not in tess.get("/trainer/trainings").text


def test_fifty_people_take_as_few_statements_as_five(
    tess: Client, cast: Cast, web_app: Flask
) -> None:
    five, fifty = (f"/trainer/trainings/{cast.several(count).id}" for count in (5, 50))
    for page in ("", "/why", "/attendees"):
        assert few(tess, web_app, five + page) == few(tess, web_app, fifty + page), page


def test_fifty_trainings_take_as_few_statements_as_five(
    tess: Client, cast: Cast, web_app: Flask
) -> None:
    sent = []
    for count in (4, 45):
        for n in range(count):
            cast.training(f"Course {n}")
        sent.append(few(tess, web_app, "/trainer/trainings"))
    assert sent[0] == sent[1]


def few(client: Client, app: Flask, path: str) -> int:
    """How many statements a page takes; at most eight (people PG6)."""
    client.get(path)
    with statements_of(app) as sent:
        assert client.get(path).status_code == 200
    assert len(sent) <= 8, "\n".join(sent)
    return len(sent)


# --- acts on people ------------------------------------------------------------------------------


def test_ending_an_invitation_asks_first_and_invites_the_next(tess: Client, cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    told = words(ask(tess, cast, "end", ben))
    assert "Ben Example Invited" in told
    assert "Next in line, invited as soon as the place is free: Cleo Example" in told
    assert "They are told that the invitation has ended" in told
    answer = do(tess, cast, "end", ben, reason=REASON)
    assert (answer.status_code, answer.location) == (303, pottery(cast))
    assert cast.statuses(ben, cleo) == ["waitlist-invite-expired", "waitlist-invited"]
    notice = words(tess.get(answer.location))
    assert "Ben Example: the invitation has ended. Invited now: Cleo Example." in notice
    ended = cast.last_event("deinvited")
    assert (ended.actor, ended.note) == (f"user:{cast.tess.user_id}", REASON)


def test_asking_changes_nothing(tess: Client, cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    before = cast.everything()
    for act in people_acts.ACTS:
        assert ask(tess, cast, act, ben).status_code == 200
    assert cast.everything() == before


NEEDS_A_REASON = ("end", "more-time", "return", "skip", "unskip", "force", "remove")


def test_an_act_without_a_reason_is_refused(tess: Client, cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    before = cast.everything()
    for act in NEEDS_A_REASON:
        row = cleo if "skip" in act else ben
        answer = do(tess, cast, act, row, reason="    four    ", until="2026-03-05T12:00")
        assert answer.status_code == 400, act
        assert "Give a reason of 5 to 500 characters" in words(answer), act
    assert cast.everything() == before


def test_what_was_typed_is_kept_when_it_is_refused(tess: Client, cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    answer = do(tess, cast, "return", ben, reason="x" * 501, until="2026-03-05T12:00")
    assert answer.status_code == 400
    assert "x" * 501 in answer.text
    assert 'value="2026-03-05T12:00"' in answer.text


def test_the_first_in_line_is_invited_without_a_reason_others_with_one(
    tess: Client, cast: Cast
) -> None:
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    ben, cleo = (cast.enrol(name) for name in ("Ben", "Cleo"))
    cast.pottery.max_participants = 2
    cast.pottery.waitlist_paused = False
    assert do(tess, cast, "invite", cleo).status_code == 400
    assert do(tess, cast, "invite", cleo, reason=REASON).status_code == 303
    assert do(tess, cast, "invite", ben).status_code == 303
    assert cast.statuses(ben, cleo) == ["waitlist-invited"] * 2


def test_the_reason_is_optional_for_the_first_in_line_alone(tess: Client, cast: Cast) -> None:
    overrides.pause_list(cast.session, cast.pottery.id, cast.max, NOON, REASON)
    ben, cleo, dan = (cast.enrol(name) for name in ("Ben", "Cleo", "Dan"))
    cast.pottery.max_participants, cast.pottery.waitlist_paused = 3, False

    def optional(*rows: TrainingEnroll) -> bool:
        return "Reason (optional)" in words(ask(tess, cast, "invite", *rows))

    assert [optional(ben), optional(cleo), optional(ben, cleo)] == [True, False, True]
    assert not optional(ben, dan)
    overrides.skip(cast.session, ben, cast.max, NOON, REASON)
    assert [optional(ben), optional(cleo)] == [False, True]


def test_inviting_without_a_free_place_offers_to_force(tess: Client, cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    shown = [f"{ben.uuid}:{ben.version}:{ben.status}"]
    answers = ask(tess, cast, "invite", ben), press(tess, cast, "invite", shown)
    for answer, code in zip(answers, (200, 409), strict=True):
        assert answer.status_code == code
        assert "No place is free: 1 of 1 places are taken now." in words(answer)
        assert "They are offered a place" not in words(answer)
        assert f"act=force&amp;row={ben.uuid}" in answer.text
    assert "1 of 1 places are taken now." in words(ask(tess, cast, "force", ben))
    assert do(tess, cast, "force", ben, reason=REASON).status_code == 303
    assert cast.statuses(ben) == ["enrolled"]
    assert "2 of 1 places are taken" in words(tess.get(pottery(cast)))


def test_skipping_until_a_day_and_stopping_it(tess: Client, cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    answer = do(tess, cast, "skip", ben, reason=REASON, until="2026-03-05T09:30")
    assert answer.status_code == 303
    assert cast.row("Ben").not_before == datetime.fromisoformat("2026-03-05T08:30+00:00")
    assert "skipped until Thu 5 March 2026, 09:30 (Amsterdam)" in words(tess.get(pottery(cast)))
    assert do(tess, cast, "unskip", ben, reason=REASON).status_code == 303
    assert cast.row("Ben").not_before is None


@pytest.mark.parametrize("act", ["skip", "return"])
def test_a_day_that_has_passed_is_refused_at_its_field(act: str, tess: Client, cast: Cast) -> None:
    row = cast.offer("Ben", "Cleo")[act == "skip"]
    answer = do(tess, cast, act, row, reason=REASON, until="2026-03-01T09:30")
    assert answer.status_code == 400
    assert "Give a moment that is still to come." in words(answer)


def test_a_moment_that_is_none_is_refused(tess: Client, cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    for until in ("0001-01-01T00:00", "9999-12-31T23:59", "soon"):
        answer = do(tess, cast, "skip", ben, reason=REASON, until=until)
        assert answer.status_code == 400, until


def test_returning_silently_writes_to_nobody_and_keeps_the_place(tess: Client, cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    before = cast.last_letter()
    answer = do(tess, cast, "return", ben, reason=REASON, silent="y")
    assert answer.status_code == 303
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]
    assert cast.row("Ben").skipped
    assert "Ben" not in {name for _letter, name in cast.letters(before)}


def test_more_time_is_given_in_the_zone_of_the_training(tess: Client, cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    answer = do(tess, cast, "more-time", ben, reason=REASON, until="2026-03-06T13:00")
    assert answer.status_code == 303
    assert cast.row("Ben").invite_expires_at == DEADLINE + 2 * DAY


def test_more_time_is_later_than_now_and_before_the_last_moment(tess: Client, cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    for until in ("", "2026-03-03T13:00", "2026-12-01T13:00"):
        answer = do(tess, cast, "more-time", ben, reason=REASON, until=until)
        assert (answer.status_code, "must be later" in words(answer)) == (400, True), until
    assert cast.row("Ben").invite_expires_at == DEADLINE


@pytest.mark.parametrize(
    ("keep", "next_one"), [({}, "waitlist-invited"), ({"keep_place": "y"}, "waitlist")]
)
def test_a_removed_persons_place_goes_to_the_next_unless_it_is_kept(
    keep: dict[str, str], next_one: str, tess: Client, cast: Cast
) -> None:
    (ben,) = cast.line("Ben")
    ada = cast.row("Ada")
    assert do(tess, cast, "remove", ada, reason=REASON, **keep).status_code == 303
    assert cast.statuses(ada, ben) == ["derolled", next_one]
    assert cast.ledger()[1] == len(keep)


def test_who_waits_is_removed_too(tess: Client, cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    assert do(tess, cast, "remove", ben, reason=REASON).status_code == 303
    assert (cast.statuses(ben), cast.history()[-1]) == (["derolled"], "removed")


def test_who_is_brought_back_stands_at_the_end(tess: Client, cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON)
    assert do(tess, cast, "back", ben).status_code == 303
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]


def test_paid_is_marked_and_unmarked(tess: Client, cast: Cast) -> None:
    ada = cast.enrol("Ada")
    assert do(tess, cast, "paid", ada).status_code == 303
    assert cast.row("Ada").paid
    assert do(tess, cast, "unpaid", ada).status_code == 303
    assert not cast.row("Ada").paid


def test_what_changed_meanwhile_is_a_409_that_says_both(tess: Client, cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    shown = [f"{ben.uuid}:{ben.version}:{ben.status}"]
    cast.accept(ben)
    cast.session.commit()
    before = cast.everything()
    answer = press(tess, cast, "end", shown, reason=REASON)
    assert answer.status_code == 409
    assert "it was invited, now it is enrolled" in words(answer)
    assert cast.everything() == before


@pytest.mark.parametrize(
    ("act", "fields"),
    [
        ("end", {}),
        ("return", {}),
        ("more-time", {"until": "2026-03-06T13:00"}),
        ("force", {}),
        ("remove", {}),
        ("paid", {}),
    ],
)
def test_an_act_repeated_is_the_same_success_without_a_second_effect(
    act: str, fields: dict[str, str], tess: Client, cast: Cast
) -> None:
    (ben,) = cast.offer("Ben")
    shown = [f"{ben.uuid}:{ben.version}:{ben.status}"]
    first = press(tess, cast, act, shown, reason=REASON, **fields)
    before = cast.everything()
    again = press(tess, cast, act, shown, reason=REASON, **fields)
    assert [(one.status_code, one.location) for one in (first, again)] == [(303, pottery(cast))] * 2
    assert cast.everything() == before


@pytest.mark.parametrize("act", ["invite", "skip"])
def test_what_is_done_to_who_waits_can_be_repeated(act: str, tess: Client, cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    cast.pottery.max_participants = 2
    shown = [f"{ben.uuid}:{ben.version}:{ben.status}"]
    for _ in range(2):
        assert press(tess, cast, act, shown, reason=REASON).status_code == 303
    assert [row.event for row in cast.events()][-1] in ("invited", "skipped")


def test_a_button_pressed_blindly_does_nothing(tess: Client, cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    before = cast.everything()
    assert press(tess, cast, "end", [ben.uuid], reason=REASON).status_code == 409
    assert cast.everything() == before


def test_rows_that_are_none_are_not_found(tess: Client, cast: Cast) -> None:
    for row in ("x", "'; --", "\0", "00000000-0000-0000-0000-000000000000"):
        assert press(tess, cast, "end", [row], reason=REASON).status_code == 404, row


def test_an_unknown_act_is_not_found_and_nobody_ticked_leads_back(tess: Client, cast: Cast) -> None:
    assert ask(tess, cast, "sack").status_code == 404
    answer = ask(tess, cast, "end")
    assert (answer.status_code, answer.location) == (303, pottery(cast))


# --- several at once -----------------------------------------------------------------------------


def test_several_at_once_say_of_each_what_became_of_it(tess: Client, cast: Cast) -> None:
    cast.line("Ben", "Cleo")
    rows = [cast.row(name) for name in ("Ada", "Ben", "Cleo")]
    overrides.skip(cast.session, rows[2], cast.max, NOON, REASON)
    asked = words(ask(tess, cast, "skip", *rows))
    assert "This will be refused for 1 person" in asked
    answer = do(tess, cast, "skip", *rows, reason=REASON)
    assert answer.status_code == 200
    told = words(answer)
    assert "2 of 3 done." in told
    assert "Ada Example Refused This student is not on the waitlist." in told
    assert "Ben Example passed over" in told
    assert cast.row("Ben").skipped


def test_if_all_are_refused_it_is_a_409(tess: Client, cast: Cast) -> None:
    cast.pottery.max_participants = 2
    rows = cast.enrol_all("Ada", "Ben")
    before = cast.everything()
    answer = do(tess, cast, "end", *rows, reason=REASON)
    assert answer.status_code == 409
    assert "0 of 2 done." in words(answer)
    assert cast.everything() == before


# --- the list, the places, a newcomer ------------------------------------------------------------


def seen_on(client: Client, path: str) -> str:
    found = re.search(r'name="seen"[^>]*value="(\d*)"', client.get(path).text)
    return found[1] if found else ""


def change(client: Client, cast: Cast, path: str, **fields: str) -> TestResponse:
    """Look at a page with a form, then send it."""
    where = pottery(cast, path)
    answer = client.act(where, **{"seen": seen_on(client, where)} | fields)
    cast.session.expire_all()
    return answer


def test_a_paused_list_says_so_and_goes_on_when_resumed(tess: Client, cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    assert change(tess, cast, "/list/pause", reason=REASON).status_code == 303
    cast.leave(cast.row("Ada"))
    assert cast.statuses(ben) == ["waitlist"]
    assert "The list is paused: nobody is invited." in words(tess.get(pottery(cast)))
    answer = change(tess, cast, "/list/resume", reason=REASON)
    assert "The list is resumed. Invited now: Ben Example." in words(tess.get(answer.location))
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_a_whole_list_is_not_changed_without_a_reason(tess: Client, cast: Cast) -> None:
    before = cast.everything()
    for name in trainer_list.LIST_ACTS:
        answer = change(tess, cast, f"/list/{name}", count="1", reason="four")
        assert answer.status_code == 400, name
    assert cast.everything() == before


def test_places_are_kept_back_once_and_released(tess: Client, cast: Cast) -> None:
    path = pottery(cast, "/list/keep")
    seen = seen_on(tess, path)
    assert tess.act(path, seen=seen, count="1", reason=REASON).status_code == 303
    again = tess.act(path, seen=seen, count="1", reason=REASON)
    assert (again.status_code, "it was 0, now it is 1" in words(again)) == (409, True)
    ben = cast.enrol("Ben")
    assert change(tess, cast, "/list/release", count="1", reason=REASON).status_code == 303
    assert (cast.statuses(ben), cast.ledger()[1]) == (["waitlist-invited"], 0)


def test_a_number_of_places_that_is_none_is_refused(tess: Client, cast: Cast) -> None:
    for count in ("", "0", "-1", "x", "99999999999999999999"):
        answer = change(tess, cast, "/list/keep", count=count, reason=REASON)
        assert answer.status_code == 400, count
    assert cast.ledger()[1] == 0


def test_more_kept_than_free_is_refused(tess: Client, cast: Cast) -> None:
    answer = change(tess, cast, "/list/keep", count="2", reason=REASON)
    assert (answer.status_code, "only 1 such places" in words(answer)) == (409, True)


def test_more_places_invite_the_next(tess: Client, cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    answer = change(tess, cast, "/capacity", places="2")
    assert "There are 2 places now. Invited now: Ben Example." in words(tess.get(answer.location))
    assert cast.statuses(ben) == ["waitlist-invited"]


@pytest.mark.parametrize(
    ("choice", "ben_is", "over"), [("withdraw", "waitlist", 0), ("overbook", "waitlist-invited", 1)]
)
def test_fewer_places_than_taken_ask_what_to_do(
    choice: str, ben_is: str, over: int, tess: Client, cast: Cast
) -> None:
    cast.pottery.max_participants = 2
    cast.enrol_all("Ada", "Gus", "Ben")
    cast.leave(cast.row("Gus"))
    cast.session.commit()
    asked = change(tess, cast, "/capacity", places="1")
    assert asked.status_code == 409
    assert "2 places are taken, 1 of them by invitation only" in words(asked)
    assert "Stay overbooked" in words(asked)
    assert cast.pottery.max_participants == 2
    unreasoned = change(tess, cast, "/capacity", places="1", choice=choice, reason="")
    assert unreasoned.status_code == 400
    answer = change(tess, cast, "/capacity", places="1", choice=choice, reason=REASON)
    assert answer.status_code == 303
    assert (cast.statuses(cast.row("Ben")), cast.ledger()[2]) == ([ben_is], over)


def test_a_capacity_that_is_none_is_refused(tess: Client, cast: Cast) -> None:
    for places in ("", "-1", "10001", "x"):
        assert change(tess, cast, "/capacity", places=places).status_code == 400, places
    assert cast.pottery.max_participants == 1


def test_a_capacity_asked_for_twice_is_the_same_success(tess: Client, cast: Cast) -> None:
    for _ in range(2):
        answer = change(tess, cast, "/capacity", seen="1", places="3")
        assert (answer.status_code, answer.location) == (303, pottery(cast))
    assert cast.pottery.max_participants == 3
    assert cast.history().count("capacity") == 1


def test_a_capacity_that_changed_meanwhile_is_a_409(tess: Client, cast: Cast) -> None:
    answer = change(tess, cast, "/capacity", seen="7", places="3")
    assert (answer.status_code, "it was 7, now it is 1" in words(answer)) == (409, True)
    assert cast.pottery.max_participants == 1


def test_a_person_is_found_and_added_by_the_normal_rule(tess: Client, cast: Cast) -> None:
    cast.enrol("Ada")
    ben = cast.student("Ben")
    assert "Ben Example" in words(tess.get(pottery(cast, "/add?q=ben")))
    assert "is on the roster" in words(tess.get(pottery(cast, "/add?q=ada")))
    answer = tess.act(pottery(cast, "/add"), student=str(ben.id))
    assert "this person is now waiting" in words(tess.get(answer.location))
    assert cast.statuses(cast.row("Ben")) == ["waitlist"]


def test_who_cannot_be_added_is_refused_with_the_reason(tess: Client, cast: Cast) -> None:
    ben = cast.student("Ben")
    students.deactivate(cast.session, ben, cast.max, NOON)
    answer = tess.act(pottery(cast, "/add"), student=str(ben.id))
    assert (answer.status_code, "not active" in words(answer)) == (409, True)
    assert tess.act(pottery(cast, "/add"), student="").status_code == 400
    assert tess.act(pottery(cast, "/add"), student="4242").status_code == 404


# --- why -----------------------------------------------------------------------------------------


def test_why_tells_now_and_what_was_decided(tess: Client, cast: Cast) -> None:
    ben, _cleo = cast.offer("Ben", "Cleo")
    waitlist.deinvite(cast.session, ben, cast.max, NOON + MINUTE, REASON)
    told = words(tess.get(pottery(cast, "/why")))
    assert "Cleo Example Invited, answer before Wed 4 March 2026, 13:01 (Amsterdam)" in told
    assert f"Invitation ended by staff: Ben Example (no. 1), “{REASON}”" in told
    assert "→ joined the list: Ben Example (no. 1), Cleo Example (no. 2)" in told


def test_the_history_of_one_person_leaves_the_others_away(tess: Client, cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    waitlist.deinvite(cast.session, ben, cast.max, NOON + MINUTE, REASON)
    told = words(tess.get(pottery(cast, f"/why?person={cleo.uuid}")))
    assert "History of Cleo Example" in told
    assert "invited: Cleo Example" in told
    assert tess.get(pottery(cast, "/why?person=x")).status_code == 200


# --- attendees -----------------------------------------------------------------------------------


def csv_rows(answer: TestResponse) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))


def test_the_file_has_the_columns_that_were_ticked_and_no_formula(tess: Client, cast: Cast) -> None:
    cast.pottery.max_participants = 2
    cast.enrol_all("Ada", "Ben", "Cleo")
    cast.student("Ada").user.first_name = "=HYPERLINK(1)"
    cast.student("Ben").user.phone = "+31612345678"
    overrides.mark_paid(cast.session, cast.row("Ben"), True, cast.max, NOON)
    answer = tess.act(pottery(cast, "/attendees.csv"), column=["phone", "name", "paid"])
    assert answer.data.startswith(b"\xef\xbb\xbf")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert csv_rows(answer) == [
        ["Name", "Phone", "Paid"],
        ["'=HYPERLINK(1) Example", "", "no"],
        ["Ben Example", "'+31612345678", "yes"],
    ]


def test_the_history_says_who_took_the_file(tess: Client, cast: Cast) -> None:
    cast.enrol("Ada")
    answer = tess.act(pottery(cast, "/attendees.csv"), column=["name", "password"])
    assert csv_rows(answer) == [["Name"], ["Ada Example"]]
    assert cast.last_event("exported").actor == f"user:{cast.tess.user_id}"
    assert tess.get(pottery(cast, "/attendees.csv")).status_code == 405


def test_the_list_to_print_has_those_with_a_place_only(tess: Client, cast: Cast) -> None:
    cast.line("Ben")
    told = words(tess.get(pottery(cast, "/attendees")))
    assert "Ada Example" in told
    assert "Ben Example" not in told
