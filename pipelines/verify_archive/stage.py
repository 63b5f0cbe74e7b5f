"""Verify-archive: read all that a data set has kept, say what is damaged, and on request make it whole again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.archive import Archive
from datasets.location import join, names_in
from pipelines.forecast_store import forecasts_at, horizons
from pipelines.home import Home
from pipelines.integrity import Reading, StoreReport, read_store
from pipelines.issuing import Kind
from pipelines.known import known_sources, take_in
from pipelines.machine import stage
from pipelines.progress import Progress, silent
from pipelines.verify import verify
from pipelines.verify_archive.healing import heal_archive, heal_derived, heal_forecasts, losses
from pipelines.verify_archive.report import ArchiveReport
from simvp.errors import ArchiveError, ConfigError
from simvp.places import Place, is_address

if TYPE_CHECKING:
    from simvp.inference import Forecaster

KINDS: tuple[Kind, ...] = ("forecasts", "hindcasts")


@stage
def verify_archive(
    home: Home,
    dataset: str,
    *,
    heal: bool = False,
    model: "Forecaster | Path | str | None" = None,
    progress: Progress = silent,
) -> ArchiveReport:
    """Read archive, known inputs, forecasts, hindcasts, scores and verified errors of a data set whole.

    Every chunk of the last commits is decoded, which checks its checksum; every frame of the archive is compared with
    its digest; of older commits that are kept, everything but the chunks is read.

    Parameters
    ----------
    heal
        Make whole again what can be: see `pipelines.verify_archive.healing`. Otherwise nothing is written.
    model
        The model or its file, for scores of forecasts of a model that is not in the registry.
    progress
        Of "read" and the store, in frames.

    Raises
    ------
    ConfigError
        There is nothing of that data set.
    """
    home.dataset(dataset)  # refuses what is no name
    place = join(home.store, dataset)
    scores, verified = (_names(join(place, kind)) for kind in ("scores", "verified"))
    # Of what has scores, there were forecasts.
    issued = {_forecasts_of(name) for name in scores}
    issued |= {(kind, horizon) for kind in KINDS for horizon in horizons(home, dataset, kind)}
    if "archive.zarr" not in names_in(place) and not issued and not verified:
        known = ", ".join(home.datasets) or "none"
        raise ConfigError(f"Data set {dataset}", [f"there is nothing of it in {home.store}; there are {known}"])
    archive = read_store("archive", home.archive(dataset), progress)
    reports = [heal_archive(home, dataset, archive, progress) if heal and archive.faults else archive.report]
    for source in known_sources(home, dataset):
        reading = read_store(f"known input {source}", home.known(dataset, source), progress)
        again = heal and reading.faults
        reports.append(_known_again(home, dataset, source, reading, progress) if again else reading.report)
    for kind, horizon in sorted(issued):
        reading = read_store(f"{kind} of {horizon}", forecasts_at(home, dataset, kind, horizon), progress)
        if not reading.faults or not heal:
            reports.append(replace(reading.report, lost=tuple(losses(reading))))
        elif kind == "forecasts" or is_address(reading.path) or not Path(reading.path).exists():
            reports.append(heal_forecasts(reading, progress))
        else:
            how = "make them again: the flow forecast with hindcast_start and hindcast_end"
            reports.append(heal_derived(reading, progress, None, how))
    for name in scores:
        kind, horizon = _forecasts_of(name)
        reading = read_store(f"scores of {kind} of {horizon}", home.scores(dataset, name), progress)
        damaged = [one.name for one in reports if not one.whole and one.name in ("archive", f"{kind} of {horizon}")]

        def score(kind: Kind = kind, horizon: str = horizon, damaged: Sequence[str] = damaged) -> None:
            if damaged:
                raise ArchiveError(f"Scores of {dataset}", [f"damaged: {one}" for one in damaged])
            verify(home, dataset, kind=kind, horizon=horizon, model=model)

        again = heal and reading.faults
        reports.append(heal_derived(reading, progress, score, "scored again") if again else reading.report)
    for name in verified:
        reading = read_store(f"verified errors of {name}", join(place, "verified", f"{name}.zarr"), progress)
        again = heal and reading.faults
        how = "the next forecast makes it again"
        reports.append(heal_derived(reading, progress, None, how) if again else reading.report)
    return ArchiveReport(dataset=dataset, stores=tuple(reports))


def _known_again(home: Home, dataset: str, source: str, reading: Reading, progress: Progress) -> StoreReport:
    """What a known input's source says now; how it was read, its commits say, as far as they can be read."""
    how = f"read again from its source; or simvp ingest {dataset}, where a file describes it"
    try:
        settings = Archive(home.known(dataset, source)).source_settings
    except ArchiveError:
        return heal_derived(
            reading, progress, None, f"simvp ingest {dataset} reads it again, where a file describes it"
        )
    return heal_derived(reading, progress, lambda: take_in(home, dataset, {source: settings}), how)


def _names(place: Place) -> list[str]:
    """Names of the stores in a place."""
    return [name.removesuffix(".zarr") for name in names_in(place) if name.endswith(".zarr")]


def _forecasts_of(scores: str) -> tuple[Kind, str]:
    """Kind and horizon of what a store of scores is of, by its name."""
    kind: Kind = "hindcasts" if scores.startswith("hindcasts-") else "forecasts"
    return kind, scores.removeprefix(f"{kind}-")
