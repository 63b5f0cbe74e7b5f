"""What is left of a repository: its commits, whatever has become of the branch that names the last, and that put back.

A commit is whole for this purpose when its own file and its lists of chunks can be read; the chunks themselves are for
who reads values.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import icechunk

from datasets.store import disk
from datasets.store.store import Store
from simvp.errors import ArchiveError
from simvp.places import MAIN, Place, in_short, in_words, is_address, open_repository, storage_at

_PARTS = ("snapshots", "manifests", "chunks", "transactions")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A commit that is kept.

    Parameters
    ----------
    snapshot
        The repository's own name of it.
    parent
        The commit before; None before the first, and where it cannot be read.
    written
        When.
    fault
        What is wrong with it; empty where it is whole.
    """

    snapshot: str
    parent: str | None = None
    written: datetime | None = None
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Remains:
    """What is left of a repository.

    Parameters
    ----------
    main
        The commit that readers see; empty where that is not known any more.
    fault
        Why it is not known.
    commits
        Those that can be reached from main and from tags, the newest first. Where this chain is broken, in a folder,
        every commit that is there.
    loose
        Whether the latter.
    """

    main: str
    fault: str
    commits: tuple[Kept, ...]
    loose: bool

    @classmethod
    def of(cls, place: Place) -> "Remains":
        """Of the repository at a place, which exists or did; nothing is written."""
        fault, tips = "", []
        try:
            repository = open_repository(place)
            with in_words(place):
                main = repository.lookup_branch(MAIN)
                tips = [main, *map(repository.lookup_tag, sorted(repository.list_tags()))]
                chain, broken = _chain(repository, tips)
        except ArchiveError as error:
            main, fault, chain, broken = "", "; ".join(error.reasons), {}, True
        if broken and not is_address(place):
            with _without_refs(Path(place)) as found:
                if found is not None:
                    names = sorted(os.listdir(Path(place) / "snapshots"))
                    chain |= {name: _look(found, name) for name in names if name not in chain}
        commits = sorted(chain.values(), key=_age, reverse=True)
        commits = [kept for kept in commits if kept.fault or kept.parent is not None]  # without the empty first one
        return cls(main=main, fault=fault, commits=tuple(commits), loose=broken)


def put_back(store: Store, snapshot: str) -> None:
    """Let readers see that commit: an older one, or the last where the branch that named it is lost."""
    with store.lock():
        if isinstance(store.path, Path):
            ref = store.path / "refs" / f"branch.{MAIN}" / "ref.json"
            disk.write(ref, json.dumps({"snapshot": snapshot}).encode())  # Icechunk opens no repository without it
            return
        with in_words(store.path):
            open_repository(store.path).reset_branch(MAIN, snapshot)


def _age(kept: Kept) -> float:
    return kept.written.timestamp() if kept.written is not None else float("inf")


def _chain(repository: icechunk.Repository, tips: list[str]) -> tuple[dict[str, Kept], bool]:
    """Commits from some on, back to the first, by name, and whether one of them does not say what came before."""
    chain: dict[str, Kept] = {}
    broken = False
    for tip in tips:
        name: str | None = tip
        while name is not None and name not in chain:
            chain[name] = _look(repository, name)
            broken |= chain[name].written is None
            name = chain[name].parent
    return chain, broken


def _look(repository: icechunk.Repository, name: str) -> Kept:
    try:
        info = repository.lookup_snapshot(name)
    except Exception as error:  # Icechunk's own, and what its readers of bytes raise
        return Kept(snapshot=name, fault=in_short(error))
    fault = ""
    try:
        # Reads every list of chunks; places outside the repository, which it looks for, there are none.
        repository.readonly_session(snapshot_id=name).all_virtual_chunk_locations()
    except Exception as error:
        fault = in_short(error)
    return Kept(snapshot=name, parent=info.parent_id, written=info.written_at, fault=fault)


@contextmanager
def _without_refs(folder: Path) -> Iterator[icechunk.Repository | None]:
    """The repository in a folder as if its branch named a commit that is there; None where there is none."""
    names = sorted(os.listdir(folder / "snapshots")) if (folder / "snapshots").is_dir() else []
    if not names:
        yield None
        return
    with TemporaryDirectory(prefix="simvp-remains-") as scratch:
        for part in _PARTS:
            (Path(scratch) / part).symlink_to((folder / part).absolute())
        ref = Path(scratch) / "refs" / f"branch.{MAIN}" / "ref.json"
        ref.parent.mkdir(parents=True)
        ref.write_text(json.dumps({"snapshot": names[0]}))
        yield icechunk.Repository.open(storage_at(scratch))
