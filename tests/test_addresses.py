"""Rules that write their addresses on demand."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.routing import BuildError, Map, Rule

from app.addresses import LateRule

RULES = (
    ("/", "home", {}),
    ("/trainings/<int:id>/people/", "people", {}),
    ("/trainings/<int:id>", "people", {"defaults": {"page": 1}}),
    ("/files/<path:name>", "file", {"methods": ["GET"]}),
    ("/invitations/<token>", "invitation", {}),
)


def bound(kind: type[Rule]) -> Any:
    rules = Map([kind(rule, endpoint=name, **more) for rule, name, more in RULES])
    return rules.bind("training.example.org")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("home", {}),
        ("home", {"q": "a b"}),
        ("people", {"id": 7}),
        ("people", {"id": 7, "page": 1}),
        ("people", {"id": 7, "sort": ["a", "b"]}),
        ("file", {"name": "css/é.css"}),
        ("invitation", {"token": "a/b?c"}),
    ],
)
def test_an_address_is_the_same_the_first_time_and_later(name: str, values: Any) -> None:
    late, ours = bound(LateRule), bound(Rule).build(name, values)
    assert [late.build(name, values) for _ in range(2)] == [ours, ours]
    alone = {"append_unknown": False}
    assert late.build(name, values, **alone) == bound(Rule).build(name, values, **alone)


def test_what_is_missing_is_told() -> None:
    with pytest.raises(BuildError):
        bound(LateRule).build("people", {})


def test_addresses_are_read_at_once() -> None:
    late = bound(LateRule)
    assert late.match("/trainings/7/people/") == ("people", {"id": 7})
    with pytest.raises(NotFound):
        late.match("/trainings/x")


def test_nothing_is_made_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = Rule._compile_builder

    def counted(rule: Any, append_unknown: bool = True) -> Any:
        made.append(rule.rule)
        return make(rule, append_unknown)

    monkeypatch.setattr(Rule, "_compile_builder", counted)
    late = bound(LateRule)
    late.match("/")
    assert made == []
    for _ in range(2):
        late.build("invitation", {"token": "t"})
    assert made == ["/invitations/<token>"]
