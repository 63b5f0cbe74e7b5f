"""Archives and forecast stores, read: Icechunk repositories in a folder or on an object store.

What is opened is one commit: whatever is replaced later, it stays what it was. Writing is not here, but in the
`datasets.store` of the checkout. Needs the extra ``store``: ``pip install 'simvp[store]'``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from simvp.errors import ArchiveError
from simvp.places import MAIN, Place, damaged, in_words, open_repository
from simvp.record import from_json

if TYPE_CHECKING:
    import icechunk
    import zarr

TAG = "commit-"  # of commits that a model or a forecast names, by the id of their content
# Attribute of a repository's root that says what its last commit recorded of itself.
ATTRIBUTE = "simvp_store"


def open_archive(place: Place, *, commit: str | None = None, chunks: Any = None) -> xr.Dataset:
    """A commit of an archive, lazily, as `simvp.predict` takes it.

    Parameters
    ----------
    place
        A folder, or an address: ``s3://bucket/path``, ``gs://bucket/path``, ``az://container/path``. Endpoint and
        credentials come from the usual environment variables of these clouds.
    commit
        The last one by default. The ``archive_commit`` that a model or a forecast names, or an ``archive_snapshot``.
    chunks
        None: without dask, best for reading windows. "auto", {} or sizes: dask arrays.

    Returns
    -------
    xr.Dataset
        (time, latitude, longitude) or (time, y, x) by variable; coordinates ``present(time)``, whether the slot holds
        a frame, and ``digest(time)``; attributes ``archive_commit``, the id of its content, and ``archive_snapshot``,
        the repository's own name of the commit.

    Raises
    ------
    ArchiveError
        No archive there, one of an earlier format, or one that is damaged; the last also where values are read. No
        such commit, or one that has expired.
    """
    return _of_kind(place, ("archive",), commit).dataset(chunks)


def open_forecasts(place: Place, *, chunks: Any = None) -> xr.Dataset:
    """The last commit of a store of forecasts or hindcasts, lazily.

    Parameters
    ----------
    place, chunks
        As for `open_archive`.

    Returns
    -------
    xr.Dataset
        (init_time, lead_time, latitude, longitude), or y and x, by variable; coordinates along ``init_time`` say which
        model made it from which commit of the archive.

    Raises
    ------
    ArchiveError
        As for `open_archive`.
    """
    return _of_kind(place, ("forecasts", "hindcasts")).dataset(chunks)


@dataclass(frozen=True)
class Snapshot:
    """One commit of a store, which stays what it is.

    Parameters
    ----------
    place, session, group, arrays
        Where it is read from, and what is there.
    axis
        Dim along which the store grows.
    variables
        Names of what is no coordinate, in order; the repository keeps none.
    state
        What the commit recorded of itself.
    """

    place: Place
    session: "icechunk.Session"
    group: "zarr.Group"
    arrays: Mapping[str, "zarr.Array"]
    axis: str
    variables: list[str]
    state: dict[str, Any]

    @classmethod
    def head(
        cls, place: Place, repository: "icechunk.Repository", branch: str = MAIN, commit: str | None = None
    ) -> "Snapshot | None":
        """The last commit on a branch, or the one that is named; None before the first.

        Raises
        ------
        ArchiveError
            Damaged, or not written by this project.
        """
        import zarr

        with in_words(place):
            snapshot = repository.lookup_branch(branch) if commit is None else _named(repository, commit)
            if snapshot is None:
                return None
            if repository.lookup_snapshot(snapshot).parent_id is None:
                return None
            session = repository.readonly_session(snapshot_id=snapshot)
            group = zarr.open_group(session.store, mode="r")
            arrays, note = dict(group.arrays()), group.attrs.get(ATTRIBUTE)
        if note is None:
            raise ArchiveError(
                f"Store {place}",
                ["an Icechunk repository that was not made here"],
                "write to a store of its own; what it holds can be read as a source",
            )
        try:
            known = from_json(str(note))
            axis, variables, state = known["axis"], list(known["variables"]), dict(known["state"])
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(place, f"what its root says of the last commit cannot be read: {error}") from error
        if absent := [str(name) for name in (axis, *variables) if name not in arrays]:
            raise damaged(place, f"what its root names is not there: {', '.join(absent)}")
        return cls(place, session, group, arrays, axis, variables, state)

    @property
    def id(self) -> str:
        """The repository's own name of the commit."""
        return self.session.snapshot_id

    @property
    def length(self) -> int:
        """Frames along the axis."""
        return self.arrays[self.axis].shape[0]

    def read(self, name: str, rows: Any = slice(None)) -> np.ndarray:
        """Stored values of one array, some rows of its first dim."""
        with in_words(self.place, name):
            return np.asarray(self.arrays[name].oindex[rows])

    def dataset(self, chunks: Any = None, *, dated: bool = True) -> xr.Dataset:
        """All of it, lazily; damage is said in words where values are read.

        Parameters
        ----------
        dated
            Whether the axis is decoded, which costs time by its length where dates are cftime.
        """
        with in_words(self.place):
            store = _opener()(self)
            ds = xr.open_dataset(
                store,
                chunks={} if chunks == "auto" else chunks,
                decode_times=self.coder if dated else False,
            )
        attrs = {name: value for name, value in ds.attrs.items() if name != ATTRIBUTE}
        ds = xr.Dataset({name: ds.variables[name] for name in self.variables}, ds.coords, attrs)
        if "archive_commit" in ds.attrs and self.state.get("kind") == "archive":
            ds.attrs["archive_snapshot"] = self.id
        ds = ds.drop_encoding()
        for name in ds.coords:  # of which no value may be missing (CF 2.5.1)
            ds.variables[name].encoding["_FillValue"] = None
        return ds

    def ends(self) -> np.ndarray:
        """(2,) first and last value of the axis, as in `dataset`."""
        stored = self.read(self.axis, np.array([0, self.length - 1]))
        axis = xr.Variable(self.axis, stored, dict(self.arrays[self.axis].attrs))
        return xr.conventions.decode_cf_variable(self.axis, axis, decode_times=self.coder).values

    @property
    def coder(self) -> xr.coders.CFDatetimeCoder:
        """How times are decoded.

        The standard calendar is stored for cftime alone: times that datetime64[ns] cannot hold.
        """
        calendar = self.arrays[self.axis].attrs.get("calendar")
        return xr.coders.CFDatetimeCoder(use_cftime=True if calendar in ("standard", "gregorian") else None)


class _Array(BackendArray):
    """A stored array that says in words, where it is read, that it is damaged or has expired."""

    def __init__(self, stored: Any, name: str, place: Place, commit: str) -> None:
        self.shape, self.dtype = stored.shape, stored.dtype
        self._stored, self._name, self._place, self._commit = stored, name, place, commit

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        try:
            with in_words(self._place, self._name):
                return self._stored[key]
        except ArchiveError:
            repository = open_repository(self._place)
            with in_words(self._place):
                kept = {commit.id for commit in repository.ancestry(branch=MAIN)}
                kept |= {repository.lookup_tag(tag) for tag in repository.list_tags()}
            if self._commit in kept:
                raise
        raise ArchiveError(
            f"Store {self._place}", [f"the commit that was opened, {self._commit}, has expired"], "open the store again"
        )


def _opener() -> Any:
    """The reader of Zarr groups of xarray, with arrays that are `_Array`; made here, for it loads Zarr."""
    from xarray.backends.zarr import ZarrArrayWrapper, ZarrStore

    class Opener(ZarrStore):
        __slots__ = ("_snapshot",)

        def __init__(self, snapshot: Snapshot) -> None:
            super().__init__(snapshot.group, "r", cache_members=False)
            self._snapshot = snapshot

        @property
        def members(self) -> dict[str, Any]:
            return dict(self._snapshot.arrays)

        def open_store_variable(self, name: str) -> xr.Variable:
            variable = super().open_store_variable(name)
            stored = _Array(ZarrArrayWrapper(self.members[name]), name, self._snapshot.place, self._snapshot.id)
            return xr.Variable(variable.dims, indexing.LazilyIndexedArray(stored), variable.attrs, variable.encoding)

    return Opener


def _named(repository: "icechunk.Repository", commit: str) -> str | None:
    """Name of the snapshot with that id, of content or its own, that is in the history or kept by a tag."""
    if (tag := f"{TAG}{commit}") in repository.list_tags():
        return repository.lookup_tag(tag)
    for found in repository.ancestry(branch=MAIN):
        if commit in (found.id, found.metadata.get("id")):
            return found.id
    return None


def _of_kind(place: Place, kinds: tuple[str, ...], commit: str | None = None) -> Snapshot:
    snapshot = Snapshot.head(place, open_repository(place), commit=commit)
    if snapshot is None and commit is not None:
        raise ArchiveError(f"Store {place}", [f"there is no commit {commit}, or it has expired"], "open another one")
    if snapshot is None:
        raise ArchiveError(f"Store {place}", ["there is no commit yet"], "ingest or forecast first")
    if snapshot.state.get("kind") not in kinds:
        got = f"a store of {snapshot.state.get('kind', 'something else')}"
        raise ArchiveError(f"Store {place}", [f"expected {' or '.join(kinds)}, got {got}"], "open another one")
    return snapshot
