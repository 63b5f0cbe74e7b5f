"""Where everything lies: one folder for all that the pipeline writes, one folder in it per data set.

::

    $SIMVP_HOME/                      default: .simvp in the working directory
      <dataset>/read/                 which source files were taken in, and what they looked like
               /training/<key>/       checkpoints of a training that is not finished
               /champion/             the champion that was forecast with last, for when the registry is away
               /pictures/             skill curves, map strips
               /skill.csv             the last skill table
               /drift.json            what the last tests for drift found
      benchmarks/<name>/training/<key>/   checkpoints of a benchmark that is not finished
                       /rows/<key>.json   what a finished one found: rows of the report
                       /pictures/<key>/   strips and animations of test clips
                /report.md, report.csv    all rows, beside the published ones
                /ablation-<name>.md       the last ablation
      mlflow/mlflow.db, artifacts/    runs, models and aliases of all data sets and benchmarks
      prefect/                        Prefect's own database and settings

The stores, each an Icechunk repository, lie there too, or at another place that several machines share::

    $SIMVP_STORE/                     default: $SIMVP_HOME; a folder, or s3://bucket/path, gs://..., az://...
      <dataset>/archive.zarr          the archive
               /known/<source>.zarr   known future inputs, an archive for each source
               /forecasts/<h>.zarr    operational forecasts of horizon <h>, each init time issued once
               /hindcasts/<h>.zarr    forecasts that were computed later for older init times
               /scores/<kind>.zarr    scores of either
               /verified/             how the experts of a model did at init times that are over
"""

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from datasets.location import join, names_in
from simvp.errors import ConfigError
from simvp.places import Place, is_address, storage_at

# Folders beside the data sets: a data set of one of these names would write into them.
RESERVED = ("benchmarks", "mlflow", "prefect")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def slug(text: str) -> str:
    """Turn any text into a data set name: lower case letters, digits, hyphens.

    Raises
    ------
    ConfigError
        If nothing of the text is left.
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].rstrip("-")
    if not name:
        raise ConfigError(f"data set name from {text!r}", ["no letter or digit in it"], "state a name")
    return f"{name}-data" if name in RESERVED else name


@dataclass(frozen=True)
class Home:
    """The folder under which the stages read and write. Nothing is created by asking where something lies.

    Parameters
    ----------
    path
        The folder; made absolute, so that a later change of directory moves nothing.
    store
        Where the stores lie, a folder or an address; None: in `path`.

    Raises
    ------
    ConfigError
        An address instead of a folder, or of a kind that no store can lie at; or characters that mean something else
        in the addresses of databases, or nothing.
    """

    path: Path
    store: Path | str

    def __init__(self, path: Place, store: Place | None = None) -> None:
        if is_address(path):
            raise ConfigError(
                f"SIMVP_HOME {path}",
                ["expected a local folder, for databases and unfinished trainings, got an address"],
                "state the address as SIMVP_STORE, where archives, forecasts and scores lie",
            )
        folder = Path(path).expanduser().absolute()
        if strange := sorted({c for c in str(folder) if c in "?#%" or unicodedata.category(c) in ("Cc", "Cs")}):
            raise ConfigError(
                f"SIMVP_HOME {str(folder)!r}",
                [f"expected a path without {' '.join(map(repr, strange))}: databases and servers read these otherwise"],
                "choose a folder with another name",
            )
        object.__setattr__(self, "path", folder)
        if store is not None and is_address(store):
            storage_at(store)
            object.__setattr__(self, "store", str(store))
        else:
            object.__setattr__(self, "store", folder if store is None else Path(store).expanduser().absolute())

    @classmethod
    def default(cls) -> "Home":
        """`$SIMVP_HOME`, or `.simvp` in the working directory; stores in `$SIMVP_STORE`, or there too."""
        return cls(os.environ.get("SIMVP_HOME") or ".simvp", os.environ.get("SIMVP_STORE") or None)

    def dataset(self, dataset: str) -> Path:
        """Folder of one data set.

        Raises
        ------
        ConfigError
            If the name could lead out of the home, into another data set or into the services' folders.
        """
        reasons = []
        if not _NAME.fullmatch(dataset):
            reasons += ["expected up to 64 lower case letters, digits, '.', '_' and '-', the first a letter or digit"]
        if dataset in RESERVED:
            reasons += [f"{', '.join(RESERVED)} are the names of folders with another purpose"]
        if reasons:
            raise ConfigError(f"data set name {dataset!r}", reasons, "choose another name")
        return self.path / dataset

    def _at(self, dataset: str, *names: str) -> Path | str:
        self.dataset(dataset)  # refuses what is no name
        return join(self.store, dataset, *names)

    def archive(self, dataset: str) -> Path | str:
        """Store of the observed frames."""
        return self._at(dataset, "archive.zarr")

    def known(self, dataset: str, source: str = "") -> Path | str:
        """Store of the known future inputs of one source; without a name, what these lie in."""
        return self._at(dataset, "known", *([f"{source}.zarr"] if source else []))

    def manifests(self, dataset: str) -> Path:
        """Folder of what is known of the source files of the archive."""
        return self.dataset(dataset) / "read"

    def training(self, dataset: str) -> Path:
        """Folder of trainings that are not finished, one folder per training key."""
        return self.dataset(dataset) / "training"

    def champion(self, dataset: str) -> Path:
        """Folder of the champion that was forecast with last."""
        return self.dataset(dataset) / "champion"

    def forecasts(self, dataset: str, horizon: str) -> Path | str:
        """Store of the operational forecasts of one horizon ("12h")."""
        return self._at(dataset, "forecasts", f"{horizon}.zarr")

    def hindcasts(self, dataset: str, horizon: str) -> Path | str:
        """Store of forecasts that were computed afterwards."""
        return self._at(dataset, "hindcasts", f"{horizon}.zarr")

    def verified(self, dataset: str, horizon: str, fingerprint: str) -> Path | str:
        """Store of how the experts of a model did at the init times of one horizon that are over."""
        return self._at(dataset, "verified", f"{horizon}-{fingerprint}.zarr")

    def scores(self, dataset: str, kind: str) -> Path | str:
        """Store of the scores of one kind of forecast ("forecasts-12h", "hindcasts-12h")."""
        return self._at(dataset, "scores", f"{kind}.zarr")

    def skill_csv(self, dataset: str) -> Path:
        """The last skill table as text."""
        return self.dataset(dataset) / "skill.csv"

    def drift(self, dataset: str) -> Path:
        """What the last tests for drift found."""
        return self.dataset(dataset) / "drift.json"

    def pictures(self, dataset: str) -> Path:
        """Folder of the last pictures."""
        return self.dataset(dataset) / "pictures"

    @property
    def benchmarks(self) -> Path:
        """Folder of the vision benchmarks and their report."""
        return self.path / "benchmarks"

    @property
    def mlflow(self) -> Path:
        """Folder of MLflow's database and artifacts."""
        return self.path / "mlflow"

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts: where an experiment without a server has to put them."""
        return self.mlflow / "artifacts"

    @property
    def database_uri(self) -> str:
        """MLflow's database file, as an address for SQLAlchemy."""
        return f"sqlite:///{self.mlflow / 'mlflow.db'}"

    @property
    def tracking_uri(self) -> str:
        """`$MLFLOW_TRACKING_URI` where it is set, else the database file in this home."""
        return os.environ.get("MLFLOW_TRACKING_URI") or self.database_uri

    @property
    def prefect(self) -> Path:
        """Folder of Prefect's database and settings."""
        return self.path / "prefect"

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that have an archive here."""
        return tuple(name for name in names_in(self.store) if "archive.zarr" in names_in(join(self.store, name)))
