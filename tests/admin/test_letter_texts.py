"""Letter texts: whose goes out, what may be typed, how it looks, back to the shipped one (PA9)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app.admin.letter_names import LETTERS
from app.delivery import letter_texts, rendering
from app.extensions import utcnow
from app.models import LetterText, Practice
from app.services.letter_rules import RULES
from tests.admin.desk import Desk, form_values
from tests.cast import NOON, Cast
from tests.statements import count_statements

ENROLLED = "letter-text/edit/?key=enrolled&language=en"
GOOD = {
    "subject": "You are in: {{ training_name }}",
    "text": "Hello {{ recipient_name }}, see you at {{ practice_name }}.",
    "html": "<p>Hello {{ recipient_name }}, see you at <b>{{ practice_name }}</b>.</p>",
}
ODD = [
    "",
    "key=enrolled",
    "key=nonsense&language=en",
    "key=enrolled&language=xx",
    "key=enrolled&language=en&variant=short",
    "key=../layout&language=en",
]


def fill(desk: Desk, path: str = ENROLLED, **typed: str) -> TestResponse:
    """Open the form, change some parts and send it."""
    page = desk.get(path)
    assert page.status_code == 200
    return desk.post(path, **(form_values(page) | typed))


def texts(cast: Cast) -> list[LetterText]:
    cast.session.expire_all()
    return list(cast.session.scalars(sa.select(LetterText).order_by(LetterText.id)))


def own(cast: Cast, practice: Practice | None = None, **more: Any) -> LetterText:
    values = {"key": "enrolled", "language": "en", "updated_at": NOON} | GOOD | more
    where = practice or cast.practice
    row: LetterText = cast.add(LetterText(practice_id=where.id, **values))
    return row


# --- the letters there are -----------------------------------------------------------------------


def test_every_letter_is_listed_and_says_whose_text_goes_out(desk: Desk, cast: Cast) -> None:
    assert set(LETTERS) == set(RULES)
    page = desk.get("letter-text/").text
    for kind in RULES:
        assert f"key={kind}&amp;language=en" in page
        assert f"key={kind}&amp;language=nl" in page
    shipped = page.count("Shipped")
    assert (shipped, page.count("English goes out")) == (len(RULES), len(RULES))
    own(cast)
    own(cast, key="invited", variant="short", html="{{ nonsense }}")
    page = desk.get("letter-text/").text
    assert page.count("Shipped") == shipped - 1
    assert "variant=short" in page
    assert "Own, fails" in page


def test_every_shipped_letter_could_be_saved_as_it_is(
    web_app: Flask, cast: Cast, desk: Desk
) -> None:
    settings, now = web_app.extensions["settings"], utcnow()
    with web_app.test_request_context():
        for kind in RULES:
            tried_on = letter_texts.sample(cast.practice, kind, settings, now)
            wording = letter_texts.begin_with(kind, "en")
            assert letter_texts.faults(wording, tried_on) == {}, kind
            subject, text, html = letter_texts.preview(wording, tried_on)
            assert subject, kind
            assert "Clay &amp; Co" in html, kind
            assert "{{" not in text + html, kind


def test_a_letter_is_opened_with_the_text_that_goes_out_and_a_preview(
    desk: Desk, cast: Cast
) -> None:
    answer = desk.get("letter-text/edit/?key=invited&language=en")
    shipped = rendering.shipped("invited", "en")
    assert shipped
    values = form_values(answer)
    assert values["subject"] == shipped.subject
    assert values["html"].replace("\r\n", "\n") == shipped.html
    for name in ("deadline", "links.answer", "event.when", "{% for event in events %}"):
        assert f"<code>{name}" in answer.text
    assert "<code>attendee" not in answer.text
    assert "sandbox srcdoc=" in answer.text
    assert "A place is free for you: Pottery for beginners" in answer.text
    assert "style-src 'self' 'unsafe-inline'" in answer.headers["Content-Security-Policy"]


def test_the_list_costs_the_same_however_many_are_own(desk: Desk, cast: Cast) -> None:
    engine = Session(cast.session.get_bind())
    costs = []
    for kinds in (["enrolled"], ["accepted", "declined", "derolled", "expired"]):
        for kind in kinds:
            own(cast, key=kind)
        cast.session.commit()
        with count_statements(engine) as sent:
            assert desk.get("letter-text/").status_code == 200
        costs.append(len(sent))
    assert costs[0] == costs[1] <= 8


# --- writing one's own ---------------------------------------------------------------------------


def test_an_own_text_is_previewed_saved_changed_and_taken_back(desk: Desk, cast: Cast) -> None:
    looked = fill(desk, **GOOD, look="1")
    assert looked.status_code == 200
    assert "You are in: Pottery for beginners" in looked.text
    assert "see you at &lt;b&gt;Clay &amp;amp; Co&lt;/b&gt;" in looked.text  # in the frame
    assert form_values(looked)["text"] == GOOD["text"]
    assert texts(cast) == []  # looking saves nothing
    assert fill(desk, **GOOD).status_code == 303
    (row,) = texts(cast)
    assert (row.practice_id, row.key, row.language) == (cast.practice.id, "enrolled", "en")
    assert {part: getattr(row, part) for part in GOOD} == GOOD
    assert "is saved. It goes out from now on." in desk.get(ENROLLED).text
    assert fill(desk, subject="Welcome to {{ training_name }}").status_code == 303
    (row,) = texts(cast)
    assert row.subject == "Welcome to {{ training_name }}"
    back = ENROLLED.replace("/edit/", "/back/")
    assert "Your own text is deleted" in desk.post(back).text
    assert len(texts(cast)) == 1  # a question changes nothing
    assert desk.post(back, sure="1").status_code == 303
    assert texts(cast) == []
    assert desk.post(back, sure="1").status_code == 404


REFUSED = [
    ("subject", "", "Type a subject."),
    ("subject", "   ", "the subject is empty"),
    ("subject", "One\nTwo", "a subject has one line"),
    ("subject", "x" * 201, "at most 200 characters"),
    ("text", " \u200b ", "the text is empty"),
    ("text", "Hi\x07", "letters, digits and signs"),
    ("html", "<p>Hi</p>\n<p>{{ name }}</p>", "Line 2: there is no variable called name"),
    ("html", "Hi\n\n{{ attendees }}", "Line 3: there is no variable called attendees"),
    ("html", "{% if %}", "Line 1: "),
    ("html", "a\n{% if deadline %}b", "Line 2: "),
    ("text", "Hi\n{{ links.anwser }}", "Line 2: there is nothing called anwser here"),
    ("html", "{{ ''.__class__ }}", "a letter may not read __class__"),
    ("html", "{{ cycler() }}", "a letter may not use this: Call"),
    ("html", "{% include 'x' %}", "a letter may not use this: Include"),
    ("html", "{% if deadline %}{{ deadline }}{% endif %}", "the text is empty"),
    ("text", "x" * 70_000, "longer than 64 kB"),
    (
        "html",
        "Hi {% for a in events %}{% for b in events %}{{ a.when }} {{ b.when }}{% endfor %}"
        "{% endfor %}",
        "more than 64 kB",
    ),
    ("text", "Hello, see you soon", "does not name practice_name, recipient_name"),
]


def test_a_text_that_could_not_be_sent_is_refused_with_its_line(desk: Desk, cast: Cast) -> None:
    key = desk.client.key()
    for part, typed, said in REFUSED:
        fields = GOOD | {part: typed, "csrf_token": key}
        answer = desk.client.post(f"/admin/{ENROLLED}", data=fields)
        assert answer.status_code == 400, typed
        assert said in answer.text.replace("&#39;", "'"), typed
        kept = form_values(answer)
        for other in GOOD.keys() - {part}:
            assert kept[other].replace("\r\n", "\n") == GOOD[other]
        assert "<iframe" not in answer.text
    assert texts(cast) == []


def test_an_invitation_without_deadline_or_link_is_refused(desk: Desk, cast: Cast) -> None:
    path = ENROLLED.replace("enrolled", "invited")
    answer = desk.post(path, **GOOD)
    assert answer.status_code == 400
    assert answer.text.count("An invitation names the deadline and links.answer") == 4
    offer = " {{ deadline }} {{ links.answer }}"
    link = "Before {{ deadline }}: <a href='{{ links.answer }}'>Answer</a>"
    good = GOOD | {"text": GOOD["text"] + offer, "html": GOOD["html"] + link}
    for unseen in (
        offer,
        "Before {{ deadline }}: <b>{{ links.answer }}</b>",
        link.replace(">Answer<", "><"),
        f"{{% if 1 == 2 %}}{link}{{% endif %}}",
        "<a href='{{ links.answer }}' title='{{ deadline }}'>Answer</a>",
    ):
        answer = desk.post(path, **(good | {"html": GOOD["html"] + unseen}))
        assert answer.status_code == 400, unseen
        assert answer.text.count("An invitation names the deadline and links.answer") == 2
    assert fill(desk, path, **good).status_code == 303


UNSEEN = [
    ("<!-- {} -->Hi", "no comments"),
    ("<div hidden>{}</div>Hi", "hides nothing: leave out hidden"),
    ("<div style='display : none'>{}</div>Hi", "hides nothing: leave out style"),
    ("{}<script>alert(1)</script>", "has no <script>"),
    ("{}<iframe src='https://x.example'></iframe>", "has no <iframe>"),
    ("{}<style>p {{ display: none }}</style>", "has no <style>"),
    ("{}<b onclick='x()'>Hi</b>", "leave out onclick"),
    ("{}<img src='https://x.example/t.gif'>", "nothing from other places: leave out src"),
    ("{}<p style='background: url(//x.example)'>Hi</p>", "leave out url()"),
    ("{}<a href='javascript:x()'>Hi</a>", "leads to a page or an address"),
    ("{}<scr{{% if 1 == 1 %}}ipt>x</script>{{% endif %}}", "has no <script>"),
]


def test_what_hides_runs_or_fetches_is_refused_with_its_line(desk: Desk, cast: Cast) -> None:
    key = desk.client.key()
    for written, said in UNSEEN:
        fields = GOOD | {"html": "<p>Hello</p>\n" + written.format(GOOD["html"])}
        answer = desk.client.post(f"/admin/{ENROLLED}", data=fields | {"csrf_token": key})
        assert answer.status_code == 400, written
        wrong = answer.text.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", '"')
        assert "Line 2: a l" in wrong, written
        assert said in wrong, written
    assert texts(cast) == []
    fine = "<p style='margin-left: -4px; border-width: 0; width: 0.5em'>{}</p>"
    fine += "<img src='data:image/png;base64,AAAA' alt=''>"
    written = GOOD | {"html": fine.format(GOOD["html"])}
    assert fill(desk, **written).status_code == 303


def test_nobody_saves_over_what_a_colleague_saved_meanwhile(desk: Desk, cast: Cast) -> None:
    opened = form_values(desk.get(ENROLLED))
    row = own(cast, subject="A colleague's")
    late = desk.post(ENROLLED, **(opened | GOOD))
    assert late.status_code == 409
    assert "Somebody saved this letter meanwhile" in late.text
    cast.session.refresh(row)
    assert row.subject == "A colleague's"
    assert desk.post(ENROLLED, **form_values(late)).status_code == 303  # now knowingly
    assert [text.subject for text in texts(cast)] == [GOOD["subject"]]


# --- whose ---------------------------------------------------------------------------------------


def test_one_practice_never_sees_the_texts_of_another(desk: Desk, cast: Cast) -> None:
    mill = cast.add(Practice(name="Mill", shortname="mill"))
    theirs = own(cast, mill, subject="Of the Mill")
    assert "Own" not in desk.get("letter-text/").text
    assert "Of the Mill" not in desk.get(ENROLLED).text
    assert desk.post(ENROLLED.replace("/edit/", "/back/"), sure="1").status_code == 404
    assert fill(desk, **GOOD).status_code == 303
    cast.session.refresh(theirs)
    assert theirs.subject == "Of the Mill"
    assert [text.practice_id for text in texts(cast)] == [mill.id, cast.practice.id]


def test_an_odd_letter_is_not_found(desk: Desk) -> None:
    for odd in ODD:
        assert desk.get(f"letter-text/edit/?{odd}").status_code == 404, odd
        assert desk.post(f"letter-text/edit/?{odd}", **GOOD).status_code == 404, odd
        assert desk.post(f"letter-text/back/?{odd}", sure="1").status_code == 404, odd
