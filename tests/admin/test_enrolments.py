"""Enrolments: acts through the services, each with its question and its reason (people PT3)."""

from __future__ import annotations

import pytest

from app.extensions import utcnow
from tests.admin.desk import Desk
from tests.cast import DAY, HOUR, REASON, Cast


@pytest.fixture
def line(cast: Cast) -> Cast:
    """Ada has the one place, Ben and Cleo wait; in thirty days from now."""
    start = utcnow() + 30 * DAY
    cast.pottery.events[0].start_time, cast.pottery.events[0].end_time = start, start + 3 * HOUR
    cast.session.flush()
    cast.enrol_all("Ada", "Ben", "Cleo", now=utcnow())
    return cast


def status(cast: Cast, name: str) -> str:
    return str(cast.row(name).status)


def test_a_list_and_a_page_say_who_is_where(desk: Desk, line: Cast) -> None:
    page = desk.get("trainingenroll/").text
    assert "Waiting" in page
    assert "Enrolled" in page
    page = desk.get(f"trainingenroll/details/?id={line.row('Ben').id}").text
    assert "joined the list" in page
    assert "Invite now" in page


def test_taking_somebody_off_invites_the_next(desk: Desk, line: Cast) -> None:
    ada = line.row("Ada").id
    asked = desk.ask("trainingenroll", "remove", ada)
    assert "Ada Example" in asked.text
    assert status(line, "Ada") == "enrolled"
    assert desk.act("trainingenroll", "remove", ada, reason=REASON).status_code == 303
    assert (status(line, "Ada"), status(line, "Ben")) == ("derolled", "waitlist-invited")
    assert line.last_event("derolled").note == REASON
    assert line.last_event("derolled").actor == f"user:{desk.who.id}"


def test_a_reason_is_needed_and_asked_for_again(desk: Desk, line: Cast) -> None:
    before = line.everything()
    for reason in ("", "no", " " * 40):
        answer = desk.act("trainingenroll", "remove", line.row("Ada").id, reason=reason)
        assert answer.status_code == 400
        assert "5 to 500 characters" in answer.text
    assert (
        desk.act("trainingenroll", "remove", line.row("Ada").id, reason="x" * 501).status_code
        == 400
    )
    line.session.expire_all()
    assert line.everything() == before


def test_an_invitation_is_prolonged_taken_back_and_ended(desk: Desk, line: Cast) -> None:
    desk.act("trainingenroll", "remove", line.row("Ada").id, reason=REASON)
    ben = line.row("Ben")
    until = f"{utcnow() + 4 * DAY:%Y-%m-%dT%H:%M}"
    assert (
        desk.act("trainingenroll", "more-time", ben.id, reason=REASON, until=until).status_code
        == 303
    )
    assert line.row("Ben").invite_expires_at > utcnow() + 3 * DAY
    early = f"{utcnow() - DAY:%Y-%m-%dT%H:%M}"
    again = desk.act("trainingenroll", "more-time", ben.id, reason=REASON, until=early)
    assert again.status_code in (400, 409)
    assert desk.act("trainingenroll", "return", ben.id, reason=REASON).status_code == 303
    assert (status(line, "Ben"), status(line, "Cleo")) == ("waitlist", "waitlist-invited")
    cleo = line.row("Cleo").id
    assert desk.act("trainingenroll", "end", cleo, reason=REASON).status_code == 303
    assert status(line, "Cleo") == "waitlist-invite-expired"
    assert desk.act("trainingenroll", "back", cleo).status_code == 303
    assert status(line, "Cleo").startswith("waitlist")


def test_force_and_an_act_that_came_too_late(desk: Desk, line: Cast) -> None:
    cleo = line.row("Cleo").id
    assert desk.act("trainingenroll", "force", cleo, reason=REASON).status_code == 303
    assert status(line, "Cleo") == "enrolled"
    late = desk.act("trainingenroll", "invite", cleo, reason=REASON)
    assert late.status_code == 409


def test_a_bulk_act_says_of_each_what_became_of_it(desk: Desk, line: Cast) -> None:
    ids = [line.row(name).id for name in ("Ada", "Ben")]
    assert desk.act("trainingenroll", "skip", *ids, ids[0], reason=REASON).status_code == 303
    page = desk.get("trainingenroll/").text
    assert "1 of 2 done." in page
    assert "Ada Example · Pottery:" in page
    assert line.row("Ben").skipped


def test_no_rows_and_too_many_are_no_act(desk: Desk, line: Cast) -> None:
    assert desk.act("trainingenroll", "remove", reason=REASON).status_code == 303
    assert "Tick at least one row first." in desk.get("trainingenroll/").text
    many = [str(n) for n in range(1, 200)]
    assert desk.act("trainingenroll", "remove", *many, reason=REASON).status_code == 400


def test_somebody_is_enrolled_by_address(desk: Desk, line: Cast) -> None:
    dan = line.student("Dan")
    fields = {"where": str(line.pottery.id), "address": dan.user.email.upper()}
    assert desk.create("trainingenroll", **fields).status_code == 303
    assert status(line, "Dan") == "waitlist"
    assert desk.create("trainingenroll", **fields | {"address": "x@example.org"}).status_code == 400


def test_there_is_no_form_for_a_status(desk: Desk, line: Cast) -> None:
    row = line.row("Ben").id
    assert desk.get(f"trainingenroll/edit/?id={row}").status_code == 404
    assert desk.post(f"trainingenroll/edit/?id={row}", status="enrolled").status_code == 404
    assert status(line, "Ben") == "waitlist"


def test_the_history_names_who_did_what(desk: Desk, line: Cast) -> None:
    desk.act("trainingenroll", "remove", line.row("Ada").id, reason=REASON)
    page = desk.get("enrolmenthistory/").text
    assert "Orla Example" in page
    assert "place freed" in page
    assert REASON in page
    found = desk.csv("enrolmenthistory", f"?flt0_0={line.pottery.id}")
    assert len(found) == len(line.history()) + 1


def test_a_search_reads_names_of_students_and_trainings(desk: Desk, line: Cast) -> None:
    for asked, names in (
        ("ada", "A"),
        ("POTT", "AB"),
        ("example ben", "B"),
        ("%", ""),
        ("ada zz", ""),
    ):
        page = desk.get(f"trainingenroll/?search={asked}").text
        found = "".join(name[0] for name in ("Ada", "Ben") if f"{name} Example" in page)
        assert found == names, asked
