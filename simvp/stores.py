"""Archives and forecast stores, read: Icechunk repositories in a folder or on an object store.

What is opened is one commit: whatever is replaced later, it stays what it was. Writing is not here, but in the
`datasets.store` of the checkout. Needs the extra ``store``: ``pip install 'simvp[store]'``.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from simvp.coords import unfilled
from simvp.errors import ArchiveError, ConfigError, Refusal

if TYPE_CHECKING:
    import icechunk
    import zarr

Place = str | os.PathLike[str]

MAIN = "main"
TAG = "commit-"  # of commits that a model or a forecast names, by the id of their content
# Attribute of a repository's root that says what its last commit recorded of itself.
ATTRIBUTE = "simvp_store"
_REMEDY = (
    "see what is lost and what can be healed: make verify-archive NAME=<data set>; "
    "or put it back from a copy, or make it again: move {} away and read its sources again"
)
# What an object store or the way to it says when nothing is wrong with the data.
_UNREACHABLE = re.compile(r"dispatch failure|timed? ?out|connect|credential|denied|forbidden|dns|service error", re.I)


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


def is_address(place: Place) -> bool:
    """Whether a place lies behind a scheme, such as ``s3://``."""
    return "://" in str(place)


def storage_at(place: Place) -> "icechunk.Storage":
    """Where the objects of the repository at a place lie.

    Raises
    ------
    ConfigError
        An address of another kind, or one that holds a password.
    """
    import icechunk

    if "ICECHUNK_LOG" not in os.environ:
        # Without its words on standard error: what it cannot read is raised, and local writers hold a lock.
        icechunk.set_logs_filter("off")
    if not is_address(place):
        return icechunk.local_filesystem_storage(os.path.abspath(place))
    address = urlsplit(str(place))
    if "@" in address.netloc:
        raise ConfigError(
            f"Address {address.scheme}://...@{address.hostname}{address.path}",
            ["expected no name and no password in it"],
            "state credentials by the environment variables of the cloud",
        )
    where: dict[str, Any] = {"prefix": address.path.strip("/") or None, "from_env": True}
    if address.scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return icechunk.s3_storage(
            bucket=address.netloc,
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
            endpoint_url=endpoint,
            allow_http=(endpoint or "").startswith("http://"),
            force_path_style=endpoint is not None,
            **where,
        )
    if address.scheme in ("gs", "gcs"):
        return icechunk.gcs_storage(bucket=address.netloc, **where)
    if address.scheme in ("az", "azure"):
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        return icechunk.azure_storage(account=account, container=address.netloc, **where)
    raise ConfigError(f"Address {place}", ["expected a folder, or s3://, gs:// or az://"], "choose one of these")


def open_repository(place: Place, config: "icechunk.RepositoryConfig | None" = None) -> "icechunk.Repository":
    """The repository at a place.

    Raises
    ------
    ArchiveError
        There is none, something else is there, or it is damaged.
    """
    import icechunk

    if is_address(place) or os.path.isdir(place):  # to look into a folder that is not there would make it
        storage = storage_at(place)
        with in_words(place):
            if icechunk.Repository.exists(storage):
                return icechunk.Repository.open(storage, config)
    refuse_anything_else(place)
    raise ArchiveError(f"Store {place}", ["there is none"], "check the path, or ingest first")


def refuse_anything_else(place: Place) -> None:
    """Refuse a folder that is there and no repository: one that never was, or what is left of one.

    Raises
    ------
    ArchiveError
        Always, where something is there.
    """
    folder = Path(place)
    if is_address(place) or not folder.exists():
        return
    if (folder / "zarr.json").is_file():
        raise ArchiveError(
            f"Store {place}",
            ["expected an Icechunk repository, got a Zarr store, such as earlier versions kept theirs in"],
            f"move it away and ingest the source again; {folder.name}.log/recipe.json beside it says how it was read",
        )
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if names and not {"refs", "snapshots", "manifests", "chunks", "transactions"} & set(names):
        raise ArchiveError(f"Store {place}", ["expected nothing there yet, got a file or a folder"])
    what = "its folder is empty" if not names else f"the branch {MAIN} is not there, only {', '.join(names)}"
    raise damaged(place, what)


def damaged(place: Place, what: str) -> ArchiveError:
    """What is said of a store that is not whole."""
    return ArchiveError(f"Store {place} is damaged", [what], _REMEDY.format("what is left of it"))


@contextmanager
def in_words(place: Place, what: str = "") -> Iterator[None]:
    """Errors of Icechunk and Zarr as refusals: damage, or a place that cannot be reached.

    Parameters
    ----------
    what
        Variable that is read.
    """
    try:
        yield
    except (Refusal, MemoryError, IndexError):
        raise
    except Exception as error:  # a codec, Zarr and Icechunk have kinds of their own
        text = f"{what + ': ' if what else ''}{in_short(error)}"
        if is_address(place) and _UNREACHABLE.search(str(error)):
            raise ArchiveError(f"Store {place} cannot be reached", [text], "check address and credentials") from error
        raise damaged(place, text) from error


def in_short(error: Exception) -> str:
    """What an error of Icechunk says, without where in its sources."""
    first = re.split(r"\n\s*(?:\||context:)", str(error).strip())[0].removeprefix("x ").strip()
    return first or type(error).__name__


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
        note = json.loads(str(note))
        return cls(place, session, group, arrays, note["axis"], note["variables"], note["state"])

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
        return unfilled(ds.drop_encoding())

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
    """A stored array that says in words, where it is read, that it is damaged."""

    def __init__(self, stored: Any, place: Place, name: str) -> None:
        self.shape, self.dtype = stored.shape, stored.dtype
        self._stored, self._place, self._name = stored, place, name

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        with in_words(self._place, self._name):
            return self._stored[key]


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
            stored = _Array(ZarrArrayWrapper(self.members[name]), self._snapshot.place, name)
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
