"""`flask waitlist`: show, why, fill, sweep, and how each ends (people PC, PT7)."""

from __future__ import annotations

import itertools
import json

import pytest
import sqlalchemy as sa

from app.extensions import db, write
from app.models import Training, TrainingEnroll
from app.services import overrides
from tests.cast import DAY, HOUR
from tests.shell import Shell


def statuses(shell: Shell) -> list[str]:
    with shell.app.app_context():
        rows = sa.select(TrainingEnroll.status).order_by(TrainingEnroll.id)
        return [str(status) for status in db.session.scalars(rows)]


def free_a_place(shell: Shell, places: int = 2) -> None:
    """Past the services, so that nobody is invited yet."""
    with shell.app.app_context(), write(db.session):
        bread = sa.update(Training).where(Training.name == "Bread")
        db.session.execute(bread.values(max_participants=places))


# --- show ----------------------------------------------------------------------------------------


def test_the_list_has_numbers_states_places_deadlines_and_obstacles_in_words(shell: Shell) -> None:
    ben, cleo, dan = shell.overdue("Ben", "Cleo", "Dan")
    with shell.app.app_context(), write(db.session):
        row = db.session.scalars(sa.select(TrainingEnroll).where(TrainingEnroll.uuid == cleo)).one()
        row.skipped = True
    done = shell("waitlist", "show", "Bread")
    assert (done.exit_code, done.stderr) == (0, "")
    numbers, people = done.stdout.split("\n\n")
    assert "1 of 1 taken" in numbers
    lines = people.splitlines()
    assert [line.split()[0] for line in lines] == ["place", "waitlist-invited", "1", "2"]
    assert "Ben Example" in lines[1]
    assert "(Amsterdam)" in lines[1]
    assert ben in lines[1]
    assert "skipped by staff" in lines[2]
    assert lines[3].endswith(dan)


def test_the_list_as_json(shell: Shell) -> None:
    ben, cleo = shell.overdue("Ben", "Cleo")
    shown = json.loads(shell("waitlist", "show", "Bread", "--json").stdout)
    assert shown["training"]["name"] == "Bread"
    assert (shown["training"]["taken"], shown["training"]["waiting"]) == (1, 1)
    assert [(p["enrolment"], p["status"], p["place"]) for p in shown["people"]] == [
        (ben, "waitlist-invited", None),
        (cleo, "waitlist", 1),
    ]
    assert shown["people"][0]["deadline"].endswith("Z")


def test_nobody_in_the_line_is_said_so(shell: Shell) -> None:
    with shell.cast():
        pass
    done = shell("waitlist", "show", "Bread")
    assert (done.exit_code, done.stderr) == (0, "Nobody is invited, nobody waits.\n")


# --- which training ------------------------------------------------------------------------------


def test_a_training_that_is_not_there_ends_with_3(shell: Shell) -> None:
    shell.line("Ben")
    unknown = ("0", "-1", str(10**20), "bread", "", "1.0", "٣", "x" * 5000)
    for act, text in itertools.product(("show", "why", "fill"), unknown):
        done = shell("waitlist", act, "--", text)
        assert (done.exit_code, done.stdout) == (3, "")
        assert done.stderr == f"Error: There is no training {text}.\n"


def test_a_text_no_database_can_hold_ends_with_2(shell: Shell) -> None:
    texts = ("Br\0ead", "Br\udcffead")
    for act, text in itertools.product(("show", "why", "fill"), texts):
        done = shell("waitlist", act, text)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr


def test_of_two_trainings_of_one_name_the_id_is_asked_for(shell: Shell) -> None:
    with shell.cast() as cast:
        other = cast.training("Bread").id
        first = cast.pottery.id
    done = shell("waitlist", "show", "Bread")
    assert (done.exit_code, done.stdout) == (2, "")
    said, *candidates = done.stderr.splitlines()
    assert said == "Error: Several fit Bread; give the id:"
    assert [line.split()[0] for line in candidates] == [str(first), str(other)]
    assert shell("waitlist", "show", str(other)).exit_code == 0


def test_an_id_that_is_also_a_name_is_ambiguous(shell: Shell) -> None:
    with shell.cast() as cast:
        cast.training(str(cast.pottery.id))
        id_ = str(cast.pottery.id)
    assert shell("waitlist", "show", id_).exit_code == 2


def test_a_name_cannot_play_with_the_screen(shell: Shell) -> None:
    with shell.cast() as cast:
        cast.pottery.name = "\x1b[2JBre\u202ead"
        id_ = str(cast.pottery.id)
    assert "\\x1b[2JBre\\u202ead" in shell("waitlist", "show", id_).stdout


# --- why -----------------------------------------------------------------------------------------


def test_why_has_a_sentence_for_each_who_waits_and_the_decisions(shell: Shell) -> None:
    shell.overdue("Ben", "Cleo", "Dan")
    shell("waitlist", "sweep")
    done = shell("waitlist", "why", "Bread")
    assert (done.exit_code, done.stderr) == (0, "")
    now, past = (part.splitlines() for part in done.stdout.split("\n\n"))
    assert now[0].startswith("Cleo Example: invited, answer before ")
    assert now[1:] == ["Dan Example: 1 of 1: no place is free; 1 person is answering now"]
    assert "place freed by a cancellation: Ada Example → invited: Ben Example (no. 1)" in past[-2]
    assert "ran out: Ben Example (no. 1), after 59 h → invited: Cleo Example" in past[-1]


def test_why_of_one_student_tells_when_they_were_passed_over(shell: Shell) -> None:
    with shell.cast() as cast:
        ada, ben, _ = cast.enrol_all("Ada", "Ben", "Cleo", now=shell.now - 60 * HOUR)
        overrides.skip(cast.session, ben, cast.max, shell.now - 59 * HOUR, "ill this week")
        cast.leave(ada, shell.now - 58 * HOUR)
        mail, student, uuid = ben.student.user.email, str(ben.student_id), ben.uuid
    outputs = {
        shell("waitlist", "why", "Bread", who).stdout
        for who in ("Ben Example", mail.upper(), student, uuid)
    }
    assert len(outputs) == 1
    (told,) = outputs
    assert told.startswith("Ben Example: 1 of 1: skipped by staff\n")
    assert "passed over: Ben Example (no. 1): skipped by staff" in told
    assert "“ill this week”" in told


def test_why_of_a_stranger_ends_with_3(shell: Shell) -> None:
    shell.line("Ben")
    for stranger in ("Zoe Example", "0", "-1", str(10**20), "%", "zoe@example.org"):
        assert shell("waitlist", "why", "Bread", "--", stranger).exit_code == 3


def test_why_as_json(shell: Shell) -> None:
    (ben,) = shell.line("Ben")
    told = json.loads(shell("waitlist", "why", "Bread", ben, "--json").stdout)
    assert told["people"] == [
        {"enrolment": ben, "place": 1, "code": None, "why": "1 of 1: no place is free"}
    ]
    assert told["decisions"][0]["steps"][-1] == "joined the list: Ben Example (no. 1)"


# --- fill ----------------------------------------------------------------------------------------


def test_fill_invites_the_first_in_line_and_says_whom(shell: Shell) -> None:
    shell.line("Ben", "Cleo")
    free_a_place(shell)
    done = shell("waitlist", "fill", "Bread")
    assert (done.exit_code, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert "invited: Ben Example" in first
    assert last == "invited: 1"
    assert statuses(shell) == ["enrolled", "waitlist-invited", "waitlist"]
    again = shell("waitlist", "fill", "Bread")
    assert (again.exit_code, again.stdout) == (0, "nothing to do\n")
    assert again.stderr == "No place is free.\n"
    free_a_place(shell, 9)
    shell("waitlist", "fill", "Bread")
    assert shell("waitlist", "fill", "Bread").stderr == "Nobody waits who can be invited.\n"
    with shell.app.app_context(), write(db.session):
        bread = sa.update(Training).where(Training.name == "Bread")
        db.session.execute(bread.values(waitlist_paused=True))
    paused = shell("waitlist", "fill", "Bread")
    assert paused.stderr == "Nobody is invited: the list is paused.\n"


def test_a_dry_fill_says_whom_and_writes_nothing(shell: Shell) -> None:
    shell.line("Ben", "Cleo")
    free_a_place(shell, 3)
    before = shell.everything()
    done = shell("waitlist", "fill", "Bread", "--dry-run")
    assert done.exit_code == 0
    assert "would be invited: Ben Example" in done.stdout
    assert done.stdout.endswith("would be invited: 2 (nothing written)\n")
    assert shell.everything() == before


def test_fill_all_asks_and_takes_yes_or_no(shell: Shell) -> None:
    shell.line("Ben")
    free_a_place(shell)
    before = shell.everything()
    silent = shell("waitlist", "fill", "--all")
    assert (silent.exit_code, "add --yes" in silent.stderr) == (2, True)
    no = shell("waitlist", "fill", "--all", input="n\n")
    assert (no.exit_code, "Nothing was done" in no.stderr) == (2, True)
    assert shell("waitlist", "fill", "--all", "--dry-run").exit_code == 0  # asks for nothing
    assert shell.everything() == before
    assert shell("waitlist", "fill", "--all", input="y\n").exit_code == 0
    assert statuses(shell) == ["enrolled", "waitlist-invited"]
    assert shell("waitlist", "fill", "--all", "--yes").stdout.startswith("nothing to do")


def test_fill_wants_one_training_or_all(shell: Shell) -> None:
    for args in ((), ("Bread", "--all"), ("Bread", "--now")):
        assert shell("waitlist", "fill", *args).exit_code == 2


def test_one_training_that_fails_stops_no_other(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.services import waitlist

    with shell.cast() as cast:
        cast.enrol_all("Ada", "Ben", now=shell.now)
        other = cast.training("Bread", 1, start=shell.now + 30 * DAY)
        for name in ("Ada", "Cleo"):
            cast.enrol(name, shell.now, other)
    free_a_place(shell)
    fill, broken = waitlist.fill_open_spots, []

    def fails_once(session: object, training_id: int, now: object) -> list[str]:
        if not broken:
            broken.append(training_id)
            fill(session, training_id, now)  # type: ignore[arg-type]
            raise ZeroDivisionError
        return fill(session, training_id, now)  # type: ignore[arg-type]

    monkeypatch.setattr(waitlist, "fill_open_spots", fails_once)
    done = shell("waitlist", "fill", "--all", "--yes")
    assert done.exit_code == 1
    assert f"training {broken[0]}: That is a fault of Nextseat" in done.stderr
    assert done.stdout.endswith("invited: 1 in 2 trainings\n")
    assert statuses(shell) == ["enrolled", "waitlist", "enrolled", "waitlist-invited"]


# --- sweep ---------------------------------------------------------------------------------------


def test_a_sweep_ends_what_is_overdue_and_invites_the_next(shell: Shell) -> None:
    shell.overdue("Ben", "Cleo")
    before = shell.everything()
    dry = shell("waitlist", "sweep", "--dry-run")
    assert dry.exit_code == 0
    assert dry.stdout.endswith("would be ended: 1, would be invited: 1 (nothing written)\n")
    assert shell.everything() == before
    done = shell("waitlist", "sweep")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "ended: Ben Example" in done.stdout
    assert "invited: Cleo Example" in done.stdout
    assert statuses(shell) == ["derolled", "waitlist-invite-expired", "waitlist-invited"]
    assert shell("waitlist", "sweep").stdout == "nothing to do in 0 trainings\n"
