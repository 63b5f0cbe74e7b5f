"""A home whose first start is killed, at any moment, by this version or by an earlier one: the next start works.

Longer: ``FAULTS=200 pytest -m slow tests/faults``, of which the seed is `FAULTS_SEED`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.faults.first_start import SKIPPED

KILLS, SEED = int(os.environ.get("FAULTS", "12")), int(os.environ.get("FAULTS_SEED", "1"))
LONG = [pytest.mark.slow, pytest.mark.timeout(60 + 60 * KILLS)]


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        ("earlier", 1),
        pytest.param("earlier", KILLS, marks=LONG),
        pytest.param("training", KILLS, marks=LONG),
        pytest.param("postgres", max(1, KILLS // 4), marks=LONG),
        pytest.param("together", max(1, KILLS // 4), marks=LONG),
        pytest.param("up", max(1, KILLS // 4), marks=LONG),
    ],
)
def test_the_start_after_a_kill_works(tmp_path: Path, kind: str, kills: int) -> None:
    command = [sys.executable, "-m", "tests.faults.first_start", kind, str(tmp_path), str(kills), str(SEED)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    print(done.stdout)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert done.stdout.count("kill ") == kills
