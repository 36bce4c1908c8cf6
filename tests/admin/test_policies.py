"""Policies at the office: fields for each kind, and whom a change touches (people PA10)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from app.extensions import utcnow
from app.models import Policy, PolicyKind, Practice, Training, TrainingType
from app.services import overrides
from app.services.actors import CONSOLE
from tests.admin.desk import Desk
from tests.cast import DAY, HOUR, REASON, Cast
from tests.rules import CANCEL, kind_of_training, limit, of_type, policy, window

TEXT = {"text_en": CANCEL, "name": "ours"}
LIMIT = {"of_kind": "booking_limit", "max": "2", "days": "28"} | TEXT
WINDOW = {"of_kind": "cancellation_window", "hours": "24"} | TEXT
SOON = utcnow().replace(microsecond=0) + 20 * DAY


def all_policies(cast: Cast) -> list[Policy]:
    rows = sa.select(Policy).execution_options(populate_existing=True)
    return list(cast.session.scalars(rows))


def coming(cast: Cast, type_: TrainingType) -> Training:
    return of_type(cast, cast.training("Glazing", 3, SOON), type_)


@pytest.mark.parametrize(
    ("fields", "parameters", "said"),
    [
        (LIMIT, {"max": 2, "days": 28}, "at most 2 of a type within 28 days"),
        (WINDOW, {"hours": 24}, "24 hours before the start"),
    ],
)
def test_each_kind_is_made_from_its_fields(
    desk: Desk, cast: Cast, fields: dict[str, str], parameters: dict[str, int], said: str
) -> None:
    assert desk.create("policy", **fields).status_code == 303
    (row,) = all_policies(cast)
    assert (row.kind, row.parameters, row.practice_id) == (
        fields["of_kind"],
        parameters,
        cast.practice.id,
    )
    assert said in desk.get("policy/").text
    assert said in desk.get(f"policy/details/?id={row.id}").text
    assert desk.csv("policy")[1].endswith(",True") or desk.csv("policy")[1].endswith(",Yes")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (LIMIT | {"max": "0"}, "from 1 to 100, such as 2."),
        (LIMIT | {"max": "two"}, "from 1 to 100, such as 2."),
        (LIMIT | {"days": ""}, "from 1 to 366, such as 28."),
        (LIMIT | {"days": "2.5"}, "from 1 to 366, such as 28."),
        (WINDOW | {"hours": "-1"}, "from 1 to 8784, such as 24."),
        (WINDOW | {"hours": "{}"}, "from 1 to 8784, such as 24."),
        (WINDOW | {"of_kind": "free"}, "Not a valid choice"),
        (WINDOW | {"text_en": ""}, "field"),
        (WINDOW | {"name": " "}, "Type something that can be read."),
    ],
)
def test_bad_input_is_refused_at_its_field_with_an_example(
    desk: Desk, cast: Cast, fields: dict[str, str], sentence: str
) -> None:
    answer = desk.create("policy", **fields)
    assert answer.status_code == 400
    assert sentence in answer.text
    assert all_policies(cast) == []
    wrong = next((name for name in ("max", "days", "hours") if f'id="{name}-error"' in answer.text),
                 None)  # fmt: skip
    if "from 1" in sentence:
        assert f'value="{fields[wrong or "name"]}"' in answer.text or fields[wrong or ""] == ""


def test_what_a_policy_counts_by_is_not_called_optional(desk: Desk, cast: Cast) -> None:
    page = desk.get("policy/new/").text
    for name in ("max", "days", "hours"):
        label = page[page.index(f'<label for="{name}"') :].partition("</label>")[0]
        assert "optional" not in label


def test_what_is_not_of_its_kind_is_no_parameter(desk: Desk, cast: Cast) -> None:
    assert desk.create("policy", **(LIMIT | {"hours": "many"})).status_code == 303
    assert all_policies(cast)[0].parameters == {"max": 2, "days": 28}


def test_two_of_one_name_are_refused(desk: Desk, cast: Cast) -> None:
    desk.create("policy", **LIMIT)
    assert desk.create("policy", **WINDOW).status_code == 409
    assert len(all_policies(cast)) == 1


# --- whom it touches -----------------------------------------------------------------------------


def _touches(answer: TestResponse) -> bool:
    return answer.status_code == 409 and (
        "This touches 1 coming training (Glazing); 1 student has a place in them" in answer.text
    )


def test_whom_a_new_policy_touches_is_shown_before_it_is_saved(desk: Desk, cast: Cast) -> None:
    type_ = kind_of_training(cast)
    cast.enrol("Ada", utcnow(), coming(cast, type_))
    fields: dict[str, Any] = WINDOW | {"training_types": [str(type_.id)]}
    assert _touches(desk.create("policy", **fields))
    assert all_policies(cast) == []
    assert desk.create("policy", **fields, sure="y").status_code == 303
    assert [one.name for one in all_policies(cast)[0].training_types] == ["Crafts"]


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        ({"hours": "48"}, True),
        ({"active": None}, True),
        ({"training_types": []}, True),
        ({"text_en": "Another text."}, False),
        ({"name": "renamed"}, False),
    ],
)
def test_a_change_of_what_counts_is_shown_first_and_of_words_is_not(
    desk: Desk, cast: Cast, change: dict[str, Any], asks: bool
) -> None:
    type_ = kind_of_training(cast)
    row = window(cast, type_)
    cast.enrol("Ada", utcnow(), coming(cast, type_))
    change = {name: value if value is not None else [] for name, value in change.items()}
    answer = desk.edit("policy", row.id, **change)
    if asks:
        assert _touches(answer)
        assert dict(all_policies(cast)[0].parameters) == {"hours": 24}
        assert all_policies(cast)[0].version == 1
        answer = desk.edit("policy", row.id, **change, sure="y")
    assert answer.status_code == 303
    assert all_policies(cast)[0].version == 2


def test_the_kind_of_a_policy_stays(desk: Desk, cast: Cast) -> None:
    row = window(cast, kind_of_training(cast))
    answer = desk.edit("policy", row.id, of_kind="booking_limit", hours="12", max="2")
    assert answer.status_code == 303
    (row,) = all_policies(cast)
    assert (row.kind, row.parameters) == (PolicyKind.CANCELLATION_WINDOW, {"hours": 12})


def test_nobody_saves_over_what_a_colleague_saved(desk: Desk, cast: Cast) -> None:
    row = window(cast)
    answer = desk.edit("policy", row.id, hours="12", version="another")
    assert answer.status_code == 409
    assert "Somebody saved this meanwhile." in answer.text


def test_one_that_cannot_be_applied_says_so_and_is_mended(desk: Desk, cast: Cast) -> None:
    row = policy(cast, PolicyKind.CANCELLATION_WINDOW, parameters={"hours": "soon"})
    assert "Cannot be applied." in desk.get("policy/").text
    assert desk.edit("policy", row.id, hours="24").status_code == 303
    assert "24 hours before the start" in desk.get("policy/").text


def test_one_is_deleted_and_its_types_stay(desk: Desk, cast: Cast) -> None:
    row = limit(cast, kind_of_training(cast))
    assert desk.delete("policy", row.id).status_code == 303
    assert all_policies(cast) == []
    assert len(cast.session.scalars(sa.select(TrainingType)).all()) == 1


def test_a_type_is_deleted_with_its_policies_kept(desk: Desk, cast: Cast) -> None:
    type_ = kind_of_training(cast)
    limit(cast, type_)
    assert desk.delete("trainingtype", type_.id).status_code == 303
    cast.session.expire_all()
    assert [one.training_types for one in all_policies(cast)] == [[]]


def test_policies_and_types_of_others_are_not_there(desk: Desk, cast: Cast) -> None:
    other = cast.add(Practice(name="Mill", shortname="mill"))
    theirs = cast.add(TrainingType(practice_id=other.id, name="Milling"))
    row = cast.add(Policy(practice_id=other.id, name="theirs", kind=PolicyKind.BOOKING_LIMIT,
                          parameters={"max": 1, "days": 1}, text_en=CANCEL))  # fmt: skip
    assert "theirs" not in desk.get("policy/").text
    assert desk.get(f"policy/edit/?id={row.id}").status_code == 404
    answer = desk.create("policy", **WINDOW, training_types=[str(theirs.id)])
    assert answer.status_code == 400


# --- trainings and enrolments --------------------------------------------------------------------


def test_a_training_is_taken_out_of_limits_and_a_waived_one_put_back(
    desk: Desk, cast: Cast
) -> None:
    type_ = kind_of_training(cast)
    limit(cast, type_)
    training = coming(cast, type_)
    assert (
        "Apply the booking limit again" not in desk.get(f"training/details/?id={training.id}").text
    )
    overrides.waive_limit(cast.session, training, CONSOLE, utcnow())
    assert "Apply the booking limit again" in desk.get(f"training/details/?id={training.id}").text
    assert desk.act("training", "limit", training.id, reason=REASON).status_code == 303
    cast.session.refresh(training)
    assert training.limit_waived_at is None
    assert desk.edit("training", training.id, apply_policies=[]).status_code == 303
    cast.session.refresh(training)
    assert training.apply_policies is False


def test_the_office_is_told_of_late_cancellations_and_bookings_above_a_limit(
    desk: Desk, cast: Cast
) -> None:
    type_ = kind_of_training(cast)
    limit(cast, type_, max=1)
    window(cast, type_, hours=8784)
    cast.enrol("Ada", utcnow(), coming(cast, type_))
    second = of_type(cast, cast.training("Raku", 3, SOON + HOUR), type_)
    answer = desk.create(
        "trainingenroll", where=str(second.id), address=cast.student("Ada").user.email
    )
    assert answer.status_code == 303
    assert "Above the booking limit of 1 of Crafts" in desk.get("trainingenroll/").text
    row = cast.row("Ada", second)
    assert (
        f"This is a late cancellation. {CANCEL}"
        in desk.ask("trainingenroll", "remove", row.id).text
    )
    assert desk.act("trainingenroll", "remove", row.id, reason=REASON).status_code == 303
    assert "late_cancellation" in [kind for kind, _name in cast.letters()]
    assert "Above the booking limit" in desk.ask("trainingenroll", "back", row.id).text
