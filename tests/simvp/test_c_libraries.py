"""Modules keep to the C libraries that they bring, also where ecCodes was imported before."""

import subprocess
import sys
from pathlib import Path


def test_a_registry_in_sqlite_is_asked_after_eccodes_was_imported(empty_database: Path) -> None:
    program = (
        "import eccodes\n"
        "from simvp.inference import Registry\n"
        f"print(len(Registry('sqlite:///{empty_database}').versions('simvp-nothing')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["0"]), done.stderr[-1000:]
