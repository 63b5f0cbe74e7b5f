"""Names: what has one, or a refusal that says which names there are."""

import difflib
from collections.abc import Mapping
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
        close = difflib.get_close_matches(name, entries, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise SourceError(f"{kind} {name!r}", [f"expected one of {', '.join(entries)}{hint}"], remedy)
    return entries[name]
