"""Who acts: what the history says of them, and whether they are staff."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """`name` goes into the history: `user:7`, `schedule:3`, `system`, `link`, `console`.

    `staff` may act on other people's rows, with a reason, but in `practice_ids` only: None is all
    of them, as for this installation itself. `user_id` is who signed in, if anyone.
    """

    name: str
    staff: bool = False
    user_id: int | None = None
    practice_ids: frozenset[int] | None = None


SYSTEM = Actor("system", staff=True)
CONSOLE = Actor("console", staff=True)
LINK = Actor("link")  # the token in a letter proved who it is


def schedule(schedule_id: int) -> Actor:
    """An automation, in whichever trainings it is for."""
    return Actor(f"schedule:{schedule_id}", staff=True)


def student(user_id: int) -> Actor:
    """A student, signed in; acts on their own rows."""
    return Actor(f"user:{user_id}", user_id=user_id)


def staff(user_id: int, practice_ids: Iterable[int]) -> Actor:
    """A trainer or administrator, signed in; acts within the practices they work for."""
    theirs = frozenset(practice_ids)
    return Actor(f"user:{user_id}", staff=True, user_id=user_id, practice_ids=theirs)
