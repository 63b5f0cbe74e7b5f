"""Flow `train`: train on the archive of a data set and register the model as challenger."""

from typing import Any, Literal

from prefect import get_run_logger

from flows.prefect_tools import artifacts, flow, one_writer, stage_task
from pipelines.home import Home
from pipelines.train import TrainReport, train as stage
from pipelines.training import Size, TrainConfig
from pipelines.windows import Choice, Mode
from simvp.networks import Variant

_train = stage_task("train and register", stage)


@flow("train")
def train(
    dataset: str = "simulated-weather",
    variables: list[str] | None = None,
    frames_in: int | None = None,
    frames_out: int | None = None,
    cycle: int | Literal["auto", "none"] | None = "auto",
    mode: Mode | None = None,
    periods: Choice | None = None,
    size: Size | None = None,
    variant: Variant | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    processes: int | None = None,
    settings: dict[str, Any] | None = None,
) -> TrainReport:
    """Train on the archive of a data set; register the model as challenger.

    The same settings on the same commit of the archive, asked again, return the version that exists.

    Args:
        dataset: Name of the data set; it has to have an archive.
        variables: Variables to predict; all of the archive where it is left out.
        frames_in: T, the frames that the model sees. Derived from the step where it is left out.
        frames_out: T', the frames that it predicts at once. Half of T where it is left out.
        cycle: Steps of the seasonal cycle (24 for hourly data with a daily cycle); auto looks for it in the data, none
            says that there is none.
        mode: study keeps its periods; operations holds out the newest days, which move along with the archive.
        periods: Periods as far as you want to fix them; the rest is derived and printed.
        size: Width and depth of the network: tiny, small, base, paper, or none; by default small, and none where data
            are too few.
        variant: Member of the family: simvp (the paper's), incepu, gsta or tau.
        epochs: How often every training window is seen, at most; it stops early when validation does not improve.
        seed: Seed of the weights and of the order of the windows.
        device: Where to train; auto takes CUDA where there is one.
        processes: Processes of this machine that share each batch: as many as it has GPUs; one on CPUs.
        settings: Any further setting of pipelines.training.config.TrainConfig by name, as {"batch_size": 32}.
    """
    parameters = {
        "variables": variables,
        "frames_in": frames_in,
        "frames_out": frames_out,
        "mode": mode,
        "periods": periods,
        "size": size,
        "variant": variant,
        "epochs": epochs,
        "seed": seed,
        "device": device,
        "processes": processes,
    }
    stated = {name: value for name, value in parameters.items() if value is not None}
    # A cycle that is null is one as well: data without any.
    config = TrainConfig(**{"dataset": dataset, "cycle": cycle, **stated, **(settings or {})})
    with one_writer(dataset, "training"):
        report = _train(config)
    get_run_logger().info("%s", report.plan.text)
    for line in report.missing:
        get_run_logger().info("%s", line)
    verb = "is known already as" if report.existing else "is"
    get_run_logger().info("The model %s version %s, fingerprint %s", verb, report.version, report.fingerprint)
    artifacts.summary("plan", dataset, report.plan.text.splitlines())
    if report.audit:
        artifacts.table("windows", dataset, report.audit, "Windows offered, used and dropped, by reason")
    if report.validation:
        rows = [
            {"variable": name, **{key: scores[key] for key in ("rmse", "units", "n")}, **scores["baselines"]}
            for name, scores in report.validation.items()
        ]
        artifacts.table("validation", dataset, rows, "RMSE on the validation windows")
    artifacts.mlflow_run(dataset, Home.default().tracking_uri, report.experiment_id, report.run_id)
    return report
