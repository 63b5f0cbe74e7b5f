"""Operations in fast motion: six days with a fault of each kind, and a year."""

import subprocess
import sys

import pytest

from tests.conftest import CHECKOUT
from tests.faults.year import FAULTS

ONE_OF_EACH = 12264  # the seed with which the first six days have a fault of each kind


@pytest.mark.parametrize(
    ("days", "seed"),
    [
        pytest.param(6, ONE_OF_EACH, marks=pytest.mark.slow),
        pytest.param(365, 1, marks=[pytest.mark.slow, pytest.mark.timeout(7200)]),
    ],
)
def test_nothing_is_lost_and_there_is_always_a_champion(days: int, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.year", str(days), str(seed)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert f"{days} days in " in done.stdout
    for fault in FAULTS:
        assert f" fault {fault}\n" in done.stdout
