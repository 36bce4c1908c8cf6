"""CSV files: what reads, what is a fault, and how rows meet what is there (rulings RD2, SE13)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.models import (
    AutomationSchedule,
    BeforeAfterEnum,
    EventsEnum,
    Location,
    Practice,
    Student,
    Trainer,
    Training,
    TrainingEnroll,
    TrainingType,
    User,
)
from app.services import importing
from app.services.actors import CONSOLE
from app.services.importing import Fault, FaultyFile, Kind, Report, Wishes
from app.services.importing.reading import read
from app.services.importing.rows import EnrolmentRow, Row, StudentRow, TrainingRow
from tests.cast import DAY, HOUR, NOON, REASON, START, Cast
from tests.rules import kind_of_training, limit, of_type
from tests.statements import count_statements

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
STUDENTS = "email,first_name,last_name,phone,language,birthday,status"
TRAININGS = "training,name,type,max_participants,start,end,location,trainers,active"
ENROLMENTS = "training,email,status"
ADA = "ada@example.org,Ada,Lovelace,+31 20 123 4567,nl,1990-12-10,active"
POTS = "pots,Pottery,Craft,8,2026-05-04T09:00,2026-05-04T17:00,Mill,,true"


def file(header: str, *rows: str) -> bytes:
    return "\r\n".join([header, *rows, ""]).encode()


def rows_of(model: type[Row], content: bytes) -> list[Row]:
    return read(model, content, AMSTERDAM, NOON)


def faults_of(model: type[Row], content: bytes) -> list[str]:
    with pytest.raises(FaultyFile) as refused:
        rows_of(model, content)
    return [str(fault) for fault in refused.value.faults]


def student(**cells: str) -> str:
    names = STUDENTS.split(",")
    return ",".join((dict(zip(names, ADA.split(","), strict=True)) | cells)[n] for n in names)


def day(**cells: str) -> str:
    names = TRAININGS.split(",")
    return ",".join((dict(zip(names, POTS.split(","), strict=True)) | cells)[n] for n in names)


# --- reading, without a database ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_file_reads_with_each_delimiter_with_and_without_bom(delimiter: str, start: str) -> None:
    text = start + file(STUDENTS, ADA).decode().replace(",", delimiter)
    (row,) = rows_of(StudentRow, text.encode())
    assert isinstance(row, StudentRow)
    assert (row.email, row.phone, row.language) == ("ada@example.org", "+31201234567", "nl")
    assert (str(row.birthday), str(row.status), row.line) == ("1990-12-10", "active", 2)


def test_columns_may_stand_in_any_order_and_case() -> None:
    (row,) = rows_of(EnrolmentRow, file(' Status ,"EMAIL",training', "waitlist,a@example.org,pots"))
    assert row.key == ("pots", "a@example.org")


def test_empty_lines_count_but_are_no_rows() -> None:
    content = file(ENROLMENTS, "", ",,", "pots,x,enrolled")
    assert faults_of(EnrolmentRow, content) == ["line 4, email: not an address"]


def test_a_row_over_several_lines_is_named_by_its_first() -> None:
    content = file(ENROLMENTS, '"po\nts",a@example.org,enrolled', "pots,x,enrolled")
    assert faults_of(EnrolmentRow, content) == [
        "line 2, training: has a control character or a line break",
        "line 4, email: not an address",
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file: empty"),
        (file(STUDENTS), "the file: has no rows below the header"),
        (file(STUDENTS, ADA).decode().encode("utf-16"), "the file: this is UTF-16"),
        (file(STUDENTS, ADA, student(first_name="Zoë")).decode().encode("latin-1"), "line 3: not"),
        (file(STUDENTS, ADA, "\0"), "line 3: has a NUL character"),
        (b"PK\x03\x04" + bytes(100), "the file: this is a zip or Excel file"),
        (b"x" * (importing.MOST_BYTES + 1), "the file: larger than 2 MiB"),
        (file(STUDENTS, '"ada@example.org,Ada'), "line 2: a quotation mark is open"),
        (file(STUDENTS, student(first_name='"A"da')), "line 2: a quotation mark is open"),
        (file(STUDENTS, student(first_name="A" * 200_000)), "line 2: a cell is longer than"),
        (file(STUDENTS, ADA + ",more"), "line 2: has 8 cells, the header 7"),
        (file(STUDENTS, "ada@example.org"), "line 2: has 1 cells, the header 7"),
        (file(",".join(map(str, range(101))), "1"), "line 1: more than 100 columns"),
        (file(STUDENTS, *["," * 6 + "x"] * 10_001), "line 10002: more than 10000 rows"),
    ],
)
def test_what_is_no_csv_file_of_ours_is_refused(content: bytes, fault: str) -> None:
    assert faults_of(StudentRow, content)[-1].startswith(fault)


@pytest.mark.parametrize(
    ("header", "faults"),
    [
        ("training,email", ["line 1, status: this column is missing"]),
        (
            "training,email,status,status,sekret",
            [
                "line 1, status: this column is there 2 times",
                "line 1, sekret: unknown column; there are training, email, status",
            ],
        ),
        (
            "training,email,status,",
            ["line 1, a column without name: unknown column; there are training, email, status"],
        ),
    ],
)
def test_each_wrong_header_is_named(header: str, faults: list[str]) -> None:
    assert faults_of(EnrolmentRow, file(header, "pots,a@example.org,enrolled")) == faults


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ({"email": ""}, "email: missing"),
        ({"email": "ada"}, "email: not an address"),
        ({"email": "a@[127.0.0.1]"}, "email: not an address"),
        ({"email": "a@example.org b@example.org"}, "email: not an address"),
        ({"email": "a" * 300 + "@example.org"}, "email: not an address"),
        ({"first_name": "A" * 101}, "first_name: longer than 100 characters"),
        ({"first_name": "A\u202eda"}, "first_name: has a control character or a line break"),
        ({"phone": "020 123 4567"}, "phone: not a phone number; write it with +"),
        ({"phone": "+1 800 FLOWERS"}, "phone: not a phone number; write it with +"),
        ({"phone": "+31 20"}, "phone: too short or too long"),
        ({"phone": "+999 123 456"}, "phone: not a phone number of any country"),
        ({"language": "fr"}, "language: not one of en, nl"),
        ({"birthday": "1990-02-30"}, "birthday: not a date like"),
        ({"birthday": "10/12/1990"}, "birthday: not a date like"),
        ({"birthday": "2026-03-03"}, "birthday: not a birthday of anyone alive"),
        ({"birthday": "1815-12-10"}, "birthday: not a birthday of anyone alive"),
        ({"status": ""}, "status: missing"),
        ({"status": "enrolled"}, "status: neither active nor inactive"),
    ],
)
def test_a_bad_cell_of_a_student_is_named(cells: dict[str, str], fault: str) -> None:
    (found,) = faults_of(StudentRow, file(STUDENTS, student(**cells)))
    assert found.startswith(f"line 2, {fault}")


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ({"training": ""}, "training: missing"),
        ({"name": ""}, "name: missing"),
        ({"max_participants": "-1"}, "max_participants: not a whole number"),
        ({"max_participants": "1.5"}, "max_participants: not a whole number"),
        ({"max_participants": "٣"}, "max_participants: not a whole number"),
        ({"max_participants": "10001"}, "max_participants: not a whole number"),
        ({"start": "tomorrow"}, "start: not a time like"),
        ({"start": "2026-02-30T09:00"}, "start: not a time like"),
        ({"start": "0001-01-01T00:00"}, "start: not a time like"),
        ({"start": "2026-05-04T24:00"}, "start: not a time like"),
        ({"start": "2026-05-04T09:00+99:99"}, "start: not a time like"),
        ({"start": "2026-03-29T02:30"}, "start: this time does not exist in Europe/Amsterdam"),
        ({"end": "2026-05-04T09:00"}, "end: not after the start"),
        ({"trainers": "tess"}, "trainers: not an address"),
        ({"trainers": "t@example.org; T@example.org"}, "trainers: the same address twice"),
        ({"active": "perhaps"}, "active: neither true nor false"),
    ],
)
def test_a_bad_cell_of_a_training_is_named(cells: dict[str, str], fault: str) -> None:
    (found,) = faults_of(TrainingRow, file(TRAININGS, day(**cells)))
    assert found.startswith(f"line 2, {fault}")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-05-04T09:00", datetime(2026, 5, 4, 7, tzinfo=UTC)),
        ("2026-05-04 09:00:00+05:30", datetime(2026, 5, 4, 3, 30, tzinfo=UTC)),
        ("2026-05-04T09:00Z", datetime(2026, 5, 4, 9, tzinfo=UTC)),
        ("2026-10-25T02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice: the first
    ],
)
def test_a_time_without_offset_is_one_of_the_practice(text: str, instant: datetime) -> None:
    (row,) = rows_of(TrainingRow, file(TRAININGS, day(start=text, end="2027-01-01T00:00")))
    assert isinstance(row, TrainingRow)
    assert row.start == instant


def test_every_fault_of_a_file_is_told_at_once() -> None:
    content = file(
        STUDENTS, student(email="x", status="y"), ADA, student(phone="1", email="z@a.nl")
    )
    assert [fault.partition(":")[0] for fault in faults_of(StudentRow, content)] == [
        "line 2, email",
        "line 2, status",
        "line 4, phone",
    ]


def test_the_same_person_twice_is_a_fault_in_other_case_too() -> None:
    content = file(STUDENTS, ADA, student(email="ADA@example.org"))
    assert faults_of(StudentRow, content) == ["line 3, email: the same as in line 2"]


def test_the_same_day_twice_is_a_fault_but_another_day_is_not() -> None:
    assert faults_of(TrainingRow, file(TRAININGS, POTS, POTS)) == [
        "line 3, start: the same as in line 2"
    ]
    later = day(start="2026-05-05T09:00", end="2026-05-05T17:00")
    assert len(rows_of(TrainingRow, file(TRAININGS, POTS, later))) == 2


def test_formulas_are_text_and_our_own_guard_is_taken_off() -> None:
    names = student(first_name="=HYPERLINK(1)", last_name="../../x", phone="'+31201234567")
    (row,) = rows_of(StudentRow, file(STUDENTS, names))
    assert isinstance(row, StudentRow)
    assert (row.first_name, row.last_name, row.phone) == (
        "=HYPERLINK(1)",
        "../../x",
        "+31201234567",
    )


def test_letters_written_in_two_ways_are_one() -> None:
    (row,) = rows_of(StudentRow, file(STUDENTS, student(first_name="Zoe\u0308")))
    assert isinstance(row, StudentRow)
    assert row.first_name == "Zo\u00eb"


def test_a_fault_repeats_at_most_a_hundred_characters() -> None:
    fault = Fault(7, "email", "x" * 500, "not an address")
    assert str(fault) == "line 7, email: not an address"
    assert fault.as_dict() == {
        "line": 7,
        "column": "email",
        "value": "x" * 100,
        "message": "not an address",
    }


# --- students ---


def put(cast: Cast, kind: str, *rows: str, now: datetime = NOON, **wishes: bool) -> Report:
    header = {"students": STUDENTS, "trainings": TRAININGS, "enrolments": ENROLMENTS}[kind]
    return importing.import_file(
        cast.session,
        Kind(kind),
        file(header, *rows),
        cast.practice,
        CONSOLE,
        now,
        Wishes(**wishes),
    )


def refused(cast: Cast, kind: str, *rows: str, now: datetime = NOON) -> list[str]:
    with pytest.raises(FaultyFile) as faulty:
        put(cast, kind, *rows, now=now)
    return [str(fault) for fault in faulty.value.faults]


def user_of(cast: Cast, email: str) -> User:
    return cast.session.scalars(sa.select(User).where(User.email == email)).one()


def line_of(cast: Cast, name: str, **cells: str) -> str:
    """The row of someone of the cast."""
    user = cast.student(name).user
    return student(**{"email": user.email, "first_name": name, "last_name": "Example", **cells})


def test_a_new_student_gets_an_account_without_password(cast: Cast) -> None:
    assert put(cast, "students", ADA) == Report(created=1)
    user = user_of(cast, "ada@example.org")
    assert (user.fullname, user.phone, user.password) == ("Ada Lovelace", "+31201234567", None)
    assert user.active
    assert len(user.fs_uniquifier) == 32
    assert user.settings is not None
    assert user.settings.language == "nl"
    found = cast.session.scalars(sa.select(Student).where(Student.user_id == user.id)).one()
    assert (found.practice_id, str(found.status)) == (cast.practice.id, "active")
    assert cast.letters() == []


def test_the_same_file_again_changes_nothing(cast: Cast) -> None:
    put(cast, "students", ADA)
    assert put(cast, "students", ADA) == Report(same=1)
    assert put(cast, "students", student(email="Ada@Example.org")) == Report(same=1)


def test_what_a_row_gives_is_changed_and_what_it_leaves_empty_stays(cast: Cast) -> None:
    put(cast, "students", ADA)
    changed = student(last_name="King", phone="", birthday="", language="")
    assert put(cast, "students", changed) == Report(changed=1)
    user = user_of(cast, "ada@example.org")
    assert (user.last_name, user.phone, str(user.birthday)) == (
        "King",
        "+31201234567",
        "1990-12-10",
    )


def test_an_account_that_is_there_becomes_a_student(cast: Cast) -> None:
    user = cast.tess.user
    assert put(cast, "students", student(email=user.email)) == Report(created=1)
    mine = cast.session.scalars(sa.select(Student).where(Student.user_id == user.id)).one()
    assert mine.practice_id == cast.practice.id


def test_a_student_of_another_practice_is_none_of_ours(cast: Cast) -> None:
    other = cast.add(Practice(name="Stone", shortname="stone"))
    user = cast.user("Ida")
    cast.add(Student(user_id=user.id, practice_id=other.id))
    assert put(cast, "students", student(email=user.email)) == Report(created=1)


def test_no_practice_rewrites_who_belongs_to_another(cast: Cast) -> None:  # SE7
    put(cast, "students", student(phone=""))
    other = cast.add(Practice(name="Stone", shortname="stone"))
    theirs = student(first_name="Eve", phone="+31209999999", language="en", birthday="1999-09-09")
    content = file(STUDENTS, theirs)
    for created in (1, 0):  # also once she is a student there
        report = importing.import_file(cast.session, Kind.STUDENTS, content, other, CONSOLE, NOON)
        assert report.created == created
        assert put(cast, "students", theirs) == Report(same=1)
    user = user_of(cast, "ada@example.org")
    assert (user.first_name, str(user.birthday)) == ("Ada", "1990-12-10")
    assert user.settings is not None
    assert user.settings.language == "nl"
    assert user.phone == "+31209999999"  # nobody had said


@pytest.mark.parametrize("how", ["teaches", "is in the office"])
def test_no_practice_rewrites_the_staff_of_another(cast: Cast, how: str) -> None:  # SE7
    put(cast, "students", ADA)
    user = user_of(cast, "ada@example.org")
    other = cast.add(Practice(name="Stone", shortname="stone"))
    if how == "teaches":
        cast.add(Trainer(user_id=user.id, practice_id=other.id))
    else:
        user.practice_id = other.id
    assert put(cast, "students", student(first_name="Eve")) == Report(same=1)
    assert user.first_name == "Ada"


def test_becoming_inactive_withdraws_the_invitation_and_invites_the_next(cast: Cast) -> None:
    ben, cleo = cast.offer("Ben", "Cleo")
    done = put(cast, "students", line_of(cast, "Ben", status="inactive"))
    assert done.changed == 1
    assert cast.statuses(ben, cleo) == ["waitlist", "waitlist-invited"]


def test_becoming_active_invites_who_is_first(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    put(cast, "students", line_of(cast, "Ben", status="inactive"))
    assert cast.statuses(ben) == ["waitlist"]
    assert put(cast, "students", line_of(cast, "Ben")) == Report(changed=1, invited=1)
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_many_students_take_few_statements(cast: Cast) -> None:
    lines = [f"s{n}@example.org,N,Example,,,,active" for n in range(2000)]
    with count_statements(cast.session) as few:
        assert put(cast, "students", *lines).created == 2000
    with count_statements(cast.session) as again:
        assert put(cast, "students", *lines).same == 2000
    assert len(few) <= 20
    assert len(again) <= 10


# --- trainings ---


def training_of(cast: Cast, key: str = "pots") -> Training:
    mine = sa.select(Training).where(Training.import_key == key)
    return cast.session.scalars(mine.execution_options(populate_existing=True)).one()


def keyed(cast: Cast) -> str:
    """Pottery of the cast, as it would stand in a file."""
    cast.pottery.import_key = "pots"
    cast.session.flush()
    return row_of_pottery(cast)


def row_of_pottery(cast: Cast, **cells: str) -> str:
    given = {
        "type": "",
        "max_participants": str(cast.pottery.max_participants),
        "start": START.isoformat(),
        "end": (START + 3 * HOUR).isoformat(),
        "location": "",
        "trainers": cast.tess.user.email,
    }
    return day(**(given | cells))


def test_a_new_training_has_its_days_type_place_and_trainers(cast: Cast) -> None:
    tess = cast.tess.user.email.upper()
    second = day(start="2026-05-05T09:00", end="2026-05-05T17:00", location="", trainers=tess)
    assert put(cast, "trainings", day(trainers=tess), second) == Report(created=1)
    pots = training_of(cast)
    assert (pots.name, pots.max_participants, pots.active) == ("Pottery", 8, True)
    assert pots.training_type is not None
    assert pots.training_type.name == "Craft"
    assert [event.location and event.location.name for event in pots.events] == ["Mill", None]
    assert pots.events[0].start_time == datetime(2026, 5, 4, 7, tzinfo=UTC)
    assert pots.trainer_users == [cast.tess.user]
    assert cast.history(pots) == ["activated"]


def test_a_trainer_who_is_added_is_not_told_of_what_was_before(cast: Cast) -> None:
    put(cast, "trainings", day(trainers=cast.tess.user.email))
    tina = cast.trainer("Tina")
    both = day(trainers=f"{cast.tess.user.email}; {tina.user.email}")
    put(cast, "trainings", both)
    pots = training_of(cast)
    cast.session.refresh(pots)
    told = {one.trainer_id: one.told_seq for one in pots.trainers}
    assert told == {cast.tess.id: 0, tina.id: pots.history_seq}
    assert pots.history_seq == 1


def test_the_jobs_of_a_new_training_are_planned(cast: Cast) -> None:
    cast.add(
        AutomationSchedule(
            name="remind",
            automation_class=cast.task("StudentReminderTask"),
            beforeafter=BeforeAfterEnum.before,
            events=EventsEnum.first,
            interval=7 * DAY,
        )
    )
    put(cast, "trainings", POTS, day(training="closed", active="no"))
    due = datetime(2026, 4, 27, 7, tzinfo=UTC)
    assert cast.jobs() == {f"remind/{training_of(cast).id}/PRODUCTION": due}


def test_a_new_training_may_be_closed(cast: Cast) -> None:
    put(cast, "trainings", day(active="false"))
    assert not training_of(cast).active
    assert cast.history(training_of(cast)) == []


def test_types_and_places_are_made_once(cast: Cast) -> None:
    put(cast, "trainings", POTS, day(training="more"))
    put(cast, "trainings", day(training="yet more"))
    for model in (TrainingType, Location):
        mine = sa.select(sa.func.count()).where(model.practice_id == cast.practice.id)
        assert cast.session.scalar(mine) == 1


def test_the_same_trainings_again_change_nothing(cast: Cast) -> None:
    row = keyed(cast)
    before = cast.everything()
    assert put(cast, "trainings", row) == Report(same=1)
    assert cast.everything() == before


def test_rows_of_one_training_must_agree(cast: Cast) -> None:
    other = day(start="2026-05-05T09:00", end="2026-05-05T17:00", max_participants="9", name="Pans")
    assert refused(cast, "trainings", POTS, other) == [
        "line 3, name: not as in line 2, which is of the same training",
        "line 3, max_participants: not as in line 2, which is of the same training",
    ]


def test_an_unknown_trainer_is_a_fault_unless_asked_for(cast: Cast) -> None:
    row = day(trainers="new@example.org")
    assert refused(cast, "trainings", row) == [
        "line 2, trainers: new@example.org is no trainer of this practice;"
        " --create-trainers makes one"
    ]
    put(cast, "trainings", row, create_trainers=True)
    assert [user.email for user in training_of(cast).trainer_users] == ["new@example.org"]


def test_a_student_is_no_trainer(cast: Cast) -> None:
    ada = cast.student("Ada").user
    assert len(refused(cast, "trainings", day(trainers=ada.email))) == 1
    assert cast.session.scalars(sa.select(Trainer).where(Trainer.user_id == ada.id)).all() == []


def test_name_type_and_trainers_change(cast: Cast) -> None:
    keyed(cast)
    tim = cast.trainer("Tim").user.email
    row = row_of_pottery(cast, name="Pans", type="Metal", trainers=f"{tim};{cast.tess.user.email}")
    assert put(cast, "trainings", row) == Report(changed=1)
    pots = training_of(cast)
    assert pots.name == "Pans"
    assert pots.training_type is not None
    assert pots.training_type.name == "Metal"
    assert [user.first_name for user in pots.trainer_users] == ["Tim", "Tess"]


def test_an_empty_cell_takes_no_trainer_type_or_place_away(cast: Cast) -> None:
    put(cast, "trainings", day(trainers=cast.tess.user.email))
    assert put(cast, "trainings", day(type="", location="", trainers="")) == Report(same=1)
    assert training_of(cast).trainer_users == [cast.tess.user]


def test_a_larger_training_invites_and_writes_to_who_is_invited(cast: Cast) -> None:
    (ben,) = cast.line("Ben")
    keyed(cast)
    before = cast.last_letter()
    done = put(cast, "trainings", row_of_pottery(cast, max_participants="2"))
    assert done == Report(changed=1, invited=1)
    assert cast.statuses(ben) == ["waitlist-invited"]
    assert cast.letters(before) == [("invited", "Ben"), ("invited_trainer", "Tess")]


def test_fewer_places_than_taken_are_a_fault(cast: Cast) -> None:
    cast.enrol("Ada")
    keyed(cast)
    (fault,) = refused(cast, "trainings", row_of_pottery(cast, max_participants="0"))
    assert fault.startswith("line 2, max_participants: 1 places are taken")


def test_a_moved_day_keeps_its_row_and_tells_nobody_unless_asked(cast: Cast) -> None:
    cast.enrol("Ada")
    keyed(cast)
    before, (event,) = cast.last_letter(), training_of(cast).events
    moved = {"start": (START + DAY).isoformat(), "end": (START + DAY + HOUR).isoformat()}
    assert put(cast, "trainings", row_of_pottery(cast, **moved)) == Report(changed=1)
    assert [(e.id, e.start_time) for e in training_of(cast).events] == [(event.id, START + DAY)]
    assert cast.letters(before) == []
    put(cast, "trainings", row_of_pottery(cast), letters=True)
    assert ("training_rescheduled", "Ada") in cast.letters(before)


def test_a_day_more_and_a_day_less(cast: Cast) -> None:
    first = keyed(cast)
    later = {"start": (START + DAY).isoformat(), "end": (START + DAY + HOUR).isoformat()}
    second = row_of_pottery(cast, **later)
    put(cast, "trainings", first, second)
    assert [event.start_time for event in training_of(cast).events] == [START, START + DAY]
    put(cast, "trainings", second)
    assert [event.start_time for event in training_of(cast).events] == [START + DAY]


def test_closing_takes_invitations_back_and_opening_invites_again(cast: Cast) -> None:
    (ben,) = cast.offer("Ben")
    keyed(cast)
    put(cast, "trainings", row_of_pottery(cast, active="no", max_participants="2"))
    assert cast.statuses(ben) == ["waitlist"]
    assert put(cast, "trainings", row_of_pottery(cast)) == Report(changed=1, invited=1)
    assert cast.statuses(ben) == ["waitlist-invited"]


def test_a_cancelled_training_is_the_same_or_a_fault(cast: Cast) -> None:
    row = keyed(cast)
    cast.pottery.cancelled_at = NOON
    assert put(cast, "trainings", row) == Report(same=1)
    assert refused(cast, "trainings", row_of_pottery(cast, name="Pans")) == [
        "line 2, name: This training is cancelled or archived."
    ]


def test_a_key_of_another_practice_is_not_ours(cast: Cast) -> None:
    other = cast.add(Practice(name="Stone", shortname="stone"))
    stones = cast.add(
        Training(practice_id=other.id, name="Stones", import_key="pots", max_participants=1)
    )
    assert put(cast, "trainings", POTS) == Report(created=1)
    cast.session.refresh(stones)
    assert stones.name == "Stones"


# --- enrolments ---


def place(cast: Cast, name: str, status: str = "enrolled", key: str = "pots") -> str:
    return f"{key},{cast.student(name).user.email},{status}"


def test_rows_are_born_with_history_but_without_letters(cast: Cast) -> None:
    keyed(cast)
    rows = [place(cast, "Cleo", "waitlist"), place(cast, "Ada"), place(cast, "Ben", "waitlist")]
    assert put(cast, "enrolments", *rows) == Report(created=3)
    ada, ben, cleo = (cast.row(name) for name in ("Ada", "Ben", "Cleo"))
    assert cast.statuses(ada, ben, cleo) == ["enrolled", "waitlist", "waitlist"]
    assert (cleo.queue_position, ben.queue_position) == (1, 2)  # as in the file
    assert {(e.event, e.actor, e.reason) for e in cast.events()} == {
        ("enrolled", "console", "import"),
        ("queued", "console", "import"),
    }
    assert [e.seq for e in cast.events()] == [1, 2, 3]
    assert cast.ledger() == (1, 0, 0)
    assert cast.letters() == []


def test_letters_are_written_when_asked(cast: Cast) -> None:
    keyed(cast)
    put(cast, "enrolments", place(cast, "Ada"), place(cast, "Ben", "waitlist"), letters=True)
    assert [letter for letter in cast.letters() if letter[1] != "Tess"] == [
        ("enrolled", "Ada"),
        ("waitlisted", "Ben"),
    ]


def test_the_same_enrolments_again_change_nothing(cast: Cast) -> None:
    keyed(cast)
    rows = [place(cast, "Ada"), place(cast, "Ben", "waitlist")]
    put(cast, "enrolments", *rows)
    before = cast.everything()
    assert put(cast, "enrolments", *rows) == Report(same=2)
    assert cast.everything() == before


def test_who_waits_while_a_place_is_free_is_invited_and_told(cast: Cast) -> None:
    keyed(cast)
    done = put(cast, "enrolments", place(cast, "Ada", "waitlist"), place(cast, "Ben", "waitlist"))
    assert done == Report(created=2, invited=1)
    assert cast.statuses(cast.row("Ada"), cast.row("Ben")) == ["waitlist-invited", "waitlist"]
    assert cast.letters() == [("invited", "Ada"), ("invited_trainer", "Tess")]


def test_an_import_never_oversells(cast: Cast) -> None:
    keyed(cast)
    rows = [place(cast, name) for name in ("Ada", "Ben", "Cleo")]
    message = "no place is left of 1: raise max_participants, or queue this student"
    assert refused(cast, "enrolments", *rows) == [
        f"line 3, status: {message}",
        f"line 4, status: {message}",
    ]
    assert cast.history() == []


def test_kept_places_may_be_given(cast: Cast) -> None:
    keyed(cast)
    cast.pottery.max_participants, cast.pottery.seats_kept = 2, 2
    put(cast, "enrolments", place(cast, "Ada"))
    assert cast.ledger() == (1, 1, 0)


def test_a_place_that_is_planned_for_someone_is_theirs_alone(cast: Cast) -> None:
    ben = cast.line("Ben")[0]
    keyed(cast)
    cast.pottery.max_participants, ben.invite_planned_at = 2, NOON + HOUR
    assert len(refused(cast, "enrolments", place(cast, "Cleo"))) == 1
    assert put(cast, "enrolments", place(cast, "Ben")) == Report(changed=1)
    assert cast.row("Ben").invite_planned_at is None
    assert cast.ledger() == (2, 0, 0)


def test_passing_who_waits_is_forced_with_a_reason(cast: Cast) -> None:
    cast.line("Ben")
    keyed(cast)
    cast.pottery.max_participants, cast.pottery.waitlist_paused = 3, True
    done = put(cast, "enrolments", place(cast, "Cleo"), place(cast, "Ben"))
    assert done == Report(created=1, changed=1)
    assert cast.statuses(cast.row("Ben"), cast.row("Cleo")) == ["enrolled", "enrolled"]
    forced = [e for e in cast.events() if e.event == "forced"]
    assert [(e.reason, e.note) for e in forced] == [("import", "Imported from a CSV file.")] * 2


def test_an_invited_student_may_come_in_and_the_alarm_goes(cast: Cast) -> None:
    cast.offer("Ben")
    keyed(cast)
    assert put(cast, "enrolments", place(cast, "Ben")) == Report(changed=1)
    assert cast.statuses(cast.row("Ben")) == ["enrolled"]
    assert cast.ledger() == (1, 0, 0)
    assert cast.jobs() == {}


@pytest.mark.parametrize("status", ["waitlist-declined", "waitlist-invite-expired", "derolled"])
def test_who_was_out_queues_again_at_the_tail(cast: Cast, status: str) -> None:
    cast.in_status(status)
    keyed(cast)
    cast.pottery.waitlist_paused = True
    before = cast.last_letter()
    assert put(cast, "enrolments", place(cast, "Ben", "waitlist")) == Report(changed=1)
    ben = cast.row("Ben")
    assert (str(ben.status), ben.queue_position) == ("waitlist", 3)
    assert cast.letters(before) == []


@pytest.mark.parametrize("status", ["enrolled", "waitlist-invited"])
def test_nobody_loses_a_place_by_an_import(cast: Cast, status: str) -> None:
    cast.in_status(status)
    keyed(cast)
    (fault,) = refused(cast, "enrolments", place(cast, "Ben", "waitlist"))
    assert fault.endswith("already: only staff take that back")


def test_unknown_trainings_and_students_are_faults(cast: Cast) -> None:
    keyed(cast)
    rows = [place(cast, "Ada", key="pans"), "pots,nobody@example.org,waitlist"]
    assert refused(cast, "enrolments", *rows) == [
        "line 2, training: no training of this key: import the trainings first",
        "line 3, email: no student of this practice: import the students first",
    ]


def test_who_cannot_be_in_or_be_told_is_a_fault(cast: Cast) -> None:
    keyed(cast)
    put(cast, "students", line_of(cast, "Ada", status="inactive"))
    cast.wont_mail("Ben")
    rows = [place(cast, "Ada"), place(cast, "Ben", "waitlist")]
    assert refused(cast, "enrolments", *rows) == [
        "line 2, email: this student is not active",
        "line 3, email: gets no letters, so could not be told of a place",
    ]


def test_after_the_start_people_were_there_but_nobody_waits(cast: Cast) -> None:
    keyed(cast)
    late = START + HOUR
    assert put(cast, "enrolments", place(cast, "Ada"), now=late, letters=True) == Report(created=1)
    assert cast.letters() == []
    assert refused(cast, "enrolments", place(cast, "Ben", "waitlist"), now=late) == [
        "line 2, status: this training has started: nobody can wait for it"
    ]


def test_nobody_is_put_into_a_cancelled_training(cast: Cast) -> None:
    keyed(cast)
    cast.pottery.cancelled_at = NOON
    assert refused(cast, "enrolments", place(cast, "Ada")) == [
        "line 2, training: this training is cancelled or archived"
    ]


def crafts(cast: Cast, *keys: str, max: int = 1, **more: Any) -> list[Training]:
    """Trainings of one type, a week apart, of which one may have so many within four weeks."""
    type_ = kind_of_training(cast)
    limit(cast, type_, max=max, name="not-too-many", **more)
    rows = [
        of_type(cast, cast.training(key.title(), 9, START + n * 7 * DAY), type_)
        for n, key in enumerate(keys)
    ]
    for row, key in zip(rows, keys, strict=True):
        row.import_key = key
    cast.session.flush()
    return rows


def warned(report: Report) -> list[tuple[int, str, str]]:
    return [(one.line, one.student.split("-")[0], one.policy) for one in report.warnings]


def test_a_row_above_the_booking_limit_is_imported_and_told_with_line_student_and_policy(
    cast: Cast,
) -> None:
    first, _second = crafts(cast, "one", "two")
    cast.enrol("Ada", NOON, first)
    done = put(cast, "enrolments", place(cast, "Ben", key="two"), place(cast, "Ada", key="two"))
    assert done.counts == {"created": 2, "changed": 0, "same": 0, "invited": 0}
    [said] = done.warnings
    ada = cast.student("Ada").user.email
    assert (said.line, said.student, said.policy) == (3, ada, "not-too-many")
    assert str(said).startswith(f"line 3, {ada}, policy not-too-many: Above the booking limit of 1")
    assert "One (" in said.message


def test_rows_of_the_file_count_for_those_below_them(cast: Cast) -> None:
    crafts(cast, "one", "two", "three", max=2)
    rows = [place(cast, "Ada", key=key) for key in ("three", "one", "two")]
    assert warned(put(cast, "enrolments", *rows)) == [(4, "ada", "not-too-many")]


@pytest.mark.parametrize(("paused", "lines"), [(True, [4]), (False, [3, 4])])
def test_who_only_waits_is_told_and_counts_once_invited(
    cast: Cast, paused: bool, lines: list[int]
) -> None:
    for row in crafts(cast, "one", "two", "three"):
        row.waitlist_paused = paused
    rows = [
        place(cast, "Ada", "waitlist", "one"),
        place(cast, "Ada", key="two"),
        place(cast, "Ada", "waitlist", "three"),
    ]
    told = [(line, "ada", "not-too-many") for line in lines]
    assert warned(put(cast, "enrolments", *rows)) == told


def test_who_stays_below_the_limit_or_has_the_place_already_is_not_told(cast: Cast) -> None:
    first, _second = crafts(cast, "one", "two", max=2)
    cast.enrol("Ada", NOON, first)
    rows = [place(cast, "Ada", key="one"), place(cast, "Ada", key="two")]
    assert warned(put(cast, "enrolments", *rows)) == []
    assert warned(put(cast, "enrolments", *rows)) == []


@pytest.mark.parametrize("off", ["policy", "training", "waived", "far"])
def test_where_no_limit_holds_nobody_is_told(cast: Cast, off: str) -> None:
    first, second = crafts(
        cast, "one", "two", active=off != "policy", days=7 if off == "far" else 28
    )
    second.apply_policies = off != "training"
    if off == "waived":  # it holds again from when its last place is taken
        second.limit_waived_at, second.max_participants = NOON, 1
    cast.enrol("Ada", NOON, first)
    assert warned(put(cast, "enrolments", place(cast, "Ada", key="two"))) == []


def test_many_enrolments_take_few_statements(cast: Cast) -> None:
    keyed(cast)
    type_ = kind_of_training(cast)
    limit(cast, type_)
    of_type(cast, cast.pottery, type_)
    cast.pottery.max_participants = 500
    people = [f"s{n}@example.org" for n in range(600)]
    put(cast, "students", *(f"{email},N,Example,,,,active" for email in people))
    rows = [f"pots,{e},{'enrolled' if n < 500 else 'waitlist'}" for n, e in enumerate(people)]
    with count_statements(cast.session) as few:
        assert put(cast, "enrolments", *rows).created == 600
    assert len(few) <= 25
    waiting = sa.select(TrainingEnroll.queue_position).where(TrainingEnroll.status == "waitlist")
    mine = waiting.where(TrainingEnroll.training_id == cast.pottery.id)
    assert sorted(cast.session.scalars(mine)) == list(range(1, 101))


def test_a_fault_in_row_501_names_its_line(cast: Cast) -> None:
    rows: Sequence[str] = [f"s{n}@example.org,N,Example,,,,active" for n in range(600)]
    bad = [*rows[:500], "nobody,N,Example,,,,active", *rows[500:]]
    assert refused(cast, "students", *bad) == ["line 502, email: not an address"]


# --- for which practice ---


def test_the_only_practice_needs_no_name(session: Session) -> None:
    with pytest.raises(importing.practices.NoPractice):
        importing.find_practice(session, None)
    clay = importing.create_practice(session, "clay", "Clay & Co", "Europe/Amsterdam")
    assert importing.find_practice(session, None) is clay
    importing.create_practice(session, "stone", "Stone", "Asia/Tokyo")
    with pytest.raises(importing.practices.WhichPractice, match="clay, stone"):
        importing.find_practice(session, None)
    assert importing.find_practice(session, "clay") is clay


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "UTC+25", "../../etc/passwd", ""])
def test_a_practice_needs_a_zone_that_exists(session: Session, zone: str) -> None:
    with pytest.raises(importing.practices.BadPractice):
        importing.create_practice(session, "clay", "Clay & Co", zone)


def test_a_practice_is_not_made_twice(cast: Cast) -> None:
    with pytest.raises(importing.practices.PracticeExists):
        importing.create_practice(cast.session, "clay", REASON, "Europe/Amsterdam")
