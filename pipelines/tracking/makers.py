"""The models that made forecasts: found again by the fingerprint that every forecast bears."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.home import Home
from pipelines.tracking.versions import list_versions, open_registry
from simvp.errors import RegistryError

if TYPE_CHECKING:
    from pathlib import Path

    from simvp.inference import Forecaster


class Makers:
    """Models of the forecasts of a data set, each loaded once.

    Parameters
    ----------
    given
        A model or its file, for forecasts of one that is not in the registry.
    """

    def __init__(self, home: Home, dataset: str, given: "Forecaster | Path | str | None" = None) -> None:
        self._home, self._dataset, self._given = home, dataset, given
        self._models: dict[str, Forecaster] = {}

    def __getitem__(self, fingerprint: str) -> "Forecaster":
        """One that has been found."""
        return self._models[fingerprint]

    def find(self, makers: Sequence[tuple[str, str]]) -> None:
        """Load the models that made some forecasts: the version and the fingerprint that each of them bears.

        Raises
        ------
        RegistryError
            With every one that cannot be found.
        """
        lost = []
        counts = Counter(fingerprint for _, fingerprint in makers)
        for fingerprint, version in {fingerprint: version for version, fingerprint in makers}.items():
            if fingerprint in self._models:
                continue
            model = self._search(fingerprint, version)
            if model is None:
                lost.append(f"{version}, content {fingerprint}, which made {counts[fingerprint]} of them")
            else:
                self._models[fingerprint] = model
        if lost:
            raise RegistryError(
                f"Models of the forecasts of {self._dataset}",
                [f"expected it in the registry: {text}" for text in lost],
                "the baselines to compare with are in the model's file: name the file as `model`",
            )

    def _search(self, fingerprint: str, label: str) -> "Forecaster | None":
        from simvp.inference import Forecaster

        if self._given is not None:
            model = self._given if isinstance(self._given, Forecaster) else Forecaster.load(self._given)
            if model.fingerprint == fingerprint:
                return model
        # The version that the forecast names comes first; another may hold the same content.
        for version in sorted(list_versions(self._home, self._dataset), key=lambda v: v.label != label):
            if version.fingerprint == fingerprint:
                return open_registry(self._home).load(version)
        return None
