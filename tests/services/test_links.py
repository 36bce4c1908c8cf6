"""Tokens of links: the same for the same letter, nothing for others (WK1, WK3, ML, B31-B38)."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import LinkToken
from app.services import links, students
from app.services.links import AddressBook, Ticket
from tests.cast import DAY, NOON, Cast
from tests.statements import count_statements

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def ticket(cast: Cast, purpose: str = "answer") -> Ticket:
    ben = cast.enrol("Ben")
    user = ben.student.user
    return Ticket(purpose, ben.id, ben.uuid, 1, user.id, user.email)


def minted(cast: Cast, purpose: str = "answer", now: datetime = NOON) -> str:
    one = ticket(cast, purpose)
    return links.mint_many(cast.session, [one], [KEY], now)[one]


def found(session: Session, token: str, purpose: str = "answer", now: datetime = NOON) -> bool:
    return links.find(session, token, purpose, now) is not None


def digests(session: Session) -> list[str]:
    return list(session.scalars(sa.select(LinkToken.digest)))


# --- making ---------------------------------------------------------------------------------------


def test_a_token_is_43_characters_and_is_not_stored(cast: Cast) -> None:
    token = minted(cast)
    assert len(token) == 43
    assert len(base64.urlsafe_b64decode(token + "=")) == 32
    (digest,) = digests(cast.session)
    assert len(digest) == 64
    assert token not in digest


def test_the_same_again_is_the_same_and_stored_once(cast: Cast) -> None:
    assert minted(cast) == minted(cast, now=NOON + DAY)
    row = cast.session.scalars(sa.select(LinkToken)).one()
    assert row.created_at == NOON


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "leave"},
        {"uuid": "another"},
        {"invite_no": 2},
        {"user_id": 10**6},
        {"address": "new@example.org"},
    ],
)
def test_whatever_differs_makes_another_token(cast: Cast, change: dict[str, object]) -> None:
    one = ticket(cast)
    other = one._replace(**change)
    assert links.token_of(one, KEY) != links.token_of(other, KEY)
    assert links.token_of(one, KEY) != links.token_of(one, OTHER_KEY)


def test_parts_do_not_run_into_each_other(cast: Cast) -> None:
    one = ticket(cast)._replace(invite_no=1, user_id=11)
    assert links.token_of(one, KEY) != links.token_of(one._replace(invite_no=11, user_id=1), KEY)


def test_many_are_made_in_one_statement(cast: Cast) -> None:
    one = ticket(cast)
    for count in (2, 50):
        many = [one._replace(invite_no=n) for n in range(count)]
        with count_statements(cast.session) as sent:
            made = links.mint_many(cast.session, many, [KEY], NOON)
        assert (len(made), len(sent)) == (count, 1)
    assert len(digests(cast.session)) == 50


def test_nothing_to_make_asks_nothing(cast: Cast) -> None:
    with count_statements(cast.session) as sent:
        assert links.mint_many(cast.session, [], [], NOON) == {}
    assert sent == []


# --- finding --------------------------------------------------------------------------------------


def test_a_token_stands_for_its_enrolment(cast: Cast) -> None:
    token = minted(cast)
    row = links.find(cast.session, token, "answer", NOON)
    assert row is not None
    assert (row.enrolment_id, row.invite_no) == (cast.row("Ben").id, 1)
    assert row.user_id == cast.student("Ben").user_id


@pytest.mark.parametrize(
    "bend",
    [
        lambda token: f"{token}.",
        lambda token: f"{token}>",
        lambda token: f"{token})",
        lambda token: f"<{token}>",
        lambda token: f" {token}\r\n",
        lambda token: f"{token}%3E",
        lambda token: f"{token}%20",
        lambda token: f"{token}=",
        lambda token: "%" + f"{ord(token[0]):02X}" + token[1:],
    ],
)
def test_what_a_mail_program_bent_is_straightened(cast: Cast, bend) -> None:  # type: ignore[no-untyped-def]
    assert found(cast.session, bend(minted(cast)))


def test_another_spelling_of_the_last_character_is_the_same_token(cast: Cast) -> None:  # ML1
    token = minted(cast)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(token[-1])
    spelled = token[:-1] + alphabet[at ^ 1]  # its last two bits mean nothing
    first, again = (links.find(cast.session, t, "answer", NOON) for t in (token, spelled))
    assert first is again is not None


@pytest.mark.parametrize(
    "forge",
    [
        lambda token: "",
        lambda token: "A",
        lambda token: "A" * 43,
        lambda token: ("B" if token[0] != "B" else "C") + token[1:],
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token + token,
        lambda token: token[::-1],
        lambda token: token.swapcase(),
        lambda token: "\0" + token,
        lambda token: token + "\0",
        lambda token: "x" * 100_000,
        lambda token: "ü" * 43,
        lambda token: "٣" * 43,
        lambda token: token.replace(token[5], "/"),
        lambda token: f"{token}%253E",  # bent more than once
        lambda token: "' OR 1=1 --",
        lambda token: "%00" * 14 + "a",
    ],
)
def test_what_is_no_token_stands_for_nothing(cast: Cast, forge) -> None:  # type: ignore[no-untyped-def]
    assert not found(cast.session, forge(minted(cast)))


@pytest.mark.parametrize("purpose", [p for p in links.PATHS if p != "answer"])
def test_a_token_is_good_for_one_purpose(cast: Cast, purpose: str) -> None:
    token = minted(cast)
    assert not found(cast.session, token, purpose)
    assert found(cast.session, token)


def test_a_genuine_and_a_malformed_one_take_the_same_work(cast: Cast) -> None:
    token = minted(cast)
    for asked in (token, "A" * 43, "", "x" * 100_000, "\0"):
        with count_statements(cast.session) as sent:
            found(cast.session, asked)
        assert len(sent) == 1


def test_it_is_good_for_180_days(cast: Cast) -> None:
    token = minted(cast)
    assert found(cast.session, token, now=NOON + 180 * DAY - timedelta(seconds=1))
    assert not found(cast.session, token, now=NOON + 180 * DAY)


def test_a_letter_that_repeats_an_old_link_gives_its_reader_time(cast: Cast) -> None:
    token = minted(cast)
    late = NOON + 179 * DAY
    assert minted(cast, now=late) == token
    assert found(cast.session, token, now=late + 179 * DAY)


def test_keys_may_be_changed_at_any_time(cast: Cast) -> None:
    old = minted(cast)
    one = ticket(cast)
    new = links.mint_many(cast.session, [one], [OTHER_KEY, KEY], NOON)[one]
    assert new != old
    assert found(cast.session, new)
    assert found(cast.session, old)


# --- ending them (ML2) ----------------------------------------------------------------------------


def test_the_erased_have_no_links(cast: Cast) -> None:
    token = minted(cast)
    students.erase(cast.session, cast.student("Ben"), cast.max, NOON)
    cast.session.flush()
    assert not found(cast.session, token)
    assert digests(cast.session) == []


def test_links_to_an_address_that_was_left_end(cast: Cast) -> None:
    token = minted(cast)
    students.change_address(cast.session, cast.student("Ben"), "new@example.org", NOON)
    assert not found(cast.session, token)
    assert minted(cast) != token
    assert not found(cast.session, token)


def test_revoking_ends_one_persons_links_only(cast: Cast) -> None:
    mine = minted(cast)
    other = ticket(cast)._replace(user_id=cast.tess.user_id)
    theirs = links.mint_many(cast.session, [other], [KEY], NOON)[other]
    links.revoke(cast.session, cast.student("Ben").user_id)
    assert not found(cast.session, mine)
    assert found(cast.session, theirs)


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["https://example.org", "https://example.org/"])
def test_addresses_are_built_in_one_place(base: str) -> None:
    book = AddressBook(base)
    assert book.link("answer", "abc") == "https://example.org/invitations/abc"
    assert book.link("leave", "abc") == "https://example.org/waitlist/abc"
    assert book.link("re-enable", "abc") == "https://example.org/waitlist/abc"
    assert book.my_training("u-1") == "https://example.org/me/trainings/u-1"
    assert book.for_trainers(7) == "https://example.org/trainer/trainings/7"


@pytest.mark.parametrize(
    "path", ["/invitations/", "/waitlist/", "/unsubscribe/", "/sign-up/", "/new-password/"]
)
def test_a_letter_to_look_at_has_no_tokens(path: str) -> None:
    page = f'Go to <a href="https://example.org{path}a-T_0.k">https://example.org{path}a-T_0.k</a>'
    seen = links.without_tokens(page)
    assert seen == page.replace("a-T_0.k", "…")
    assert links.without_tokens("/me/trainings/u-1, /new-password") == (
        "/me/trainings/u-1, /new-password"
    )
