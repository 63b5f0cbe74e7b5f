"""`make gpu`: everything there is to know of a GPU in at most nine minutes, step by step.

Each step writes its result before the next begins, so that a cut-off loses one step. A step that fails, or for which no
time is left, says so in its place. What is kept lies in a folder, from which a later run goes on with the curve.
"""

import argparse
import logging
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import flows  # noqa: F401  threads wait as in a flow that is started now
from performance.gpu import curve, loading, speed
from performance.report import Section, Table, where, write
from pipelines.tracking import CHECKOUT, git_state
from pipelines.training import choose_device

STEPS = ("tests", "speed", "loading", "ranks", "curve")
# Seconds after the start by which a step has to be done; what it leaves is the next one's, and the curve's in the end.
UNTIL = {"tests": 120, "speed": 270, "loading": 300, "ranks": 360}
SPARE = 15.0  # seconds for the last score and for writing
HEAD = "# A GPU\n\nWritten by `make gpu`, step by step.\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the steps that there is time for; the report holds those of earlier runs too."""
    parser = argparse.ArgumentParser(prog="make gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="all steps together")
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "gpu-run", help="results, and where the curve stands")
    parser.add_argument("--short", action="store_true", help="tiny sizes, to see that it runs")
    settings = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    start, folder = time.monotonic(), settings.folder
    device, code = choose_device("auto"), git_state()
    for name in STEPS:
        end = min(60 * settings.minutes - SPARE, UNTIL.get(name, float("inf")))
        left = _clock(start, end)
        if left() <= 0:
            continue
        section = _done(name, folder, device, left, short=settings.short)
        section.save(folder / f"gpu-{name}.json", where(code))
        write(folder / "report.md", [path for one in STEPS if (path := folder / f"gpu-{one}.json").is_file()], HEAD)
        print(section.markdown(), f"\n({name}: at {time.monotonic() - start:.0f} s)\n", flush=True)


def _clock(start: float, end: float) -> Callable[[], float]:
    return lambda: start + end - time.monotonic()


def _done(name: str, folder: Path, device: torch.device, left: Callable[[], float], *, short: bool) -> Section:
    """The result of a step, or why it has none."""
    try:
        if name == "tests":
            return _tests(left, short=short)
        if name == "speed":
            return speed.measure(device, left, short=short)
        if name == "loading":
            return loading.measure(device, short=short)
        if name == "ranks":
            return _ranks(left)
        return curve.measure(folder, device, left, short=short)
    except Exception as error:  # whatever a machine that nobody knows lacks: the other steps go on
        traceback.print_exc()
        return Section(title=name, text=f"Did not run: {type(error).__name__}: {error}")


def _tests(left: Callable[[], float], *, short: bool) -> Section:
    """The tests that need a CUDA device; where there is none they are skipped, and say so."""
    paths = ["tests/datasets/video/test_moving_mnist.py"] if short else ["tests"]
    words = _pytest(["-m", "cuda", *paths], left())
    return Section(title="Tests on the device", text="`pytest -m cuda`", tables=(_counts(words),))


def _ranks(left: Callable[[], float]) -> Section:
    """Two processes on two devices train as one does."""
    count = torch.cuda.device_count()
    title = "Two processes"
    if count < 2:
        return Section(title=title, text=f"Left out: two devices are needed, {count or 'none'} found.")
    words = _pytest(["-m", "cuda or not slow", "tests/pipelines/ranks"], left())
    return Section(title=title, text=f"`pytest tests/pipelines/ranks`, {count} devices", tables=(_counts(words),))


def _pytest(arguments: Sequence[str], seconds: float) -> str:
    """The last line of pytest, which counts."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "-p", "no:cacheprovider", *arguments]
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        return f"not done within {seconds:.0f} s"
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}, without a word"


def _counts(line: str) -> Table:
    found = re.findall(r"(\d+) (passed|failed|skipped|deselected|errors?)", line)
    rows = tuple((word, number) for number, word in found if word != "deselected")
    return Table(columns=("tests", "count"), rows=rows or ((line, ""),))


if __name__ == "__main__":
    main()
