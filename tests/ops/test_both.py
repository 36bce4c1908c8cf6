"""`make run`: web and scheduler together (libraries H1)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.schedulers import ROOT

CHILD = """
import os, signal, sys, time
told = open(sys.argv[0] + ".told", "ab", buffering=0)
signal.signal(signal.SIGTERM, lambda *_: told.write(b"TERM "))
signal.signal(signal.SIGINT, lambda *_: told.write(b"INT "))
told.write(b"ready ")
until = time.monotonic() + 20
while time.monotonic() < until and "TERM" not in open(sys.argv[0] + ".told").read():
    time.sleep(0.05)
time.sleep(0.3)
sys.exit(CODE)
"""


def start(folder: Path, *codes: int) -> tuple[subprocess.Popen[bytes], list[Path]]:
    """Both, with scripts that note the signals they get and end 0.3 s later with these codes."""
    scripts = [folder / f"{n}.py" for n in range(len(codes))]
    for script, code in zip(scripts, codes, strict=True):
        script.write_text(CHILD.replace("CODE", str(code)))
    names = tuple(map(str, scripts))
    command = (
        f"import sys; from app.ops import both; both.SCRIPTS = {names!r}; sys.exit(both.main())"
    )
    process = subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, start_new_session=True)
    told = [script.with_name(script.name + ".told") for script in scripts]
    until = time.monotonic() + 20
    while not all(file.exists() and "ready" in file.read_text() for file in told):
        assert time.monotonic() < until
        time.sleep(0.05)
    return process, told


def test_ctrl_c_asks_each_once_and_waits_for_both(tmp_path: Path) -> None:
    process, told = start(tmp_path, 0, 0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(20) == 0
    assert [file.read_text() for file in told] == ["ready TERM ", "ready TERM "]


def test_whoever_ends_ends_the_other_and_its_exit_code_is_told(tmp_path: Path) -> None:
    process, told = start(tmp_path, 4, 0)
    (tmp_path / "0.py.told").write_text("ready TERM ")  # the first ends by itself
    assert process.wait(20) == 4
    assert told[1].read_text() == "ready TERM "
