"""How far a stage is: one protocol, from whatever works to whatever shows it."""

from typing import Protocol


class Progress(Protocol):
    """What a stage calls while it works.

    Who calls it is not slowed by who shows it: a listener that wants less takes less.
    """

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell what is being done, and how much of it.

        Parameters
        ----------
        what
            In words; the same words while one thing goes on.
        done, total
            Of how many; `total` is 0 where that is not known.
        """


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""
