"""The repository of a store: made whole, its branches moved when what they name is on the disk, old commits expired."""

import logging
import socket
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icechunk

from datasets.store import disk
from simvp.errors import ArchiveError, Unavailable
from simvp.places import MAIN, damaged, in_words, is_address, storage_at

_log = logging.getLogger(__name__)

INCOMING = "incoming-"
# What a writer may take, and how long old commits and what nobody names are kept: longer than the longest run.
LEASE = timedelta(days=7)


class Conflict(ArchiveError, Unavailable):
    """Another writer committed in between."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"Store {path}", ["another writer has committed meanwhile"], "run it again")


def refuse_unseen(path: Path | str, branch: str = MAIN) -> None:
    """Refuse to work on a store in a folder that this process, of another machine, does not see.

    Raises
    ------
    ArchiveError
        Something else is there, or nothing.
    """
    if isinstance(path, Path) and not (path / "refs" / f"branch.{branch}").exists():
        raise ArchiveError(
            f"Store {path}",
            [f"a worker on {socket.gethostname()} does not see it"],
            "let the folder be the same one on every machine with workers, or let SIMVP_STORE be a bucket",
        )


def is_there(path: Path | str) -> bool:
    """Whether there is a repository, or what is left of one."""
    if not is_address(path):
        return Path(path).exists()
    with in_words(path):
        return icechunk.Repository.exists(storage_at(path))


def make(path: Path | str) -> None:
    """Make the repository where there is none.

    Raises
    ------
    ArchiveError
        What is left of one is there.
    """
    if is_there(path):
        return
    if isinstance(path, Path):
        # Under its own name it is whole from the beginning: what is not whole there is damaged.
        made = path.with_name(f"{path.name}.new")
        disk.discard(made)
        made.parent.mkdir(parents=True, exist_ok=True)
        icechunk.Repository.create(storage_at(made))
        disk.sync_all(made)
        made.rename(path)
        disk.sync(path.parent)
        return
    try:
        icechunk.Repository.create(storage_at(path))
    except icechunk.IcechunkError as error:
        if not is_there(path):  # another writer has not made it meanwhile
            raise damaged(path, f"the branch {MAIN} is not there, but other objects are") from error


def move(repository: icechunk.Repository, path: Path | str, branch: str, to: str, head: str) -> None:
    """Let a branch name the commit `to`, which is on the disk before, and the name after.

    Raises
    ------
    Conflict
        It does not name `head` any more.
    """
    if isinstance(path, Path):
        disk.sync_all(path)
    if branch not in repository.list_branches():
        repository.create_branch(branch, to)
    else:
        try:
            repository.reset_branch(branch, to, from_snapshot_id=head)
        except icechunk.IcechunkError as error:
            if repository.lookup_branch(branch) == head:
                raise
            raise Conflict(path) from error
    if isinstance(path, Path):
        ref = path / "refs" / f"branch.{branch}"
        disk.sync(ref / "ref.json")
        disk.sync(ref)


def new_branch(repository: icechunk.Repository, head: str) -> str:
    """A branch of a writer's own; its name tells when its lease began, and nothing of this machine."""
    branch = f"{INCOMING}{uuid.uuid1(node=uuid.uuid4().int & 0xFFFFFFFFFFFF | 1 << 40)}"
    repository.create_branch(branch, head)
    return branch


def drop_left_over(repository: icechunk.Repository, *, alone: bool) -> None:
    """Drop branches of writers that were killed: all, where this is the only one, else those whose lease is over."""
    for branch in repository.list_branches():
        if branch.startswith(INCOMING) and (alone or datetime.now(UTC) - _begun(branch) > LEASE):
            repository.delete_branch(branch)


def expire(repository: icechunk.Repository, path: Path | str, kept: timedelta = LEASE) -> int:
    """Clear away commits that are older and named by no tag, and what only they hold; returns the bytes given back."""
    before = datetime.now(UTC) - kept
    with in_words(path):
        expired = repository.expire_snapshots(before)
        freed = repository.garbage_collect(before).bytes_deleted
    if expired and isinstance(path, Path):
        disk.sync_all(path)  # the oldest commit that is kept was written anew, without those before it
    if expired or freed:
        _log.info("%s: %d old commits cleared away, %.1f MiB given back", path, len(expired), freed / 2**20)
    return freed


def first_of_a_day(repository: icechunk.Repository, before: str) -> bool:
    """Whether a commit after that one is the first of a day (UTC)."""
    return repository.lookup_snapshot(before).written_at.date() < datetime.now(UTC).date()


def _begun(branch: str) -> datetime:
    # A time-based UUID counts 100 ns since 1582-10-15.
    since = timedelta(microseconds=uuid.UUID(branch.removeprefix(INCOMING)).time / 10)
    return datetime(1582, 10, 15, tzinfo=UTC) + since
