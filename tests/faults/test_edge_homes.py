"""Homes with unusual names, all the way: what is not refused works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.support.small_home import write_source


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with blanks", "Größe-日本-🌦", "a'b\"c&d;e$f", "x" * 100])
def test_a_home_of_another_name_takes_the_demo_to_its_end(name: str, tmp_path: Path) -> None:
    source = str(write_source(tmp_path / "source"))
    home = tmp_path / name / "home"
    words = ["--source", source, "--name", "mine", "--frames-in", "6", "--frames-out", "3", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "simvp", "demo", *words],
        cwd=CHECKOUT,
        env={**os.environ, "SIMVP_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=1200,  # a hang, also on a busy machine
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(home / "mine" / "skill.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"source", name}
    assert [path.name for path in (tmp_path / name).iterdir()] == ["home"]
