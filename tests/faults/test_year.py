"""Operations in fast motion: a few days in the default run, a year in the slow one."""

import subprocess
import sys

import pytest

from tests.conftest import CHECKOUT


@pytest.mark.parametrize(
    "days",
    [pytest.param(28, marks=pytest.mark.slow), pytest.param(365, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])],
)
def test_nothing_is_lost_and_there_is_always_a_champion(days: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.year", str(days), "1"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert f"{days} days in " in done.stdout
