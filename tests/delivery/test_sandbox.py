"""What the texts of letters may say, and that nothing else gets through (SE11, F51, B49, WX19)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from app.delivery.sandbox import (
    LONGEST_TEXT,
    BadText,
    TextFailed,
    check,
    check_letter,
    check_subject,
    is_blank,
    render,
    subject_line,
    variables,
)
from app.services.letter_words import NAMES

FACTS: dict[str, Any] = {
    "training_name": "Pottery",
    "student_name": "Ben",
    "deadline": "Wed 4 March 2026, 13:00 (Amsterdam)",
    "place": 2,
    "events": [
        {"when": "Monday", "location": "Mill", "starts_at": "2026-04-06T14:00:00+02:00"},
        {"when": "Tuesday", "location": "", "starts_at": "2026-04-07T14:00:00+02:00"},
    ],
    "attendees": [{"name": "Ada"}, {"name": "Ben"}],
    "links": {"answer": "https://example.org/invitations/abc"},
    "reason": "",
}


@pytest.fixture(autouse=True)
def _in_an_app() -> Any:
    """Dates are said in the locale of an application."""
    app = Flask(__name__)
    from app.extensions import babel

    babel.init_app(app)
    with app.app_context():
        yield


# --- attacks --------------------------------------------------------------------------------------

REFUSED = {
    "class of a text": "{{ training_name.__class__ }}",
    "class by subscript": "{{ training_name['__class__'] }}",
    "class by attr": "{{ training_name|attr('__class__') }}",
    "class by map": "{{ events|map(attribute='__class__')|list }}",
    "class of a constant": "{{ ''.__class__.__mro__ }}",
    "subclasses": "{{ ().__class__.__base__.__subclasses__() }}",
    "format string": "{{ '{0.__class__}'.format(training_name) }}",
    "format filter": "{{ '%s'|format(training_name) }}",
    "percent": "{{ '%1000000000s' % 'x' }}",
    "globals of a function": "{{ self.__init__.__globals__ }}",
    "globals of a helper": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "lipsum": "{{ lipsum.__globals__ }}",
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "namespace": "{% set ns = namespace(x=1) %}",
    "set": "{% set a = 'x' %}{{ a }}",
    "macro": "{% macro m() %}x{% endmacro %}",
    "include": "{% include 'letters/layout.html' %}",
    "import": "{% import 'os' as os %}",
    "extends": "{% extends 'layout.html' %}",
    "block": "{% block a %}{% endblock %}",
    "call block": "{% call m() %}{% endcall %}",
    "filter block": "{% filter upper %}x{% endfilter %}",
    "with": "{% with a = 1 %}{{ a }}{% endwith %}",
    "autoescape off": "{% autoescape false %}{{ training_name }}{% endautoescape %}",
    "safe": "{{ training_name|safe }}",
    "power": "{{ 9**9**9 }}",
    "product": "{{ 'x' * 1000000000 }}",
    "sum": "{{ training_name + training_name }}",
    "concatenation": "{{ training_name ~ training_name }}",
    "a call of a method": "{{ training_name.upper() }}",
    "a call of a query": "{{ student_name.query.delete() }}",
    "a slice": "{{ training_name[0:1] }}",
    "a list": "{% for a in [1, 2, 3] %}x{% endfor %}",
    "a loop over a text": "{% for a in training_name %}x{% endfor %}",
    "a loop over a constant": "{% for a in 'xxxxxxxx' %}x{% endfor %}",
    "a recursive loop": "{% for a in events recursive %}{{ loop(events) }}{% endfor %}",
    "three loops": "{% for a in events %}{% for b in events %}{% for c in events %}"
    "x{% endfor %}{% endfor %}{% endfor %}",
    "a loop that renames": "{% for links in events %}x{% endfor %}",
    "a loop over pairs": "{% for a, b in events %}x{% endfor %}",
    "a cycle": "{% for a in events %}{{ loop.cycle('x', 'y') }}{% endfor %}",
    "the neighbour's class": "{% for a in events %}{{ loop.previtem.__class__ }}{% endfor %}",
    "an unknown variable": "{{ config }}",
    "the request": "{{ request.environ }}",
    "the session": "{{ session.query }}",
    "an underscored field": "{{ links._answer }}",
    "a keyword of a filter": "{{ events|join(attribute='__class__') }}",
    "a field by join": "{{ events|join(',', '__class__')|attr('x') }}",
    "an unlisted test": "{{ training_name is callable }}",
    "a broken tag": "{% if training_name %}",
    "too many brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "too many nots": "{{ " + "not " * 300 + "place }}",
    "an endless number": "{{ " + "9" * 6000 + " }}",
    "a megabyte": "x" * 1_000_000,
}


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("html", [False, True], ids=["text", "html"])
def test_an_attack_is_refused_before_it_runs(attack: str, html: bool) -> None:
    with pytest.raises(BadText) as no:
        check(attack, NAMES, html=html)
    assert (no.value.code, no.value.status, no.value.line) == ("bad_text", 400, 1)
    with pytest.raises(BadText):
        render(attack, FACTS, names=NAMES, html=html)


INERT = {
    "a method": "{{ training_name.upper }}",
    "a method of a list": "{{ events.append }}",
    "a method of a dictionary": "{{ links.items }}",
    "a list": "{{ events }}",
    "a dictionary": "{{ links }}",
    "a loop": "{% for a in events %}{{ loop }}{% endfor %}",
    "a text joined with a text": "{{ training_name|join('" + "x" * 1000 + "') }}",
    "a sum of money that is none": "{{ training_name|money }}",
    "a date that is none": "{{ training_name|date }}",
    "a length of a number": "{{ place|length }}",
    "an item of nothing": "{{ place|first }}",
}


@pytest.mark.parametrize("attack", INERT.values(), ids=INERT)
def test_what_reads_objects_fails_without_saying_anything_of_them(attack: str) -> None:
    with pytest.raises(TextFailed) as failed:
        render(attack, FACTS, names=NAMES)
    assert "Pottery" not in str(failed.value)
    assert " at 0x" not in str(failed.value)


def test_nothing_given_is_more_than_it_looks_like() -> None:
    class Row:
        secret = "s3cret"

    with pytest.raises(TextFailed):
        render("{{ student_name.secret }}", {"student_name": Row()}, names=NAMES)
    with pytest.raises(TextFailed):
        render("{{ student_name }}", {"student_name": Row()}, names=NAMES)


def test_a_rendering_that_loops_too_often_ends() -> None:
    many = FACTS | {"events": [{"when": "x"}] * 2000}
    twice = (
        "{% for a in events %}{% for b in events %}{% if a.z %}x{% endif %}{% endfor %}{% endfor %}"
    )
    with pytest.raises(TextFailed):
        render(twice.replace("a.z", "b.when == 'y'"), many, names=NAMES)


def test_a_rendering_that_grows_too_long_ends() -> None:
    many = FACTS | {"events": [{"when": "x" * 1000}] * 200}
    with pytest.raises(TextFailed, match="64 kB"):
        render("{% for a in events %}{{ a.when }}{% endfor %}", many, names=NAMES)


def test_the_line_of_the_fault_is_told() -> None:
    with pytest.raises(BadText) as no:
        check("Hello\n\n{{ training_name }}\n{{ nobody }}\n", NAMES)
    assert no.value.line == 4
    assert "nobody" in str(no.value.sentence)


# --- what is allowed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ training_name }}", "Pottery"),
        ("{{ links.answer }}", "https://example.org/invitations/abc"),
        ("{% if deadline %}yes{% else %}no{% endif %}", "yes"),
        ("{% if reason %}yes{% elif place == 2 %}two{% endif %}", "two"),
        ("{{ 'a' if place > 1 and not reason else 'b' }}", "a"),
        ("{% if place is defined and 'ott' in training_name %}x{% endif %}", "x"),
        ("{% for e in events %}{{ loop.index }}{{ e.when }} {% endfor %}", "1Monday 2Tuesday "),
        ("{% for e in events if e.location %}{{ e.when }}{% else %}-{% endfor %}", "Monday"),
        (
            "{% for e in events %}{% for a in attendees %}{{ a.name }}{% endfor %}{% endfor %}",
            "AdaBenAdaBen",
        ),
        ("{{ training_name|upper }}{{ training_name|lower|title }}", "POTTERYPottery"),
        ("{{ '  a '|trim }}{{ reason|default('none') }}{{ attendees|length }}", "anone2"),
        ("{{ (events|first).when }} {{ (events|last).when }}", "Monday Tuesday"),
        ("{{ (events|first).starts_at|date }}", "Mon 6 April 2026"),
        ("{{ (events|first).starts_at|time }}", "14:00"),
        ("{{ 1234.5|money }}", "1,234.50"),
        ("{# a note #}{% raw %}{{ 7 * 7 }}{% endraw %}", "{{ 7 * 7 }}"),
    ],
)
def test_what_a_letter_may_say(source: str, made: str) -> None:
    check(source, NAMES)
    assert render(source, FACTS, names=NAMES) == made


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "{{7*7}}", "{% include 'x' %}", '=HYPERLINK("x")', "a & b"],
)
def test_a_name_is_shown_and_does_nothing(name: str) -> None:  # B48
    told = FACTS | {"student_name": name}
    assert render("{{ student_name }}", told, names=NAMES) == name
    shown = render(
        '<p title="{{ student_name }}">{{ student_name }}</p>', told, html=True, names=NAMES
    )
    assert "<script" not in shown
    assert '"x"' not in shown


def test_which_variables_a_text_uses() -> None:
    assert variables("{% for e in events %}{{ e.when }}{% endfor %}{{ place }}", NAMES) == {
        "events",
        "place",
    }


# --- whole letters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subject", ["", "  ", "a\nb", "a\r\nBcc: x@example.org", "x" * 201, "a\0b"]
)
def test_a_subject_is_one_short_line(subject: str) -> None:
    with pytest.raises(BadText):
        check_subject(subject, NAMES)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("{{ reason }}", "<p>x</p>"),  # blank for the sample
        ("x", "<p> &nbsp;</p><!-- x -->"),
        ("x", "<style>p{}</style>​"),
        ("{{ links.nowhere }}", "<p>x</p>"),
        ("x", "<p>{{ nobody }}</p>"),
        ("", "<p>x</p>"),
    ],
)
def test_a_letter_that_would_fail_or_be_blank_is_not_saved(text: str, html: str) -> None:
    with pytest.raises(BadText):
        check_letter("About {{ training_name }}", text, html, NAMES, FACTS)


def test_a_good_letter_is_saved() -> None:
    check_letter("About {{ training_name }}", "Hi", "<p>Hi {{ student_name }}</p>", NAMES, FACTS)


def test_a_subject_made_of_facts_is_one_line_too() -> None:
    assert subject_line("About\r\nBcc: x@example.org\n") == "About Bcc: x@example.org"
    assert len(subject_line("x" * 500)) == 200


def test_what_a_reader_would_not_see_is_blank() -> None:
    assert is_blank(" \n\t​")
    assert is_blank("<p>&nbsp;<br></p>", html=True)
    assert not is_blank("<p>x</p>", html=True)


def test_a_text_of_the_longest_size_is_taken_and_one_more_is_not() -> None:
    check("x" * LONGEST_TEXT, NAMES)
    with pytest.raises(BadText):
        check("x" * (LONGEST_TEXT + 1), NAMES)
