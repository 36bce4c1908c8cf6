"""The tests of Nextseat. Whatever a run needs is compiled once, not once in each of its processes.

Where the machine keeps no bytecode (PYTHONDONTWRITEBYTECODE, as in many containers) each worker
would compile a thousand modules and rewrite the assertions of all tests: they share a folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

BYTECODE = Path(__file__).parent.parent / ".pytest_cache" / "bytecode"

if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(BYTECODE)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # nor do the processes that tests start
    os.environ["PYTHONPYCACHEPREFIX"] = str(BYTECODE)
