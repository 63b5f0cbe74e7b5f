"""Known future inputs of a data set: archives beside that of its frames, one for each source, and frames with them.

A source is read by each ingest, and what differs from what was kept takes its place, since a forecast of this morning
is better than that of yesterday; the archive's history keeps both. Maps are on the grid of the frames; a series has one
point.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from datasets.archive import Archive, Commit
from datasets.location import names_in
from datasets.readers import open_series, open_source
from pipelines.home import Home
from pipelines.training import SourceSettings
from simvp.contract import SOURCE, attach
from simvp.coords import Grid
from simvp.errors import ConfigError, Refusal, SourceError

SUFFIX = ".zarr"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def take_in(home: Home, dataset: str, sources: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Commit]:
    """Read the sources of known inputs into their archives, by name; None: those that there are, as before.

    Raises
    ------
    ConfigError
        A name that is none; a variable that two sources have.
    Refusal
        As of an ingest of frames, or maps on another grid than the frames.
    """
    if sources is None:
        sources = {name: Archive(home.known(dataset, name)).source_settings for name in known_sources(home, dataset)}
    return {name: _take_in(home, dataset, name, SourceSettings(**settings)) for name, settings in sources.items()}


def known_sources(home: Home, dataset: str) -> list[str]:
    """Names of the sources whose archives there are."""
    return [name.removesuffix(SUFFIX) for name in names_in(home.known(dataset)) if name.endswith(SUFFIX)]


def with_known(home: Home, dataset: str, ds: xr.Dataset) -> xr.Dataset:
    """The frames of a data set, with the known inputs that it has; not loaded. Attribute `known_commits`: of what."""
    found, commits = {}, {}
    for name in known_sources(home, dataset):
        known = Archive(home.known(dataset, name)).dataset()
        commits[name] = str(known.attrs["archive_commit"])
        for variable, field in _fields(known, ds).items():
            found[variable] = field.assign_attrs({SOURCE: name})
    return attach(ds, found).assign_attrs(known_commits=commits) if found else ds


def _take_in(home: Home, dataset: str, name: str, settings: SourceSettings) -> Commit:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"known input {name!r} of {dataset}", ["expected lower case letters, digits, '_' and '-'"], "name it so"
        )
    archive = Archive(home.known(dataset, name))
    variables, units = settings.variables, settings.units
    given = open_series(settings.source, variables=variables, units=units)
    if given is None:
        given = open_source(settings.source, variables=variables, units=units, select=settings.select)
        frames = Archive(home.archive(dataset)).dataset()
        if reasons := Grid.of(frames[list(frames.data_vars)]).faults(given):
            raise SourceError(f"known input {name} of {dataset}", reasons, "regrid it to the grid of the frames first")
    _refuse_twice(home, dataset, name, given)
    kept = {**settings.model_dump(exclude_none=True), "source": _absolute(settings.source)}
    try:
        return archive.append(given, replace=True, source_settings=kept)
    except Refusal as refusal:
        raise type(refusal)(
            f"known input {name} of {dataset}", refusal.reasons or [refusal.subject], refusal.remedy
        ) from None


def _absolute(source: str | list[str]) -> str | list[str]:
    if not isinstance(source, str):
        return [str(_absolute(one)) for one in source]
    return source if "://" in source else str(Path(source).absolute())


def _refuse_twice(home: Home, dataset: str, name: str, given: xr.Dataset) -> None:
    for other in known_sources(home, dataset):
        same = (
            []
            if other == name
            else [n for n in given.data_vars if n in Archive(home.known(dataset, other)).schema.variables]
        )
        if same:
            raise ConfigError(
                f"known input {name} of {dataset}",
                [f"{variable}: the source {other} has a variable of that name" for variable in same],
                "keep it of one of them (variables)",
            )


def _fields(known: xr.Dataset, frames: xr.Dataset) -> dict[str, xr.DataArray]:
    """Fields (time,) of a series, (time, row, column) of maps in the order of the frames."""
    grid = Grid.of(frames[list(frames.data_vars)])
    series = known[next(iter(known.data_vars))].shape[1:] == (1, 1) and grid.shape != (1, 1)
    known = known.isel(y=0, x=0, drop=True) if series else grid.align(known)
    return {str(name): field for name, field in known.data_vars.items()}
