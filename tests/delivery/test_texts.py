"""The shipped texts of letters: all there, well-formed, twins (people PW, STYLE 5)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from app.delivery import sandbox
from app.delivery.calendar import STATUS
from app.delivery.rendering import LETTERS, LINKS, languages, shipped
from app.services import letters
from app.services.letter_rules import RULES
from app.services.letter_words import NAMES

PROMISE = ("_tell", "_tell_all", "_remind")

TEXTS = [(key, language) for language in sorted(languages()) for key in sorted(RULES)]


@pytest.mark.parametrize(("key", "language"), TEXTS)
def test_text_and_html_say_the_same(key: str, language: str) -> None:
    wording = shipped(key, language)
    assert wording is not None
    sandbox.check_subject(wording.subject, NAMES)
    used = {
        html: sandbox.variables(wording.html if html else wording.text, NAMES, html=html)
        for html in (False, True)
    }
    assert used[False] == used[True]
    links = [set(re.findall(r"links\.(\w+)", text)) for text in (wording.text, wording.html)]
    assert links[0] == links[1] != set()


@pytest.mark.parametrize(("key", "language"), TEXTS)
def test_the_words_are_calm_and_the_file_is_in_form(key: str, language: str) -> None:  # PW1
    for suffix in ("txt", "html"):
        text = (LETTERS / language / f"{key}.{suffix}").read_text()
        assert "!" not in text
        assert text.endswith("\n")
    first, blank, *_rest = (LETTERS / language / f"{key}.txt").read_text().split("\n")
    assert first.startswith("Subject: ")
    assert blank == ""


@pytest.mark.parametrize(("key", "language"), TEXTS)
def test_sentences_are_short(key: str, language: str) -> None:  # PW1
    wording = shipped(key, language)
    assert wording is not None
    said = re.sub(r"\{%.*?%\}", "", wording.text)
    said = re.sub(r"\{\{.*?\}\}", "it", said)
    for sentence in re.split(r"[.:;]\s|\n\n", said):
        assert len(sentence.split()) <= 20, sentence


@pytest.mark.parametrize(("key", "language"), TEXTS)
def test_there_is_one_button_on_every_way_through(key: str, language: str) -> None:  # PW2
    wording = shipped(key, language)
    assert wording is not None
    buttons = len(re.findall(r'class="button"', wording.html))
    ways = 1 + bool(
        re.search(r"\{% else %\}(?:(?!\{% endif).)*class=\"button\"", wording.html, re.S)
    )
    assert buttons == ways


@pytest.mark.parametrize("language", sorted(languages()))
def test_the_folder_holds_every_letter_and_no_other(language: str) -> None:
    there = {path.name for path in (LETTERS / language).iterdir()}
    assert there == {f"{key}.{suffix}" for key in RULES for suffix in ("txt", "html")}


def test_english_is_there() -> None:
    assert "en" in languages()
    assert shipped("enrolled", "xx") is None
    assert shipped("no_such_letter", "en") is None


def test_tables_speak_of_letters_that_there_are() -> None:
    assert set(LINKS) | set(STATUS) <= set(RULES)


def test_documented_subjects_are_kept() -> None:  # WM1
    for key, subject in {
        "invited_trainer": "Waitlist Invitation Sent - {{ training_name }}",
        "expired_trainer": "Waitlist Invitation Expired - {{ training_name }}",
        "accepted_trainer": "Waitlist Invitation Accepted - {{ training_name }}",
    }.items():
        wording = shipped(key, "en")
        assert wording is not None
        assert wording.subject == subject


def test_an_invitation_names_its_deadline_and_its_link() -> None:  # PA9
    for key in ("invited", "invite_reminder", "deadline_changed"):
        wording = shipped(key, "en")
        assert wording is not None
        for text in (wording.text, wording.html):
            assert "{{ deadline }}" in text
            assert "{{ links.answer }}" in text


def test_every_letter_that_is_promised_has_its_texts() -> None:
    tree = ast.parse(Path(letters.__file__).read_text())
    names = {
        argument.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in PROMISE
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    assert len(names) > 10
    assert {name for name in names if not {name, f"{name}_trainer"} & set(RULES)} == set()
