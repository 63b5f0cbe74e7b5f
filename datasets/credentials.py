"""Passwords and signatures of sources: addresses name them, and they are put in where a file is opened.

What is read is written down in many places: parameters of runs, logs, commits, the settings of an archive. So an
address of a source says ``{SIMVP_SOURCE_LOGIN}`` where the login stands, and ``{SIMVP_SOURCE_QUERY}`` where a signature
stands; the environment of the process that reads has what belongs there.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simvp.errors import SourceError
from simvp.settings import shown_address

__all__ = ["refusal", "refuse_secrets", "secret_reasons", "with_secrets", "without_values"]

_NAME = re.compile(r"\{(SIMVP_SOURCE_[A-Z0-9_]+)\}")
# A login or a query that is a name as a whole; of one in pieces, the other piece would have to be judged.
_NAMED = re.compile(rf"(?<=://){_NAME.pattern}@|\?{_NAME.pattern}$")
_ADDRESS = re.compile(r"[a-z0-9+.:-]+://[^\s'\"<>]+", re.IGNORECASE)

REMEDY = (
    "put the part that is secret into the environment of the process that reads (of make up, or of the worker), and "
    "name it in the address: https://{SIMVP_SOURCE_LOGIN}@host/file.nc with SIMVP_SOURCE_LOGIN=user:password, or "
    "https://host/file.nc?{SIMVP_SOURCE_QUERY}"
)


def secret_reasons(value: Any) -> list[str]:
    """Why a value of texts, lists and mappings must not be written down.

    That is every address in it, or in its texts, that holds what `shown_address` leaves out, as it may be shown.
    """
    reasons: list[str] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            reasons += _in_text(one)
        elif isinstance(one, Mapping):
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one
    return sorted(set(reasons))


def _in_text(text: str) -> Iterator[str]:
    # As a whole too, where it begins with an address: nobody knows which signs a password has.
    for address in dict.fromkeys([*_ADDRESS.findall(text), *([text] if _ADDRESS.match(text) else [])]):
        plain = _NAMED.sub("", address)
        if shown_address(plain) != plain:
            shown = shown_address(plain)
            yield f"{shown}: expected no user, password or query in the address: databases, logs and archives keep it"


def refusal(reasons: Sequence[str]) -> SourceError:
    """What is said of addresses with secrets."""
    return SourceError("source", reasons, REMEDY)


def refuse_secrets(source: str | Path | Sequence[str | Path] | None) -> None:
    """Refuse a source whose address holds a password, a token or a signature.

    Raises
    ------
    SourceError
        With every such address, as it may be shown, and where the secret belongs.
    """
    places = [source] if isinstance(source, str | Path) else source or ()
    if reasons := secret_reasons([str(place) for place in places]):
        raise refusal(reasons)


def with_secrets(address: str) -> str:
    """An address to open, with what the environment has for the names in it.

    Raises
    ------
    SourceError
        The environment lacks some of them.
    """
    absent = [name for name in _NAME.findall(address) if not os.environ.get(name)]
    if absent:
        reasons = [f"{name} is not set in the environment of this process" for name in absent]
        raise SourceError(f"source {address}", reasons, "set it where the flow runs: for make up, before it is started")
    return _NAME.sub(lambda name: os.environ[name[1]], address)


def without_values(text: str, address: str) -> str:
    """A text that may quote an address as it was opened, with the names instead of the values."""
    for name in _NAME.findall(address):
        text = text.replace(os.environ[name], f"{{{name}}}")
    return text
