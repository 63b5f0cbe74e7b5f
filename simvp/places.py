"""Places in which stores lie, folders and addresses on object stores, and what is said of one that cannot be read."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from simvp.errors import ArchiveError, ConfigError, Refusal, Unavailable, fault_around
from simvp.settings import shown_address

if TYPE_CHECKING:
    import icechunk

Place = str | os.PathLike[str]

MAIN = "main"
# A commit writes anew the list of the chunks of every array that it touches: in pieces, so that this stays short.
CHUNKS_LISTED = 256
_REMEDY = (
    "see what is lost and what can be healed: make verify-archive NAME=<data set>; "
    "or put it back from a copy, or make it again: move {} away and read its sources again"
)
# What an object store says of an object that is not there, whatever stands around it: damage, no fault of the way.
_GONE = re.compile(r"NoSuchKey|BlobNotFound|object at location \S+ not found", re.I)
# What it, or the way to it, says when nothing is wrong with the data.
_CLOSED = re.compile(r"credential|denied|forbidden|NoSuchBucket|bucket does not exist|InvalidAccessKey|Signature", re.I)
_AWAY = re.compile(r"dispatch failure|timed? ?out|connect|dns|service error|SlowDown", re.I)


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

    _refuse_forked(place)
    if "ICECHUNK_LOG" not in os.environ:
        # Without its words on standard error: what it cannot read is raised, and local writers hold a lock.
        icechunk.set_logs_filter("off")
    if not is_address(place):
        return icechunk.local_filesystem_storage(os.path.abspath(place))
    address = urlsplit(str(place))
    if shown_address(str(place)) != str(place):
        raise ConfigError(
            f"Address {shown_address(str(place))}",
            ["expected no name, no password and no query in it"],
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


def open_repository(place: Place) -> "icechunk.Repository":
    """The repository at a place.

    How it is read and written is not kept in the repository, so that there is a file less to lose.

    Raises
    ------
    ArchiveError
        There is none, something else is there, or it is damaged.
    """
    import icechunk

    pieces = icechunk.ManifestSplittingConfig.from_dict(
        {icechunk.ManifestSplitCondition.AnyArray(): {icechunk.ManifestSplitDimCondition.Any(): CHUNKS_LISTED}}
    )
    none = icechunk.ManifestPreloadConfig(max_total_refs=0)  # lists of chunks are read when a value is asked for
    config = icechunk.RepositoryConfig(manifest=icechunk.ManifestConfig(splitting=pieces, preload=none))
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
    """Errors of Icechunk and Zarr as refusals: damage, a fault of the machine, or a place that cannot be reached.

    Parameters
    ----------
    what
        Variable that is read.
    """
    _refuse_forked(place)
    try:
        yield
    except (Refusal, MemoryError, IndexError):
        raise
    except Exception as error:  # a codec, Zarr and Icechunk have kinds of their own
        text = f"{what + ': ' if what else ''}{in_short(error)}"
        behind = is_address(place) and not _GONE.search(str(error))
        if behind and _CLOSED.search(str(error)):
            raise ArchiveError(f"Store {place} cannot be reached", [text], "check address and credentials") from error
        if behind and _AWAY.search(str(error)):
            raise Unavailable(
                f"Store {place} cannot be reached", [text], "check the address, or try again later"
            ) from error
        if fault := fault_around(error, f"Store {place}"):
            raise fault from error
        raise damaged(place, text) from error


@cache
def _first_process() -> int:
    """The process that opened a store first; a forked one inherits the answer."""
    return os.getpid()


def _refuse_forked(place: Place) -> None:
    """Icechunk works with threads, which a fork leaves behind: the forked process would wait for them for ever."""
    if _first_process() != os.getpid():
        raise Refusal(
            f"Store {place}",
            ["this process was forked from one that had opened stores, and these cannot be read here"],
            "start processes by spawn or forkserver: multiprocessing.get_context('spawn')",
        )


def in_short(error: Exception) -> str:
    """What an error of Icechunk says, without where in its sources, and that an object is not there, if it is that."""
    first = re.split(r"\n\s*(?:\||context:)", str(error).strip())[0].removeprefix("x ").strip()
    gone = _GONE.search(str(error))
    return f"{first}: {gone[0]}" if gone and gone[0] not in first else first or type(error).__name__
