"""Who changed a policy, when and from what to what, on its page and in the audit (people PA13)."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from app.admin.audit import changes_of
from app.extensions import utcnow
from app.models import AuditEntry, Policy, PolicyKind, Practice
from app.services import policies
from app.services.actors import CONSOLE
from tests.admin.desk import Desk
from tests.cast import NOON, Cast
from tests.rules import CANCEL, kind_of_training, limit, policy, window

WINDOW = {
    "of_kind": "cancellation_window", "hours": "24", "text_en": CANCEL, "name": "ours",
}  # fmt: skip


def entries(cast: Cast) -> list[AuditEntry]:
    found = sa.select(AuditEntry).order_by(AuditEntry.id)
    return list(cast.session.scalars(found.execution_options(populate_existing=True)))


def only_policy(cast: Cast) -> Policy:
    return cast.session.scalars(sa.select(Policy)).one()


def plain(page: str) -> str:
    """The text of a page, with its spaces evened out."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


# --- what is written -----------------------------------------------------------------------------


def test_who_makes_a_policy_is_on_record_with_all_it_says(desk: Desk, cast: Cast) -> None:
    before = utcnow()
    desk.create("policy", **WINDOW)
    [entry] = entries(cast)
    row = only_policy(cast)
    assert (entry.action, entry.subject, entry.subject_id) == ("policy_create", "policy", row.id)
    assert (entry.actor, entry.practice_id) == (f"user:{desk.who.id}", cast.practice.id)
    assert before <= entry.at <= utcnow()
    assert entry.old is None
    assert entry.new == {
        "name": "ours", "kind": "cancellation_window", "parameters": {"hours": 24},
        "text_en": CANCEL, "text_nl": "", "training_types": [], "active": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        ({"hours": "48"}, {"parameters": {"hours": 24}}, {"parameters": {"hours": 48}}),
        ({"active": []}, {"active": True}, {"active": False}),
        ({"training_types": []}, {"training_types": ["Crafts"]}, {"training_types": []}),
        ({"name": "renamed"}, {"name": "cancellation_window-1"}, {"name": "renamed"}),
        ({"text_nl": "Op tijd."}, {"text_nl": ""}, {"text_nl": "Op tijd."}),
    ],
)
def test_a_change_is_on_record_from_what_to_what_and_nothing_else_is(
    desk: Desk, cast: Cast, change: dict[str, Any], old: dict[str, Any], new: dict[str, Any]
) -> None:
    row = window(cast, kind_of_training(cast))
    assert desk.edit("policy", row.id, **change).status_code == 303
    [entry] = entries(cast)
    assert (entry.action, entry.old, entry.new) == ("policy_update", old, new)


def test_saving_without_a_change_leaves_no_entry(desk: Desk, cast: Cast) -> None:
    row = window(cast, kind_of_training(cast))
    assert desk.edit("policy", row.id).status_code == 303
    assert entries(cast) == []


def test_what_is_refused_leaves_no_entry(desk: Desk, cast: Cast) -> None:
    row = window(cast, kind_of_training(cast))
    assert desk.edit("policy", row.id, hours="-1").status_code == 400
    desk.create("policy", **(WINDOW | {"text_en": ""}))
    assert entries(cast) == []


def test_one_that_is_deleted_stays_on_record(desk: Desk, cast: Cast) -> None:
    row = limit(cast, kind_of_training(cast), name="not-too-many")
    id_ = row.id
    desk.delete("policy", id_)
    [entry] = entries(cast)
    assert (entry.action, entry.subject_id, entry.new) == ("policy_remove", id_, None)
    assert (entry.old or {})["parameters"] == {"max": 2, "days": 28}
    page = plain(desk.get("auditentry/").text)
    assert "Policy deleted not-too-many" in page
    assert "Training types: Crafts" in page


def test_a_type_that_goes_is_on_record_at_each_policy_that_named_it(desk: Desk, cast: Cast) -> None:
    type_, other = kind_of_training(cast), kind_of_training(cast, "Courses")
    row, _other = limit(cast, type_, other), window(cast, other)
    desk.delete("trainingtype", type_.id)
    [entry] = entries(cast)
    assert (entry.subject_id, entry.actor) == (row.id, f"user:{desk.who.id}")
    assert entry.old == {"training_types": ["Courses", "Crafts"]}
    assert entry.new == {"training_types": ["Courses"]}


# --- where it is read ----------------------------------------------------------------------------


def test_its_page_says_who_changed_what_from_what_to_what_and_when(desk: Desk, cast: Cast) -> None:
    desk.create("policy", **WINDOW)
    row = only_policy(cast)
    assert desk.edit("policy", row.id, hours="48", active=[]).status_code == 303
    page = desk.get(f"policy/details/?id={row.id}").text
    told = plain(page)
    by = desk.who.fullname or desk.who.email
    assert f"{by} Policy changed Hours before the start: 24 → 48 Active: Yes → No" in told
    assert f"{by} Policy made Name: ours" in told
    assert told.index("Policy changed") < told.index("Policy made")
    assert page.count("<time datetime=") >= 2


def test_of_one_that_nobody_changed_its_page_says_so(desk: Desk, cast: Cast) -> None:
    row = window(cast)
    page = desk.get(f"policy/details/?id={row.id}").text
    assert "No changes are on record." in page


def test_of_parameters_only_what_changed_is_shown() -> None:
    old, new = {"parameters": {"max": 2, "days": 28}}, {"parameters": {"max": 3, "days": 28}}
    entry = AuditEntry(action="policy_update", old=old, new=new)
    assert [str(one) for one in changes_of(entry)] == ["At most so many trainings of a type: 2 → 3"]


def test_what_somebody_typed_is_shown_as_text(desk: Desk, cast: Cast) -> None:
    row = window(cast)
    desk.edit("policy", row.id, name="<b>bold</b>")
    page = desk.get(f"policy/details/?id={row.id}").text
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page


def test_the_audit_is_of_the_own_practice_and_for_reading_only(desk: Desk, cast: Cast) -> None:
    other = cast.add(Practice(name="Mill", shortname="mill"))
    theirs = cast.add(Policy(practice_id=other.id, name="theirs", kind=PolicyKind.BOOKING_LIMIT,
                             parameters={"max": 1, "days": 1}, text_en=CANCEL))  # fmt: skip
    policies.record(cast.session, theirs, CONSOLE, NOON, None)
    cast.session.flush()
    [entry] = entries(cast)
    assert "theirs" not in desk.get("auditentry/").text
    assert desk.get(f"auditentry/details/?id={entry.id}").status_code == 404
    for path in ("new/", f"edit/?id={entry.id}"):
        assert desk.get(f"auditentry/{path}").status_code == 404
    assert desk.post("auditentry/delete/", id=entry.id, sure="1").status_code == 404


def test_the_file_of_the_audit_says_the_same(desk: Desk, cast: Cast) -> None:
    row = policy(cast, PolicyKind.CANCELLATION_WINDOW, parameters={"hours": 24}, name="ours")
    desk.edit("policy", row.id, hours="48")
    line = desk.csv("auditentry")[1]
    assert f"policy_update,policy,{row.id},ours" in line
    assert line.endswith(f"Hours before the start: 24 → 48,user:{desk.who.id}")


def test_one_whose_parameters_somebody_wrote_past_the_forms_is_mended_on_record(
    desk: Desk, cast: Cast
) -> None:
    row = policy(cast, PolicyKind.CANCELLATION_WINDOW, parameters={"hours": "soon"})
    assert desk.edit("policy", row.id, hours="24").status_code == 303
    [entry] = entries(cast)
    assert entry.old == {"parameters": {"hours": "soon"}}


def test_nobody_of_another_practice_is_named(desk: Desk, cast: Cast) -> None:
    theirs = cast.add(Practice(name="Wool", shortname="wool"))
    zoe = cast.user("Zoe")
    zoe.practice_id = theirs.id
    desk.create("policy", **WINDOW)
    [entry] = entries(cast)
    assert "Orla Example" in plain(desk.get("auditentry/").text)
    entry.actor = f"user:{zoe.id}"
    cast.session.commit()
    page = plain(desk.get("auditentry/").text)
    assert "Zoe" not in page
    assert f"user:{zoe.id}" in page
