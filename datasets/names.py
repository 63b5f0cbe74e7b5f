"""Names: what has one, or a refusal that says which names there are."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from simvp.errors import SourceError

Named = TypeVar("Named")


def look_up(kind: str, name: str, entries: Mapping[str, Named], remedy: str) -> Named:
    """What has that name.

    Raises
    ------
    SourceError
        No such name; lists those there are, and says which is nearest.
    """
    if name not in entries:
        raise SourceError(f"{kind} {name!r}", [f"expected one of {', '.join(entries)}{nearest(name, entries)}"], remedy)
    return entries[name]


def nearest(name: str, names: Iterable[str]) -> str:
    """In words, which name was perhaps meant; empty where none is near."""
    close = difflib.get_close_matches(name, list(names), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""
