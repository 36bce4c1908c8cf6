"""Letters as they go out, from real rows to text, HTML and links (waitlist WM3–WM6, OB4)."""

from __future__ import annotations

import logging
import re
from datetime import datetime
from html.parser import HTMLParser

import pytest
import sqlalchemy as sa

from app.delivery import calendar, rendering
from app.delivery.rendering import Letter, Unrenderable, Untrue, compose
from app.models import (
    LetterText,
    LinkToken,
    OnBounce,
    Outbox,
    OutboxState,
    Role,
    TrainingEvent,
    UserSettings,
)
from app.services import letters, links, post, students, trainings, waitlist
from app.services.actors import CONSOLE, LINK
from app.services.letter_facts import is_for_trainers
from app.services.letter_reading import ABOUT_NO_TRAINING
from app.services.letter_rules import ONE_CAN_DO_WITHOUT, RULES
from app.services.letter_words import NAMES
from app.services.occurrence import Occurrence
from config import Settings
from tests.cast import DAY, DEADLINE, HOUR, MINUTE, NOON, REASON, SECOND, START, Cast
from tests.delivery.scenes import SETTINGS, by_hand, promised, row_of
from tests.statements import count_statements

BY = "Answer before Wed 4 March 2026, 13:00 (Amsterdam)"


def letter(cast: Cast, row: Outbox, now: datetime = NOON, settings: Settings = SETTINGS) -> Letter:
    made = compose(cast.session, [row], settings, now)[row.id]
    assert isinstance(made, Letter), made
    return made


def why_not(cast: Cast, row: Outbox, now: datetime = NOON) -> str:
    made = compose(cast.session, [row], SETTINGS, now)[row.id]
    assert isinstance(made, Untrue), made
    return made.reason


class Page(HTMLParser):
    """What a reader sees, the links, and whether every element that was opened is closed."""

    EMPTY = ("meta", "br", "img", "hr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        self.faults += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.text += data


# --- every letter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(RULES.keys() - ABOUT_NO_TRAINING))
def test_every_letter_makes_sense_from_real_rows(cast: Cast, key: str) -> None:
    row = promised(cast, key)
    made = letter(cast, row)
    page = Page(made.html)
    assert page.faults == []
    for said in (made.subject, made.text, page.text):
        assert "Pottery" in said
        assert not re.search(r"\{\{|\}\}|\{%|None|!", said)
    assert re.findall(r"https?://\S+", made.text) == page.links != []
    assert all(link.startswith("https://clay.example.org/") for link in page.links)
    assert "<style" not in made.html
    assert len(made.html.encode()) < 40_000
    assert len(made.subject) <= 60
    to_trainer = is_for_trainers(key)
    assert made.text.startswith("Hello Tess," if to_trainer else "Hello Ben,")
    assert (made.sender, made.sender_name) == ("noreply@clay.example.org", "Clay & Co")
    assert made.to.startswith("tess-" if to_trainer else "ben-")
    assert made.to_name == ("Tess Example" if to_trainer else "Ben Example")
    assert made.language == "en"
    assert (made.unsubscribe is not None) == (key in (*ONE_CAN_DO_WITHOUT, "open_spot"))
    assert (made.calendar is not None) == (key in calendar.STATUS)
    _names_are_shown_and_do_nothing(cast, row)


def _names_are_shown_and_do_nothing(cast: Cast, row: Outbox) -> None:  # B48
    name = '<script>alert(1)</script> {{7*7}} =HYPERLINK("x") \u202egnirts'
    for user in (cast.student("Ben").user, cast.tess.user):
        user.first_name, user.last_name = name, ""
    cast.pottery.name = "Pottery\r\nBcc: eve@example.org"
    cast.session.flush()
    made = letter(cast, row)
    shown = '<script>alert(1)</script> {{7*7}} =HYPERLINK("x") gnirts'
    assert made.text.startswith(f"Hello {shown},")
    assert f"Hello {shown}," in Page(made.html).text
    assert "<script" not in made.html
    assert "\u202e" not in made.text + made.html + made.to_name
    assert "\n" not in made.subject + made.to_name + made.sender_name
    assert "\nBcc:" not in made.text


def test_the_deadline_stands_in_full_in_subject_text_and_html(cast: Cast) -> None:
    row = promised(cast, "invited")
    made = letter(cast, row)
    assert made.subject == "A place is free for you: Pottery"
    assert BY in made.text
    assert BY in Page(made.html).text
    assert "You have 2 days to accept" in made.text
    assert "Wed 1 April 2026, 14:00 – 17:00 (Amsterdam)" in made.text
    assert "The Mill, Dam 1, Delft" in made.text
    assert "You have 1 day and 22 hours to" in letter(cast, row, NOON + HOUR + MINUTE).text


def test_who_has_no_deadline_is_asked_to_answer_soon(cast: Cast) -> None:
    row = promised(cast, "invited")
    cast.row("Ben").invite_expires_at = None
    cast.session.flush()
    made = letter(cast, row)
    assert "Answer before" not in made.text
    assert "Please answer soon" in made.text


def test_a_place_in_line_is_told_with_its_length(cast: Cast) -> None:
    assert "You are number 1 of 2 in line." in letter(cast, promised(cast, "waitlisted")).text


def test_a_person_without_a_name_is_greeted_too(cast: Cast) -> None:
    row = promised(cast, "enrolled")
    cast.student("Ben").user.first_name = cast.student("Ben").user.last_name = ""
    cast.session.flush()
    assert letter(cast, row).text.startswith("Hello there,")


def test_the_reason_of_a_cancellation_is_told(cast: Cast) -> None:
    assert "The reason: a good reason" in letter(cast, promised(cast, "training_cancelled")).text


def test_trainers_read_who_did_it_and_why_and_students_do_not(cast: Cast) -> None:
    ben = cast.in_status("waitlist-invited")
    waitlist.deinvite(cast.session, ben, cast.max, NOON, "behaves badly")
    rows = cast.session.scalars(sa.select(Outbox).where(Outbox.kind.like("expired%"))).all()
    made = compose(cast.session, rows, SETTINGS, NOON)
    told = {row.kind: made[row.id] for row in rows}
    to_ben, to_tess = told["expired"], told["expired_trainer"]
    assert isinstance(to_ben, Letter)
    assert isinstance(to_tess, Letter)
    assert "Max Example" in to_tess.text
    assert "behaves badly" in to_tess.text
    assert "Max" not in to_ben.text
    assert "badly" not in to_ben.text
    assert "The time to answer ended" not in to_ben.text  # it never came to that


# --- what happened is said as it was --------------------------------------------------------------


def told(cast: Cast, kind: str, now: datetime = NOON) -> str:
    """The text of the last letter of a kind about Ben."""
    return letter(cast, row_of(cast, kind), now).text


def test_an_invitation_that_staff_ended_did_not_run_out(cast: Cast) -> None:
    ben = cast.in_status("waitlist-invited")
    waitlist.deinvite(cast.session, ben, cast.max, NOON, REASON)
    assert "has been ended by Clay & Co" in told(cast, "expired")
    assert "was ended early" in told(cast, "expired_trainer")
    assert "without an answer" not in told(cast, "expired") + told(cast, "expired_trainer")


def test_an_invitation_that_ran_out_has_ended_without_an_answer(cast: Cast) -> None:
    cast.expire(cast.in_status("waitlist-invited"))
    for kind in ("expired", "expired_trainer"):
        assert "has ended without an answer" in told(cast, kind, DEADLINE)


def test_an_invitation_that_was_released_by_a_bounce_was_ended(cast: Cast) -> None:
    cast.practice.on_bounce = OnBounce.RELEASE
    cast.in_status("waitlist-invited")
    row = row_of(cast, "invited")
    row.state, row.ended_at = OutboxState.SENT, NOON
    cast.session.flush()
    post.bounced(cast.session, row.id, "bounced: 5.1.1", CONSOLE, NOON + HOUR)
    assert "could not be delivered" in told(cast, "expired_trainer")
    warned = told(cast, "undelivered_trainer")
    assert "no longer open" in warned
    assert "The next person in line has been invited." in warned
    assert "end the invitation" not in warned


def test_a_student_who_cannot_be_reached_is_told_of_as_such(cast: Cast) -> None:
    cast.in_status("enrolled")
    row = row_of(cast, "enrolled")
    row.state, row.ended_at = OutboxState.SENT, NOON
    cast.session.flush()
    post.bounced(cast.session, row.id, "bounced: 5.1.1", CONSOLE, NOON)
    made = letter(cast, row_of(cast, "undelivered_trainer"))
    assert made.subject == "We cannot reach someone: Pottery"
    assert "did not reach Ben Example" in made.text
    assert "invitation" not in made.text


def test_whose_place_was_declined_by_staff_did_not_decline(cast: Cast) -> None:
    waitlist.decline(cast.session, cast.in_status("waitlist-invited"), cast.max, NOON)
    made = letter(cast, row_of(cast, "declined"))
    assert made.subject == "Your invitation was declined: Pottery"
    assert "Clay & Co declined the place in Pottery for you." in made.text
    assert "You declined" not in made.text + made.html
    assert "declined on their behalf" in told(cast, "declined_trainer")


def test_who_declined_is_thanked(cast: Cast) -> None:
    made = letter(cast, promised(cast, "declined"))
    assert made.subject == "You declined your place: Pottery"
    assert "You declined the place in Pottery. Thank you for telling us." in made.text


@pytest.mark.parametrize("someone_waits", [True, False])
@pytest.mark.parametrize("key", ["derolled_trainer", "declined_trainer", "expired_trainer"])
def test_the_next_in_line_is_spoken_of_only_if_invited(
    cast: Cast, key: str, someone_waits: bool
) -> None:
    if key == "derolled_trainer":
        ben, act = cast.enrol("Ben"), cast.leave
    else:
        ben = cast.offer("Ben")[0]
        act = cast.decline if key == "declined_trainer" else cast.expire  # type: ignore[assignment]
    if someone_waits:
        cast.enrol("Cleo")
    act(ben)
    now = DEADLINE if key == "expired_trainer" else NOON
    said = told(cast, key, now)
    assert ("The next person in line has been invited." in said) is someone_waits
    assert "if anyone waits" not in said
    if key != "derolled_trainer":
        to_ben = told(cast, key.removesuffix("_trainer"), now)
        assert ("offered to the next in line" in to_ben) is someone_waits


@pytest.mark.parametrize("deadline", [True, False])
def test_a_new_timetable_asks_whoever_is_invited_for_an_answer(cast: Cast, deadline: bool) -> None:
    row = promised(cast, "training_rescheduled")
    assert "Your invitation is still open" not in letter(cast, row).text
    cast.leave(cast.row("Ada"))
    if not deadline:
        cast.row("Ben").invite_expires_at = None
        cast.session.flush()
    made = letter(cast, row)
    assert "Your invitation is still open." in made.text
    assert (BY in made.text) is deadline
    assert "Nothing else changes" not in made.text
    found = links.find(cast.session, token_in(made.text, "invitations"), "answer", NOON)
    assert found is not None
    assert found.invite_no == cast.row("Ben").invite_no == 1


def test_an_invitation_without_a_deadline_speaks_of_none(cast: Cast) -> None:
    row = promised(cast, "invited_trainer")
    assert "Without an answer by then" in letter(cast, row).text
    cast.row("Ben").invite_expires_at = None
    cast.session.flush()
    assert "by then" not in letter(cast, row).text


def test_a_reminder_of_the_last_day_names_no_day_that_is_over(cast: Cast) -> None:
    for n in (1, 2):
        at = START + n * DAY
        cast.pottery.events.append(TrainingEvent(start_time=at, end_time=at + HOUR))
    cast.in_status("enrolled")
    last = Occurrence(str(cast.pottery.id), START + 2 * DAY, NOON)
    letters.reminder_student(cast.session, cast.schedule.id, last, NOON)
    said = told(cast, "reminder_student", START + DAY + 2 * HOUR)
    assert "Fri 3 April 2026" in said
    assert "Wed 1 April 2026" not in said
    assert "Thu 2 April 2026" not in said


@pytest.mark.parametrize("key", sorted(filter(is_for_trainers, RULES)))
def test_a_trainer_can_change_how_often_we_write(cast: Cast, key: str) -> None:
    here = "https://clay.example.org/me/notifications"
    asked = key != "undelivered_trainer"  # that one goes out whatever they chose
    assert (here in Page(letter(cast, promised(cast, key)).html).links) is asked


def test_a_long_name_does_not_widen_a_letter(cast: Cast) -> None:
    html = letter(cast, promised(cast, "enrolled")).html
    assert html.count("table-layout: fixed") == 2
    assert html.count("overflow-wrap: anywhere") == 2


def test_who_was_erased_is_nobody_in_a_letter_to_trainers(cast: Cast) -> None:
    row = promised(cast, "waitlisted_trainer")
    students.erase(cast.session, cast.student("Ben"), cast.max, NOON)
    made = letter(cast, row)
    assert "Former student" in made.text
    assert "erased" not in made.text


# --- what is no longer true is not sent (OB4) -----------------------------------------------------


@pytest.mark.parametrize("key", ["invited", "invite_reminder", "deadline_changed"])
def test_an_invitation_goes_out_until_its_deadline_and_not_from_then_on(
    cast: Cast, key: str
) -> None:
    row = promised(cast, key)
    deadline = cast.row("Ben").invite_expires_at
    assert deadline is not None
    assert letter(cast, row, deadline - SECOND)
    assert why_not(cast, row, deadline) == "the deadline has passed"


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda cast: cast.accept(cast.row("Ben")), "now enrolled"),
        (lambda cast: cast.decline(cast.row("Ben")), "now waitlist-declined"),
        (lambda cast: cast.expire(cast.row("Ben")), "now waitlist-invite-expired"),
    ],
)
def test_an_invitation_that_was_answered_is_not_mailed(cast: Cast, act, why: str) -> None:  # type: ignore[no-untyped-def]
    row = promised(cast, "invited")
    act(cast)
    assert why_not(cast, row) == why


def invite_again(cast: Cast) -> None:
    cast.pottery.max_participants = 2
    cast.session.flush()
    waitlist.invite(cast.session, cast.row("Ben"), cast.max, NOON, reason="one more time")


def test_an_older_invitation_is_not_mailed_for_a_newer_one(cast: Cast) -> None:
    row = promised(cast, "invited")
    waitlist.return_to_list(cast.session, cast.row("Ben"), cast.max, NOON, "one more time")
    invite_again(cast)
    assert cast.row("Ben").invite_no == 2
    assert why_not(cast, row) == "there is a newer invitation"


@pytest.mark.parametrize(
    "key",
    ["reminder_student", "reminder_trainer", "reminder_waitlist", "open_spot", "attendee_list"],
)
def test_a_reminder_goes_out_until_the_training_starts_and_not_from_then_on(
    cast: Cast, key: str
) -> None:
    row = promised(cast, key)
    assert letter(cast, row, START - SECOND)
    assert why_not(cast, row, START) == "it has started"


def test_a_reminder_of_a_meeting_that_is_gone_is_not_sent(cast: Cast) -> None:
    ben = cast.in_status("enrolled")
    there = by_hand(cast, "reminder_student", ben, event=cast.pottery.events[0].id)
    assert letter(cast, there)
    there.payload = {"event": 999}
    cast.session.flush()
    assert why_not(cast, there) == "that meeting is gone"


def test_who_waits_reads_place_and_answer_time_and_may_stay_or_go(cast: Cast) -> None:  # WB, WK4
    made = letter(cast, promised(cast, "reminder_waitlist"))
    assert "You are number 1 of 2 in line." in made.text
    assert "You then have 2 days to answer" in made.text
    both = re.findall(r"/waitlist/(\S+)", made.text)
    purposes = ("keep", "leave")
    found = [links.find(cast.session, *pair, NOON) for pair in zip(both, purposes, strict=True)]
    assert [link.enrolment_id for link in found if link] == 2 * [cast.row("Ben").id]


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda cast: cast.leave(cast.row("Ada")), "now waitlist-invited"),
        (lambda cast: students.deactivate(cast.session, cast.student("Ben"), cast.max, NOON),
         "inactive account"),
        (lambda cast: students.want_reminders(cast.session, cast.student("Ben").user_id, False),
         "opted out"),
    ],
)  # fmt: skip
def test_who_can_t_be_invited_or_wants_none_is_not_reminded_of_waiting(  # type: ignore[no-untyped-def]
    cast: Cast, act, why: str
) -> None:
    row = promised(cast, "reminder_waitlist")
    act(cast)
    assert why_not(cast, row) == why


def test_a_free_place_is_announced_as_long_as_it_is_free_for_them(cast: Cast) -> None:  # WB
    row = promised(cast, "open_spot")
    assert f"https://clay.example.org/trainings/{cast.pottery.id}" in letter(cast, row).text
    ben = cast.enrol("Ben")
    assert why_not(cast, row) == "nothing they could join, or want to hear of"
    cast.leave(ben)
    assert letter(cast, row)
    cast.enrol("Ada")
    assert why_not(cast, row) == "no place is free any more"
    trainings.deactivate(cast.session, cast.pottery.id, cast.max, NOON)
    assert why_not(cast, row) == "nothing they could join, or want to hear of"


def test_the_list_of_attendees_has_names_phones_and_a_total_escaped(cast: Cast) -> None:  # WB
    cast.pottery.max_participants = 3
    row = promised(cast, "attendee_list")
    ben, dora = cast.student("Ben").user, cast.student("Dora").user
    ben.first_name, ben.phone = "<b>Ben</b>", "+31612345678"
    cast.enrol("Dora")
    dora.first_name = dora.last_name = ""
    made = letter(cast, row)
    assert "1. " + dora.email + "\n" in made.text
    assert re.search(r"\n\d\. <b>Ben</b> Example, \+31612345678\n", made.text)
    assert "3 people in all." in made.text
    assert "&lt;b&gt;Ben&lt;/b&gt; Example" in made.html
    assert made.html.count(dora.email) == 1


def test_a_list_on_which_nobody_is_left_is_not_sent(cast: Cast) -> None:
    row = promised(cast, "attendee_list")
    cast.leave(cast.row("Ben"))  # Cleo is invited, not enrolled
    assert why_not(cast, row) == "nobody is enrolled any more"


def test_who_left_is_not_reminded(cast: Cast) -> None:
    row = promised(cast, "reminder_student")
    cast.leave(cast.row("Ben"))
    assert why_not(cast, row) == "now derolled"


@pytest.mark.parametrize(
    ("key", "act", "why"),
    [
        ("enrolled", lambda cast: cast.leave(cast.row("Ben")), "now derolled"),
        ("waitlisted", lambda cast: cast.leave(cast.row("Ada")), "now waitlist-invited"),
        ("derolled", lambda cast: cast.enrol("Ben"), "now waitlist"),
        ("declined", lambda cast: cast.enrol("Ben"), "now waitlist"),
        ("invitation_withdrawn", lambda cast: invite_again(cast), "now waitlist-invited"),
    ],
)
def test_what_the_row_no_longer_says_is_not_told(cast: Cast, key: str, act, why: str) -> None:  # type: ignore[no-untyped-def]
    row = promised(cast, key)
    act(cast)
    assert why_not(cast, row) == why


def test_what_happened_is_told_to_trainers_whatever_came_after(cast: Cast) -> None:
    row = promised(cast, "invited_trainer")
    assert "The answer is due before" in letter(cast, row).text
    cast.decline(cast.row("Ben"))
    made = letter(cast, row)
    assert "Ben Example has been invited" in made.text
    assert "The answer is due before" not in made.text


@pytest.mark.parametrize(
    ("field", "why"), [("erased_at", "erased"), ("undeliverable_at", "undeliverable")]
)
def test_who_cannot_be_written_to_is_not(cast: Cast, field: str, why: str) -> None:
    for key, user in (("enrolled", cast.student("Ben").user), ("enrolled_trainer", cast.tess.user)):
        row = promised(cast, key)
        setattr(user, field, NOON)
        cast.session.flush()
        assert why_not(cast, row) == why


def test_who_opted_out_meanwhile_is_not_written_to(cast: Cast) -> None:
    row = promised(cast, "enrolled")
    cast.wont_mail("Ben")
    assert why_not(cast, row) == "opted out"


def test_who_no_longer_teaches_is_told_nothing_of_students(cast: Cast) -> None:
    row = promised(cast, "enrolled_trainer")
    cast.pottery.trainers.clear()
    cast.session.flush()
    assert why_not(cast, row) == "no longer teaches this"


def test_the_office_need_not_teach(cast: Cast) -> None:
    row = promised(cast, "undelivered_trainer")
    tess = cast.tess.user
    tess.practice_id = cast.practice.id
    tess.roles.append(cast.add(Role(name="admin")))
    cast.pottery.trainers.clear()
    cast.session.flush()
    assert "could not deliver" in letter(cast, row).text
    tess.roles.clear()
    cast.session.flush()
    assert why_not(cast, row) == "no longer teaches this"


def test_whose_account_was_deactivated_is_told_nothing_of_students(cast: Cast) -> None:
    row = promised(cast, "enrolled_trainer")
    cast.tess.user.active = False
    cast.session.flush()
    assert why_not(cast, row) == "inactive account"


def test_a_row_about_nothing_stops_no_other(cast: Cast) -> None:
    good = promised(cast, "enrolled")
    unknown = by_hand(cast, "no_such_letter")
    nowhere = by_hand(cast, "reminder_trainer")
    nowhere.payload = {"training": 10**9}
    cast.session.flush()
    made = compose(cast.session, [unknown, nowhere, good], SETTINGS, NOON)
    assert isinstance(made[good.id], Letter)
    assert isinstance(made[unknown.id], Unrenderable)
    assert isinstance(made[nowhere.id], Untrue)


# --- texts of a practice's own (WM4) --------------------------------------------------------------


def own_text(cast: Cast, key: str = "enrolled", **more: str) -> LetterText:
    values = {
        "language": "en",
        "subject": "Welkom bij {{ training_name }}",
        "text": "Own {{ training_name }}",
        "html": "<p>Own {{ training_name }}</p>",
    } | more
    return cast.add(LetterText(practice_id=cast.practice.id, key=key, updated_at=NOON, **values))


def test_a_practice_words_its_letters_itself(cast: Cast) -> None:
    row = promised(cast, "enrolled")
    own_text(cast)
    made = letter(cast, row)
    assert (made.subject, made.text) == ("Welkom bij Pottery", "Own Pottery\n")
    assert "Own Pottery" in Page(made.html).text


@pytest.mark.parametrize(
    "bad",
    [
        {"text": "{{ nobody }}"},
        {"html": "<p>{{ links.nowhere }}</p>"},
        {"html": "<p>&nbsp;</p>"},
        {"text": "{{ reason }}"},
        {"subject": "{{ reason }}"},
        {"html": "{% include 'x' %}"},
        {"text": "{{ training_name.__class__ }}"},
        {"text": "x" * 70_000},
        {"text": "{{ place|first }}"},
    ],
)
def test_an_own_text_that_fails_is_replaced_and_reported_never_sent_blank(  # WX18, F32
    cast: Cast, bad: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    row = promised(cast, "enrolled")
    own_text(cast, **bad)
    with caplog.at_level(logging.ERROR, "app.delivery"):
        made = letter(cast, row)
    assert made.subject == "You have a place: Pottery"
    (alert,) = caplog.messages
    assert f"letter=enrolled language=en practice={cast.practice.id} own=True" in alert
    assert "Ben" not in alert


def test_a_variant_goes_before_the_usual_text(cast: Cast) -> None:
    ben = cast.in_status("enrolled")
    row = by_hand(cast, "reminder_student", ben, variant="short")
    own_text(cast, "reminder_student", variant="short", text="Short")
    own_text(cast, "reminder_student", text="Usual")
    own_text(cast, "reminder_student", variant="other", text="Other")
    assert letter(cast, row).text == "Short\n"
    row.payload = {}
    cast.session.flush()
    assert letter(cast, row).text == "Usual\n"


def test_a_reader_gets_their_language_if_there_is_a_text_in_it(cast: Cast) -> None:
    row = promised(cast, "enrolled")
    cast.add(UserSettings(user_id=cast.student("Ben").user_id, language="nl"))
    cast.session.expire_all()
    assert letter(cast, row).language == "en"  # the folder is missing
    own_text(cast, language="nl", text="{{ (events|first).start }}")
    made = letter(cast, row)
    assert (made.language, made.text) == ("nl", "wo 1 april 2026, 14:00 (Amsterdam)\n")
    cast.student("Ben").user.settings.language = "nl-BE"
    cast.session.flush()
    assert letter(cast, row).language == "nl"


def test_a_language_nobody_knows_falls_back(cast: Cast) -> None:
    row = promised(cast, "enrolled")
    cast.practice.language = "xx"
    cast.add(UserSettings(user_id=cast.student("Ben").user_id, language="../../etc"))
    cast.session.expire_all()
    assert letter(cast, row).language == "en"
    own_text(cast, language="xx")
    own_text(cast, language="../../etc")
    assert letter(cast, row).language == "en"


def test_another_practices_text_is_not_ours(cast: Cast) -> None:
    from app.models import Practice

    row = promised(cast, "enrolled")
    other = cast.add(Practice(name="Other", shortname="other"))
    own_text(cast).practice_id = other.id
    cast.session.flush()
    assert letter(cast, row).subject == "You have a place: Pottery"


def test_a_letter_whose_shipped_text_fails_is_given_up_with_a_reason(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, good = promised(cast, "enrolled"), promised(cast, "enrolled_trainer")
    broken = rendering.Wording("{{ training_name }}", "{{ nobody }}", "<p>x</p>", "en")
    real = rendering.shipped
    monkeypatch.setattr(
        rendering, "shipped", lambda kind, lang: broken if kind == "enrolled" else real(kind, lang)
    )
    made = compose(cast.session, [row, good], SETTINGS, NOON)
    assert isinstance(made[good.id], Letter)
    failed = made[row.id]
    assert isinstance(failed, Unrenderable)
    assert "nobody" in str(failed)


# --- links ----------------------------------------------------------------------------------------


def token_in(text: str, path: str) -> str:
    found = re.search(rf"/{path}/(\S+)", text)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("key", "path", "purpose"),
    [
        ("invited", "invitations", "answer"),
        ("invite_reminder", "invitations", "answer"),
        ("deadline_changed", "invitations", "answer"),
        ("waitlisted", "waitlist", "leave"),
        ("declined", "waitlist", "re-enable"),
        ("expired", "waitlist", "re-enable"),
        ("reminder_student", "unsubscribe", "unsubscribe"),
        ("reminder_waitlist", "unsubscribe", "unsubscribe"),
    ],
)
def test_the_link_of_a_letter_stands_for_its_enrolment(
    cast: Cast, key: str, path: str, purpose: str
) -> None:
    row = promised(cast, key)
    made = letter(cast, row)
    found = links.find(cast.session, token_in(made.text, path), purpose, NOON)
    assert found is not None
    ben = cast.row("Ben")
    assert (found.enrolment_id, found.user_id) == (ben.id, cast.student("Ben").user_id)
    assert found.invite_no == ben.invite_no
    if key in ONE_CAN_DO_WITHOUT:
        assert made.unsubscribe == f"https://clay.example.org/{path}/{token_in(made.text, path)}"


def test_the_same_letter_again_has_the_same_link(cast: Cast) -> None:
    row = promised(cast, "invited")
    first, again = letter(cast, row), letter(cast, row, NOON + HOUR)
    assert token_in(first.text, "invitations") == token_in(again.text, "invitations")
    assert cast.session.scalar(sa.select(sa.func.count()).select_from(LinkToken)) == 1


def test_without_any_key_letters_lead_to_my_trainings(cast: Cast) -> None:
    row = promised(cast, "invited")
    made = letter(cast, row, settings=Settings(_env_file=None, web_port=8123))
    mine = f"http://127.0.0.1:8123/me/trainings/{cast.row('Ben').uuid}"
    assert set(Page(made.html).links) == {mine}
    assert made.sender == "noreply@localhost.localdomain"
    assert cast.session.scalar(sa.select(sa.func.count()).select_from(LinkToken)) == 0


def test_a_key_is_made_from_the_secret_key_and_is_not_it() -> None:
    secret = "s" * 40
    (key,) = rendering.link_keys(Settings(_env_file=None, secret_key=secret))
    assert len(key) >= 32
    assert secret.encode() not in key
    given = rendering.link_keys(Settings(_env_file=None, secret_key=secret, link_keys=["a", "b"]))
    assert given == [b"a", b"b"]


def test_nobody_is_asked_to_unsubscribe_by_a_link_that_does_not_work(cast: Cast) -> None:
    row = promised(cast, "reminder_student")
    assert letter(cast, row, settings=Settings(_env_file=None)).unsubscribe is None


def test_a_letter_that_is_not_sent_makes_no_link(cast: Cast) -> None:
    row = promised(cast, "invited")
    waitlist.accept(cast.session, cast.row("Ben"), LINK, NOON)
    compose(cast.session, [row], SETTINGS, NOON)
    assert cast.session.scalar(sa.select(sa.func.count()).select_from(LinkToken)) == 0


def test_the_practice_and_then_the_settings_name_the_sender(cast: Cast) -> None:
    row = promised(cast, "enrolled")
    named = SETTINGS.model_copy(update={"mail_sender": "post@example.org"})
    assert letter(cast, row, settings=named).sender == "post@example.org"
    cast.practice.sender = "clay@example.org"
    cast.session.flush()
    assert letter(cast, row, settings=named).sender == "clay@example.org"


# --- many -----------------------------------------------------------------------------------------


def _many(cast: Cast, count: int) -> list[Outbox]:
    training = cast.several(count, places=count // 2)
    training.name = f"Weaving {count}"
    waitlist.fill_open_spots(cast.session, training.id, NOON)
    mine = sa.select(Outbox).where(Outbox.kind.like("invited%")).order_by(Outbox.id.desc())
    return list(cast.session.scalars(mine.limit(count)))


def test_many_letters_take_as_many_statements_as_few(cast: Cast) -> None:
    sent = {}
    for count in (4, 40):
        rows = _many(cast, count)
        cast.session.expunge_all()
        with count_statements(cast.session) as statements:
            made = compose(cast.session, rows, SETTINGS, NOON)
        assert len(made) == count
        assert all(isinstance(one, Letter) for one in made.values())
        sent[count] = len(statements)
    assert sent[4] == sent[40] <= 10


def test_nobody_writes_before_the_letters_are_made(cast: Cast) -> None:  # L6
    rows = _many(cast, 4)
    with count_statements(cast.session) as statements:
        compose(cast.session, rows, SETTINGS, NOON)
    assert [s.split()[0] for s in statements[:-1]] == ["SELECT"] * (len(statements) - 1)
    assert statements[-1].startswith("INSERT INTO link_token")


def test_nothing_to_compose_asks_nothing(cast: Cast) -> None:
    with count_statements(cast.session) as statements:
        assert compose(cast.session, [], SETTINGS, NOON) == {}
    assert statements == []


def test_the_letters_variables_are_the_declared_ones(cast: Cast) -> None:
    from app.services.letter_facts import Facts
    from app.services.letter_reading import gather
    from app.services.letter_words import variables

    row = promised(cast, "invited")
    facts = gather(cast.session, [row], NOON)[row.id]
    assert isinstance(facts, Facts)
    assert set(variables(facts, {}, NOON)) == NAMES


# --- reminders as their services promise them -----------------------------------------------------


def test_a_reminder_of_one_meeting_speaks_of_that_one(cast: Cast) -> None:
    at = START + 7 * DAY
    cast.pottery.events.append(TrainingEvent(start_time=at, end_time=at + HOUR))
    cast.in_status("enrolled")
    second = cast.pottery.events[1]
    coming = Occurrence(f"{cast.pottery.id}:{second.id}", at, NOON)
    letters.reminder_student(cast.session, cast.schedule.id, coming, NOON)
    row = row_of(cast, "reminder_student")
    made = letter(cast, row, at - SECOND)
    assert "Wed 8 April 2026" in made.text
    assert "Wed 1 April 2026" not in made.text
    assert why_not(cast, row, at) == "it has started"


def test_a_reminder_of_the_first_meeting_is_late_once_that_has_begun(cast: Cast) -> None:
    at = START + 7 * DAY
    cast.pottery.events.append(TrainingEvent(start_time=at, end_time=at + HOUR))
    row = promised(cast, "reminder_student")
    assert letter(cast, row, START - SECOND)
    assert why_not(cast, row, START) == "it has started"


def test_a_reminder_of_what_was_moved_forward_is_late_sooner(cast: Cast) -> None:
    row = promised(cast, "reminder_student")
    cast.pottery.events[0].start_time = START - 7 * DAY
    cast.session.flush()
    assert why_not(cast, row, START - 7 * DAY) == "it has started"
