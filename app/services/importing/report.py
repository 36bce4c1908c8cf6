"""What an import was asked, did, or found wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from flask_babel import lazy_gettext as _l

from app.services.refusals import Refusal

LONGEST_VALUE = 100  # characters of a cell that a fault repeats


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a file; without `line` it is the whole file, without `column` a line."""

    line: int | None
    column: str | None
    value: str | None
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else "the file"
        return (
            f"{where}, {self.column}: {self.message}" if self.column else f"{where}: {self.message}"
        )

    def as_dict(self) -> dict[str, object]:
        value = self.value and self.value[:LONGEST_VALUE]
        return asdict(self) | {"value": value}


class FaultyFile(Refusal):
    """Something in the file is wrong, so nothing of it is imported."""

    code, status = "faulty_file", 400
    sentence = _l("Nothing was imported. Faults in the file: %(count)s.")

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults, key=lambda fault: fault.line or 0)
        super().__init__(count=len(self.faults))


def refuse_if(faults: list[Fault]) -> None:
    """Raises `FaultyFile` if there are any."""
    if faults:
        raise FaultyFile(faults)


@dataclass(frozen=True)
class RowWarning:
    """A row that was imported and that staff should know of."""

    line: int
    student: str  # the address
    policy: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.student}, policy {self.policy}: {self.message}"


@dataclass
class Report:
    """How many things (students, trainings, enrolments) the file made, changed, or left alone."""

    created: int = 0
    changed: int = 0
    same: int = 0
    invited: int = 0  # from the waitlist, since the import left a place free for them
    warnings: list[RowWarning] = field(
        default_factory=list
    )  # by line; nothing was refused for them

    @property
    def counts(self) -> dict[str, int]:
        """How many of what."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}


@dataclass(frozen=True)
class Wishes:
    """What whoever imports ticked."""

    letters: bool = False  # tell people of new dates, of their place
    create_trainers: bool = False  # make accounts for trainers nobody knows yet
