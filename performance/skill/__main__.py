"""`python -m performance.skill [--only era5-uk] [--seeds 3] [--short]`: train, judge, and write docs/skill.md."""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any
from unittest import mock

import flows  # noqa: F401  threads wait as they do in every flow
from datasets.catalog import DEFAULT, SOURCES, find_source
from datasets.simulated import SimulatedWeather
from performance.report import Section, where, write
from performance.skill.tables import section
from performance.skill.trial import run
from pipelines.home import Home
from pipelines.tracking import CHECKOUT, git_state
from simvp.errors import Refusal

CHOSEN_ON = ("simulated-weather", "simulated-traffic", "era5-uk", "nyc-taxi", "ersst-pacific")
LOOKED_AT = ("radar-brisbane",)  # while what is particular to rain was made
TINY: dict[str, Any] = {"size": "tiny", "epochs": 1, "epoch_updates": 2, "frames_in": 4, "frames_out": 2}

HEAD = """# Skill

Written by `make skill`, which takes every data set of the catalogue that is on the machine from its source to the gate
with the default settings, in a home of its own that is thrown away; `make skill ONLY=era5-uk SEEDS=3` does one of them
again, with three seeds. A set that was not run keeps what was found of it before; each says when, of which commit and
where it was measured.

The table has the RMSE over all leads of the held-out period, which training never reads. All systems of a line are
scored on the same n init times and points. *Model*: what is issued, a mean of corrected base, base and baselines with
weights that follow from verified errors. *Unmixed*: the corrected base alone, as with `mixture=False`. *Base*: the
linear forecast without the network. *Worst lead*: the largest ratio at a single lead of the model's RMSE to that of
the baseline that is best at that lead. Of several seeds figures are medians, ratios with the smallest and the largest
in brackets. Where something is rain there is a table of its CSI over the validation blocks too, since the held-out
period may be dry: each block is forecast by a model trained on what lies before it alone, blocks that have too little
before them are left out, and *points with rain* says how much it rained. Seconds of training are those of the stage,
which makes a new MLflow database too. [gate.md](gate.md) says what the gate asks for,
[mixture.md](mixture.md) where weights come from, [datasets.md](datasets.md) what the data sets are.

## How the recipe was chosen

One recipe serves all data sets; nothing is set for one of them. What it consists of (predictors and folds of the
base, shifts of training windows, size of the network and when there is none, correction, rates of the mixture) was
chosen on validation blocks of {chosen_on}. Their held-out periods chose nothing, but for what follows. Two things are
older than this rule: the number of epochs was set after scores on the held-out week of `era5-uk` had been seen, and
the list of predictors goes back to a study that had looked at that week and at a day of radar. What is particular to
rain (how it is carried along its motion and made sharp, that dry stays dry, that the scale of errors falls after a
storm) was made with four days of radar at hand, of which {looked_at} is one, with the dry evening that is held out of
it: its figures prove less. That weights have an eager and a calm recursion was found on simulated series, and checked
for what it loses on the held-out weeks of `era5-uk` and `nyc-taxi`, of the base alone, where the mixture gains most;
how much the eager one is trusted was settled with these in view.
Kept out until the end: {kept_out}.{missing}"""


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Run the data sets that are named, by default all that are here; 2 where one of them was refused.

    Parameters
    ----------
    root
        Folder below which the page and what was measured are written; by default the checkout, and a temporary folder
        for `--short`.
    """
    parser = argparse.ArgumentParser(prog="make skill", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", default="", help=f"data sets, with commas: {', '.join(SOURCES)}")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each data set (default: 1)")
    parser.add_argument("--short", action="store_true", help="a tiny simulated world alone, to see that it runs")
    settings = parser.parse_args(arguments)
    if settings.seeds < 1:
        parser.error(f"seeds: expected 1 or more, got {settings.seeds}")
    try:
        names = [DEFAULT] if settings.short else _names(settings.only)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    logging.disable(logging.WARNING)
    root = root or (Path(tempfile.mkdtemp(prefix="skill-")) if settings.short else CHECKOUT)
    code, refused = where(git_state()), False  # before the page is written
    for name in names:
        try:
            made = measure(name, settings.seeds, short=settings.short)
        except Refusal as refusal:
            print(f"{name}: {refusal}", file=sys.stderr)
            refused = True
            continue
        made.save(_kept(root) / f"{name}.json", code)
        page = write_page(root)
        print(made.markdown(), end="\n\n", flush=True)
        print(f"Written: {page}", file=sys.stderr)
    return 2 if refused else 0


def measure(name: str, seeds: int, *, short: bool = False) -> Section:
    """The section of one data set; `short`: of a tiny world under that name, hardly trained.

    Raises
    ------
    Refusal
        Of ingest, training or gate.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"skill-{name}-") as folder, mock.patch.dict(os.environ):
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # somebody's server has no part in this
        home, given = Home(Path(folder) / "home"), dict[str, Any]()
        if short:
            file = Path(folder) / "tiny.nc"
            SimulatedWeather(shape=(8, 8), noise_std=0.2).dataset(frames=24 * 12).to_netcdf(file)
            given = {"source": file, "settings": TINY}
        found = run(home, name, seeds, **given)
    print(f"({name}: {time.monotonic() - start:.0f} s)", file=sys.stderr)
    return section(found, find_source(name))


def write_page(root: Path) -> Path:
    """docs/skill.md, of all that has been measured, in the order of the catalogue."""
    page, kept = root / "docs" / "skill.md", {name: _kept(root) / f"{name}.json" for name in SOURCES}
    there = [name for name, file in kept.items() if file.is_file()]
    lacking = [name for name in SOURCES if name not in there]
    missing = f"\n\nNot measured yet: {_listed(lacking)}." if lacking else ""
    head = HEAD.format(
        chosen_on=_listed(CHOSEN_ON),
        looked_at=_listed(LOOKED_AT),
        kept_out=_listed([name for name in SOURCES if name not in (*CHOSEN_ON, *LOOKED_AT)]),
        missing=missing,
    )
    wrapped = (fill(text, 120, break_long_words=False, break_on_hyphens=False) for text in head.split("\n\n"))
    page.parent.mkdir(parents=True, exist_ok=True)
    write(page, [kept[name] for name in there], "\n\n".join([*wrapped, "## Results\n"]))
    return page


def _names(only: str) -> list[str]:
    """The data sets named, or all that are here; it is said which are left out."""
    if only:
        names = [name.strip() for name in only.split(",")]
        for name in names:
            find_source(name)
        return names
    here = [name for name, source in SOURCES.items() if source.present()]
    if absent := [name for name in SOURCES if name not in here]:
        print(f"not here, and left out: {', '.join(absent)}; ONLY=... has them fetched", file=sys.stderr)
    return here


def _kept(root: Path) -> Path:
    """What was measured, kept with the code, so that one data set can be done again alone."""
    return root / "performance" / "measured" / "skill"


def _listed(names: Sequence[str]) -> str:
    """`a`, `b` and `c`."""
    shown = [f"`{name}`" for name in names]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


if __name__ == "__main__":
    sys.exit(main())
