"""What the commands share: ids and times that are typed, tables and bars that are read."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import click
import pytest

from app import create_app
from app.ops import terminal
from app.ops.cli import COMMANDS
from app.ops.exits import Ended
from config import Settings
from tests.cast import NOON
from tests.forks import ROOT


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("1", 1),
        ("007", None),
        (str(2**31 - 1), 2**31 - 1),
        *((text, None) for text in ("0", "-1", "+1", "1e3", "٣", "0x1", " 1", "", "1,2", "1.0")),
        (str(2**31), None),
        ("9" * 40, None),
        ("0" * 5000 + "1", None),
    ],
)
def test_only_a_number_that_can_be_an_id_is_one(text: str, id_: int | None) -> None:
    assert terminal.number(text) == id_


def test_a_time_is_an_instant_or_how_long_ago() -> None:
    read = terminal.SINCE.convert
    assert read("2026-03-02T12:00", None, None) == NOON
    assert read("2026-03-02T14:00+02:00", None, None) == NOON
    assert read(NOON, None, None) == NOON
    ago = datetime.now(UTC) - read("90 minutes", None, None)
    assert abs(ago - timedelta(minutes=90)) < timedelta(minutes=1)
    for bad in ("", "soon", "0 00:00:00", "-1 day", "2026-13-01", "2026-03-02T24:61", "367 days"):
        with pytest.raises(click.BadParameter):
            read(bad, None, None)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.9, "59 s"), (190, "3 min 10 s"), (3600, "1 h"), (90061, "1 d 1 h"),
     (86400 * 400, "400 d")],
)  # fmt: skip
def test_a_length_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert terminal.length(timedelta(seconds=seconds)) == said


def test_an_instant_is_shown_in_utc_and_on_the_practice_clock() -> None:
    assert terminal.utc(NOON) == "2026-03-02 12:00:00Z"
    assert terminal.local(NOON, ZoneInfo("Asia/Tokyo")) == "Mon 02 Mar 21:00 JST"
    assert (terminal.utc(None), terminal.local(NOON, None)) == ("", "")


def test_what_could_play_with_the_screen_is_written_out() -> None:
    assert terminal.printable("Zoë → 7") == "Zoë → 7"
    assert terminal.printable("a\x1b[2J\n\u202eb\udcff") == r"a\x1b[2J\n\u202eb\udcff"


def test_a_table_has_its_columns_under_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(("id", "name"), [(1, "Ada"), (22, None)])
    terminal.print_table(("id", "name"), [])
    assert capsys.readouterr().out == "id  name\n1   Ada\n22\n"


def test_instants_in_json_are_utc_and_only_plain_values_pass() -> None:
    zone = ZoneInfo("Europe/Amsterdam")
    assert json.loads(terminal.as_json_text([NOON.astimezone(zone)])) == ["2026-03-02T12:00:00Z"]
    with pytest.raises(TypeError):
        terminal.as_json_text(object())


def test_what_takes_long_tells_a_line_per_tenth_and_goes_on_after_a_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def act(n: int) -> None:
        if n == 7:
            raise ZeroDivisionError

    assert terminal.each(range(200), "training", act) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.endswith(" s left")]
    assert len(told) == 10
    assert told[0].startswith("20 of 200 trainings (10 %), ")
    assert terminal.each(range(7), "training", act) == 0
    assert capsys.readouterr().err == ""


def test_a_database_that_is_gone_ends_all() -> None:
    done = []

    def act(n: int) -> None:
        done.append(n)
        raise TimeoutError("waited 10 s to write")

    with pytest.raises(TimeoutError):
        terminal.each(range(3), "training", act)
    assert done == [0]


def test_ctrl_c_at_a_question_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> bool:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise click.Abort from None

    monkeypatch.setattr(click, "confirm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        terminal.sure("Go on?", yes=False)
    terminal.sure("Go on?", yes=True)


def test_a_no_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "confirm", lambda *_, **__: False)
    with pytest.raises(Ended, match="Nothing was done") as end:
        terminal.sure("Go on?", yes=False)
    assert end.value.exit_code == 2


# --- all commands --------------------------------------------------------------------------------

WITHOUT_DATABASE = (
    "waitlist show x", "waitlist why x", "waitlist fill x", "waitlist fill --all --yes",
    "waitlist sweep", "jobs list", "jobs renew", "jobs remove x", "jobs export --out x",
    "runs list", "runs show 1", "runs retry 1", "runs cancel 1", "outbox list", "outbox show 1",
    "outbox send", "outbox retry 1", "outbox drop 1 --reason sorted",
    "outbox requeue --channel email --since 2h --yes", "outbox release --yes", "outbox bounce",
)  # fmt: skip


def test_without_a_database_each_command_says_what_to_set() -> None:
    run = create_app(Settings(_env_file=None)).test_cli_runner().invoke
    for line in WITHOUT_DATABASE:
        done = run(args=line.split())
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.endswith("is not set: put it into .env (see .env.example).\n")


ONE_COMMAND = """
import sys
from app import create_app
from config import Settings
app = create_app(Settings(_env_file=None), role="scheduler")
assert app.test_cli_runner().invoke(args=["jobs", "--help"]).exit_code == 0
print(*sorted(name for name in sys.argv[1:] if f"app.ops.{name}" in sys.modules))
"""


def test_a_process_imports_the_commands_that_it_is_asked_for() -> None:
    modules = COMMANDS.values()
    command = [sys.executable, "-c", ONE_COMMAND, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["jobs"]


def test_every_command_explains_itself() -> None:
    app = create_app(Settings(_env_file=None))
    run = app.test_cli_runner().invoke
    context = click.Context(app.cli)
    assert set(COMMANDS) <= set(app.cli.list_commands(context))
    for ours in COMMANDS:
        one = app.cli.get_command(context, ours)
        own = one.commands if isinstance(one, click.Group) else {None: one}
        for name, command in own.items():
            assert command
            assert command.name == (name or ours)
            assert command.help
            args = [ours, *([name] if name else []), "--help"]
            assert run(args=args).exit_code == 0
