"""What `make demo` does before and after its two processes run (people PF1, PF2)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.ops import demo_run
from app.ops.exits import Ended
from config import Settings, mistakes_for_serving
from tests.schedulers import ROOT


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets is gone after it."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert demo_run.free_port(port) > port


def test_where_no_port_is_free_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(demo_run, "range", lambda first, _last: [first], raising=False)
        with pytest.raises(Ended, match="set WEB_PORT"):
            demo_run.free_port(taken.getsockname()[1])


def test_its_settings_are_safe_and_keep_letters_here(tmp_path: Path) -> None:
    given = {name.lower(): text for name, text in demo_run.environment(tmp_path).items()}
    settings = Settings(_env_file=None, **given)  # type: ignore[call-arg, arg-type]
    assert mistakes_for_serving(settings) == []
    assert (settings.environment, settings.web_host) == ("PRODUCTION", "127.0.0.1")
    assert settings.mail_transport == "file"
    assert Path(settings.mail_folder).parent == tmp_path


def test_two_demos_in_one_folder_are_refused(tmp_path: Path) -> None:
    with demo_run._alone(tmp_path):
        code = "import sys; from app.ops import demo_run; sys.exit(demo_run.main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
        )
    assert done.returncode == 4
    assert done.stderr == "The demo runs already: make demo-info says where.\n"
    assert not (tmp_path / "demo.db").exists()
