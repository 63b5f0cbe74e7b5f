"""Runs of trainings in MLflow. A training that was killed goes on in its own run, and no point is logged twice.

MLflow keeps its address in the process and in the environment; `open_run` puts both back as they were.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import xarray as xr

from pipelines.home import Home
from pipelines.tracking.artifacts import artifact_root
from pipelines.tracking.database import make_database
from pipelines.tracking.provenance import requirements
from pipelines.tracking.wheel import pin_of, write_wheel
from simvp.errors import Unavailable, fault_around
from simvp.inference import short_waits

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.tracking import MlflowClient

    from simvp.contract import FrameSpec

LOADER = "simvp.mlflow_model"
KEY_TAG = "training_key"
NOTE = "mlflow.note.content"
"""Tag of what MLflow shows as the description of a run."""
_ADDRESS = "MLFLOW_TRACKING_URI"
_SILENT = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"  # of runs that end, with the server's password where it has one


class Run:
    """A run that is open.

    Parameters
    ----------
    client
        Of the server or the database that holds the run.
    run_id
        As MLflow names it.
    """

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self.run_id, self._client = run_id, client
        self._told: dict[str, set[int]] = {}

    def log_settings(self, settings: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Parameters (nested ones as "outer.inner") and tags; parameters that are there already stay."""
        from mlflow.entities import Param, RunTag

        logged = self._client.get_run(self.run_id).data.params
        params = [Param(name, value) for name, value in flat(settings).items() if name not in logged]
        self._client.log_batch(self.run_id, params=params, tags=[RunTag(k, v) for k, v in tags.items()])

    def log_data(self, name: str, source: Path | str, commit: str) -> None:
        """The archive and the commit that was read."""
        import mlflow
        from mlflow.data.dataset_source_registry import get_dataset_source_from_json
        from mlflow.data.meta_dataset import MetaDataset

        inputs = self._client.get_run(self.run_id).inputs
        if inputs is None or not inputs.dataset_inputs:
            dataset = MetaDataset(  # type: ignore[abstract]
                source=get_dataset_source_from_json(json.dumps({"uri": str(source)}), "local"), name=name, digest=commit
            )
            mlflow.log_input(dataset, context="training")

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """One point of each curve; a point that is there already stays."""
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        for name in values.keys() - self._told.keys():
            self._told[name] = {point.step for point in self._client.get_metric_history(self.run_id, name)}
        now = get_current_time_millis()
        new = [Metric(name, value, now, step) for name, value in values.items() if step not in self._told[name]]
        if new:
            self._client.log_batch(self.run_id, metrics=new)
        for metric in new:
            self._told[metric.key].add(step)

    def log_text(self, text: str, name: str) -> None:
        """A text file."""
        self._client.log_text(self.run_id, text, name)

    def log_json(self, value: Any, name: str) -> None:
        """A JSON file."""
        self._client.log_text(self.run_id, json.dumps(value, indent=1, default=str), name)

    def log_figure(self, figure: "Figure", name: str) -> None:
        """A picture."""
        self._client.log_figure(self.run_id, figure, name)

    def log_file(self, file: Path) -> None:
        """A file as it is."""
        self._client.log_artifact(self.run_id, str(file))

    def log_model(self, file: Path, spec: "FrameSpec", example: xr.Dataset | None = None, *, step: int = 0) -> str:
        """The saved Forecaster as a model, with the library as a wheel; returns its address for the registry.

        Parameters
        ----------
        file
            That `Forecaster.save` wrote.
        spec
            Its contract.
        example
            Frames to be shown as an input.
        step
            Of the metrics of the run that are the model's.
        """
        from mlflow.models import Model

        from pipelines.tracking.signature import (
            example_of,
            signature_of,
        )  # with PyTorch, which reading runs does without

        with TemporaryDirectory() as folder:
            wheel = write_wheel(Path(folder))
            model = Model.log(
                artifact_path=None,
                name="model",
                flavor=_Flavor,
                flavor_name="pyfunc",
                loader_module=LOADER,
                data_path=str(file),
                # Beside the model, and not as sources: whoever loads it would import these instead of the library that
                # is installed.
                code_paths=[str(wheel)],
                # pip looks for links beside the file of requirements, for files where it is started.
                pip_requirements=[*requirements(), "--find-links code", pin_of(wheel)],
                signature=signature_of(spec),
                input_example=None if example is None else example_of(example, spec),
                step=step,
                validate_serving_input=False,
            )
        return str(model.model_uri)


class _Flavor:
    """MLflow's flavor pyfunc, without the forecast of the example that logging makes, and without remarks on it."""

    @staticmethod
    def save_model(path: str, *, validate_serving_input: bool, **settings: Any) -> None:
        import mlflow

        told = logging.getLogger("mlflow.pyfunc")
        level = told.level
        told.setLevel(logging.WARNING)
        try:
            with warnings.catch_warnings():
                # Of a grid too large for one: nobody can do anything about it.
                warnings.filterwarnings("ignore", ".*An input example was not provided")
                mlflow.pyfunc.save_model(path, **settings)
        finally:
            told.setLevel(level)


@contextmanager
def open_run(home: Home, dataset: str, key: str, *, run_id: str | None = None, title: str = "") -> Iterator[Run]:
    """Start the run of the training `key`, or go on with the one that was cut off.

    Parameters
    ----------
    home
        Says where MLflow is.
    dataset
        The experiment is called ``simvp-<dataset>``.
    key
        Training key; a run of this key that never ended is gone on with.
    run_id
        The run to go on with, where a checkpoint names it.
    title
        Name of a new run, before its time; by default the data set.

    Raises
    ------
    Unavailable
        MLflow's server is away, silent or failing, or somebody else holds its database; nothing is written.
    RegistryError
        It is something else, or lets nobody in; nothing is written.
    """
    make_database(home)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ[_SILENT] = "true"
    import mlflow
    from mlflow.exceptions import MlflowException

    address, outside = home.tracking_uri, os.environ.pop(_ADDRESS, None)
    # What somebody has set in this process; None where MLflow goes by the environment or its default. Setting those
    # instead would pin them, and a later change of the environment would go unheard.
    inside: Any = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    try:
        mlflow.set_tracking_uri(address)
        os.environ[_ADDRESS] = address  # MLflow leaves it as it is where the address is set already
        client = mlflow.MlflowClient(tracking_uri=address)
        with short_waits():
            experiment = _experiment(client, home, f"simvp-{dataset}")
            if run_id is not None:
                try:
                    client.get_run(run_id)
                except MlflowException as error:
                    if isinstance(fault_around(error, run_id), Unavailable):
                        raise
                    run_id = None
            run_id = run_id or _unfinished(client, experiment, key)
        with mlflow.start_run(
            run_id=run_id,
            experiment_id=experiment,
            run_name=None if run_id else f"{title or dataset}, {datetime.now(UTC):%Y-%m-%d %H:%M}",
            tags={KEY_TAG: key},
            log_system_metrics=True,
        ) as run:
            yield Run(client, run.info.run_id)
    finally:
        mlflow.set_tracking_uri(inside)
        os.environ.pop(_ADDRESS, None)
        if outside is not None:
            os.environ[_ADDRESS] = outside


def log_metrics(client: "MlflowClient", run_id: str, values: Mapping[str, float]) -> None:
    """One more point of each metric of a run that has ended, and of the last model that it has logged.

    MLflow's pages show the last point; those of earlier judgements stay before it.
    """
    from mlflow.entities import Metric
    from mlflow.utils.time import get_current_time_millis

    if not values:
        return
    # A database's registry does not know the logged model behind a version; its run does.
    outputs = client.get_run(run_id).outputs
    models = outputs.model_outputs if outputs else []
    model = {"model_id": models[-1].model_id, "run_id": run_id} if models else {}
    step = len(client.get_metric_history(run_id, next(iter(values))))
    now = get_current_time_millis()
    client.log_batch(run_id, metrics=[Metric(name, value, now, step, **model) for name, value in values.items()])


def close_run(home: Home, run_id: str) -> str:
    """End a run that was killed after its version was made; returns its experiment, "" where the run is gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    os.environ[_SILENT] = "true"
    client = mlflow.MlflowClient(tracking_uri=home.tracking_uri)
    try:
        info = client.get_run(run_id).info
    except MlflowException:
        return ""
    if info.status != "FINISHED":
        client.set_terminated(run_id, "FINISHED")
    return str(info.experiment_id)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level of texts."""
    texts: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            texts |= flat(value, f"{prefix}{name}.")
        else:
            texts[prefix + name] = value if isinstance(value, str) else json.dumps(value)
    return texts


def _experiment(client: "MlflowClient", home: Home, name: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # A server knows its own place; with a bare database, the place is the client's to say.
        served = home.tracking_uri.startswith(("http://", "https://"))
        place = None if served else artifact_root(home)
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:  # another process made it meanwhile
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return str(experiment.experiment_id)


def _unfinished(client: "MlflowClient", experiment: str, key: str) -> str | None:
    """The run of this key that was killed before its first checkpoint, if there is one."""
    runs: Sequence[Any] = client.search_runs([experiment], f"tags.{KEY_TAG} = '{key}'")
    return next((run.info.run_id for run in runs if run.info.status != "FINISHED"), None)
