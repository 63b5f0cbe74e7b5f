"""The models that made forecasts: found again by the fingerprint that every forecast bears."""

from contextlib import suppress
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
        self._models: dict[str, Forecaster | None] = {}

    def find(self, version: str, fingerprint: str) -> "Forecaster | None":
        """The model of a forecast, by the version and the fingerprint that it bears; None where it is gone.

        Gone is one that no version has, or whose file cannot be read: versions are deleted.

        Raises
        ------
        RegistryError
            A registry that does not answer.
        """
        if fingerprint not in self._models:
            self._models[fingerprint] = self._search(fingerprint, version)
        return self._models[fingerprint]

    def _search(self, fingerprint: str, label: str) -> "Forecaster | None":
        from simvp.inference import Forecaster

        if self._given is not None:
            model = self._given if isinstance(self._given, Forecaster) else Forecaster.load(self._given)
            if model.fingerprint == fingerprint:
                return model
        # The version that the forecast names comes first; another may hold the same content.
        for version in sorted(list_versions(self._home, self._dataset), key=lambda v: v.label != label):
            if version.fingerprint == fingerprint:
                with suppress(RegistryError):
                    return open_registry(self._home).load(version)
        return None
