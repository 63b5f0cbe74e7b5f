"""`python -m performance [--only step,ingest] [--short]`: measure, and write BENCHMARKS.md."""

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import flows  # noqa: F401  threads wait as in a flow that is started now
from performance.report import where, write
from pipelines.tracking import CHECKOUT, git_state

SECTIONS = ("step", "loader", "ingest", "commits", "predict", "start", "growth")
# Of `make gpu`, where somebody has put them: a session with a GPU leaves them in a folder of its own.
ON_GPU = tuple(f"gpu-{name}" for name in ("tests", "speed", "loading", "ranks", "curve"))
KEPT = CHECKOUT / "performance" / "measured"  # kept with the code, so that one section can be measured again alone


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sections that are named; the report also holds those measured before."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections, with commas: {', '.join(SECTIONS)}")
    parser.add_argument("--short", action="store_true", help="tiny sizes, to see that it runs; nothing is written")
    settings = parser.parse_args(arguments)
    chosen = settings.only.split(",")
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"section {', '.join(unknown)}: expected some of {', '.join(SECTIONS)}")
    logging.disable(logging.WARNING)
    code = git_state()  # before a section writes its picture
    for name in chosen:
        start = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
        try:
            section = import_module(f"performance.{name}").measure(folder, short=settings.short)
        finally:
            shutil.rmtree(folder)
        print(section.markdown(), f"\n({name}: {time.monotonic() - start:.0f} s)\n", flush=True)
        if not settings.short:
            section.save(KEPT / f"{name}.json", where(code))
    if not settings.short:
        write(
            CHECKOUT / "BENCHMARKS.md",
            [path for name in (*SECTIONS, *ON_GPU) if (path := KEPT / f"{name}.json").is_file()],
        )
        print(f"Written: {CHECKOUT / 'BENCHMARKS.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
