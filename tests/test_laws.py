"""Laws that a reader of the source can check: who commits, who reads the clock, who moves a status.

Each check reads syntax trees, so that a comment or a text never counts; and each is shown to find
what it looks for in a few lines that break its law.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "app").rglob("*.py"))

# Floor 4 and the drivers of floor 3 (L5, rulings RC2); `extensions.py` holds `write` and `unit`.
MAY_COMMIT = (
    "app/extensions.py",
    "app/web/",
    "app/admin/",
    "app/api/",
    "app/ops/",
    "app/automation/execution.py",
    "app/automation/recurring_runs.py",
    "app/automation/scheduler",
    "app/delivery/",
)
# Those, and where a documented name takes no time (rulings RC6, RC7).
MAY_READ_THE_CLOCK = (
    *MAY_COMMIT,
    "app/models/training.py",  # Training.waitlist_enrollments_eligible()
    "app/services/documented.py",
    "app/automation/automation_base.py",  # a task that is called directly
)
THE_CLOCK = "app/extensions.py"
MOVES_STATUSES = (
    "app/services/transitions.py",
    "app/ops/replay.py",  # its people are no rows: what the replay knows of them
)
BIRTH = {  # a row is born with its status
    "app/services/enrolments.py": "_place",
    "app/services/importing/enrolments.py": "_bring_in",
    "app/services/runs.py": "_born",
}

Check = Callable[[ast.AST, list[str]], Iterator[int]]


@cache
def source(path: Path) -> tuple[ast.AST, list[str]]:
    """A file of ours, parsed once for all laws."""
    text = path.read_text()
    return ast.parse(text), text.splitlines()


def breaches(check: Check, allowed: tuple[str, ...] = ()) -> list[str]:
    """`path:line` of all in app/ that a check finds outside the places that may."""
    found = []
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(allowed):
            found += [f"{name}:{n}" for n in check(*source(path))]
    return found


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the last part of what is called: `session.commit()` is `commit`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, getattr(node.func, "attr", getattr(node.func, "id", ""))


# --- the checks ----------------------------------------------------------------------------------


def ends_a_transaction(tree: ast.AST, _lines: list[str]) -> Iterator[int]:
    for call, name in calls(tree):
        plain_name = isinstance(call.func, ast.Name)
        if name in ("commit", "rollback") or (plain_name and name in ("write", "unit")):
            yield call.lineno


def opens_a_session(tree: ast.AST, _lines: list[str]) -> Iterator[int]:
    yield from (call.lineno for call, name in calls(tree) if name in ("Session", "sessionmaker"))


def asks_python_for_the_time(tree: ast.AST, _lines: list[str]) -> Iterator[int]:
    for call, name in calls(tree):
        owner = getattr(call.func, "value", None)
        of_datetime = getattr(owner, "id", getattr(owner, "attr", "")) in ("datetime", "date")
        if of_datetime and name in ("now", "utcnow", "today"):
            yield call.lineno


def reads_our_clock(tree: ast.AST, _lines: list[str]) -> Iterator[int]:
    yield from (call.lineno for call, name in calls(tree) if name == "utcnow")


def writes_a_status(tree: ast.AST, _lines: list[str]) -> Iterator[int]:
    """`row.status = …` unless the value names another enum, `values(status=…)`, `setattr`."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            status = any(isinstance(t, ast.Attribute) and t.attr == "status" for t in targets)
            if status and not _of_another_enum(node.value):
                yield node.lineno
    for call, name in calls(tree):
        by_keyword = {k.arg for k in call.keywords if not _of_another_enum(k.value)}
        by_text = name == "setattr" and getattr(call.args[1], "value", "") == "status"
        if by_text or ("status" in by_keyword and name in ("values", "update", "TrainingEnroll")):
            yield call.lineno

    for node in ast.walk(tree):  # a row of an enrolment, to be inserted
        keys = {getattr(key, "value", None) for key in getattr(node, "keys", [])}
        if isinstance(node, ast.Dict) and {"training_id", "status"} <= keys:
            yield node.lineno


def _of_another_enum(value: ast.expr | None) -> bool:
    owner = getattr(getattr(value, "value", None), "id", "")
    return owner in ("PersonStatus", "AssignmentStatus", "RunStatus", "OutboxState")


def ignores_whether_it_moved(tree: ast.AST, lines: list[str]) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = getattr(node.value.func, "attr", getattr(node.value.func, "id", ""))
            text = lines[node.lineno - 1 : node.end_lineno]
            if name == "move" and not any("# sure to win" in line for line in text):
                yield node.lineno


def deletes_an_enrolment(tree: ast.AST, lines: list[str]) -> Iterator[int]:
    for call, name in calls(tree):
        text = " ".join(lines[call.lineno - 1 : call.end_lineno])
        if name == "delete" and re.search(r"TrainingEnroll|enrol|EnrolmentHistory", text):
            yield call.lineno
    in_sql = re.compile(r"DELETE\s+FROM\s+(training_enroll|enrolment_history)", re.I)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and in_sql.search(str(node.value)):
            yield node.lineno


def unpickles(tree: ast.AST, _lines: list[str]) -> Iterator[int]:
    banned = {"pickle", "cPickle", "dill", "shelve", "marshal"}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if banned & {name.split(".")[0] for name in names}:
            yield node.lineno


def flushes_without_saying_for_whom(tree: ast.AST, lines: list[str]) -> Iterator[int]:
    for call, name in calls(tree):
        near = lines[max(call.lineno - 2, 0) : call.lineno]
        if name == "flush" and not any("#" in line for line in near):
            yield call.lineno


def explains_nothing(tree: ast.AST, _lines: list[str]) -> Iterator[int]:
    assert isinstance(tree, ast.Module)
    if not ast.get_docstring(tree):
        yield 1
    for node in tree.body:
        named = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        if named and not ast.get_docstring(node):  # type: ignore[arg-type]
            yield node.lineno


# --- the laws ------------------------------------------------------------------------------------


def test_only_the_top_floor_and_its_drivers_commit() -> None:
    assert breaches(ends_a_transaction, MAY_COMMIT) == []


def test_nobody_below_opens_a_session_of_their_own() -> None:
    assert breaches(opens_a_session, MAY_COMMIT) == []


def test_there_is_one_clock() -> None:
    assert breaches(asks_python_for_the_time, (THE_CLOCK,)) == []


def test_the_clock_is_read_on_the_top_floor_and_where_a_documented_name_takes_no_time() -> None:
    assert breaches(reads_our_clock, MAY_READ_THE_CLOCK) == []


def test_only_the_transitions_write_a_status_after_a_rows_birth() -> None:
    found = breaches(writes_a_status, MOVES_STATUSES)
    births = [f"{path}:{line}" for path, name in BIRTH.items() for line in lines_of(path, name)]
    assert [place for place in found if place not in births] == []
    assert len(found) == len(BIRTH)  # the births themselves are found


def test_a_move_is_branched_on_or_sure_to_win() -> None:
    assert breaches(ignores_whether_it_moved) == []


def test_nobody_deletes_an_enrolment_or_its_history() -> None:
    assert breaches(deletes_an_enrolment) == []


def test_nobody_pickles() -> None:
    assert breaches(unpickles) == []


def test_every_flush_says_who_needs_it() -> None:
    assert breaches(flushes_without_saying_for_whom) == []


def test_every_module_and_every_public_function_and_class_is_explained() -> None:
    assert breaches(explains_nothing) == []


def lines_of(path: str, function: str) -> range:
    """The lines of a function of a module."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    raise AssertionError(f"{path} has no {function}")


# --- a check that finds nothing must be able to --------------------------------------------------


@pytest.mark.parametrize(
    ("check", "broken", "kept"),
    [
        (ends_a_transaction, "session.commit()", "'session.commit()'"),
        (ends_a_transaction, "db.session.rollback()", "committed()"),
        (ends_a_transaction, "with write(session): pass", "file.write(text)"),
        (ends_a_transaction, "unit(session, act)", "conn.unit()"),
        (opens_a_session, "Session(engine)", "session: Session = given"),
        (asks_python_for_the_time, "datetime.now(UTC)", "standing.now()"),
        (asks_python_for_the_time, "datetime.datetime.utcnow()", "datetime.fromisoformat(t)"),
        (asks_python_for_the_time, "date.today()", "date(2026, 3, 2)"),
        (reads_our_clock, "now = utcnow()", "created = column(default=utcnow)"),
        (writes_a_status, "row.status = ENROLLED", "row.status == ENROLLED"),
        (writes_a_status, "row.status = 'enrolled'", "student.status = PersonStatus.ACTIVE"),
        (writes_a_status, "update(T).values(status=to)", "update(T).values(seats=2)"),
        (writes_a_status, "setattr(row, 'status', to)", "setattr(row, name, value)"),
        (writes_a_status, "{'training_id': 1, 'status': to}", "{'user_id': 1, 'status': to}"),
        (writes_a_status, "TrainingEnroll(status=to)", "AutomationRun(status=RunStatus.QUEUED)"),
        (ignores_whether_it_moved, "move(s, r, a, b)", "move(s, r, a, b)  # sure to win: locked"),
        (ignores_whether_it_moved, "x.move(s, r, a, b)", "if move(s, r, a, b): pass"),
        (deletes_an_enrolment, "session.delete(enrolment)", "session.delete(training)"),
        (deletes_an_enrolment, "sa.delete(TrainingEnroll)", "sa.delete(Job)"),
        (deletes_an_enrolment, "x('DELETE FROM training_enroll')", "x('DELETE FROM jobs')"),
        (unpickles, "import pickle", "import json"),
        (unpickles, "from pickle import loads", "from json import loads"),
        (flushes_without_saying_for_whom, "session.flush()", "session.flush()  # history asks"),
        (explains_nothing, "'''M.'''\ndef f(): pass", "'''M.'''\ndef f():\n  '''F.'''"),
        (explains_nothing, "x = 1", "'''M.'''\ndef _f(): pass"),
    ],
)
def test_each_check_finds_what_breaks_its_law_and_nothing_else(
    check: Check, broken: str, kept: str
) -> None:
    assert list(check(ast.parse(broken), broken.splitlines()))
    assert not list(check(ast.parse(kept), kept.splitlines()))


# --- what people are told to type ----------------------------------------------------------------


def test_every_make_target_that_a_page_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M))
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    typed = [m for p in pages for m in re.findall(r"(?:`|^)make ([a-z -]+)", p.read_text(), re.M)]
    named = {word for words in typed for word in words.strip().split()}
    assert named >= {"demo", "test"}
    assert named - targets == set()


def test_every_public_make_target_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.M)
    explained = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.M))
    assert phony is not None
    assert set(phony[1].split()) == explained
