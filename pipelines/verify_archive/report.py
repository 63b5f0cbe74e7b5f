"""What verify-archive found in the stores of a data set, and did about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.integrity import StoreReport


@dataclass(frozen=True, kw_only=True)
class ArchiveReport:
    """All stores of a data set."""

    dataset: str
    stores: Sequence[StoreReport]

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged now."""
        return all(store.whole for store in self.stores)

    @property
    def table(self) -> list[dict[str, str]]:
        """Rows to show, store by store."""
        return [row for store in self.stores for row in store.table]

    def __str__(self) -> str:
        count = sum(not store.whole for store in self.stores)
        said = "everything is whole" if not count else f"{count} of {len(self.stores)} stores are damaged"
        return "\n".join([f"{self.dataset}: {said}", *(line for store in self.stores for line in store.lines)])
