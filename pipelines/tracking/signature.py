"""What MLflow is told of a model's input and output: its signature, and an example of an input."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from simvp.contract import FrameSpec
from simvp.mlflow_model import axes_of
from simvp.times import name_time

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MOST = 50_000  # values of an example: MLflow keeps it twice, as texts, in the files of every version


def signature_of(spec: FrameSpec) -> "ModelSignature":
    """Names, types and shapes of the arrays that a model takes and gives, and of what can be requested."""
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    text, axes = np.dtype("str"), axes_of(spec)
    places = [TensorSpec(np.dtype("float64"), values.shape, name) for name, (_, values) in axes.items()]

    def fields(lead: tuple[int, ...]) -> list[TensorSpec]:
        return [TensorSpec(np.dtype("float32"), (*lead, *spec.shape), name) for name in spec.states]

    made = ModelSignature(
        inputs=Schema([*fields((-1,)), TensorSpec(text, (-1,), "time"), *places]),
        outputs=Schema(
            [
                *fields((-1, -1)),
                TensorSpec(text, (-1,), "init_time"),
                TensorSpec(text, (-1, -1), "valid_time"),
                *places,
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("horizon", "string", None),
                ParamSpec("init_time", "string", None),
                ParamSpec("adapt", "boolean", False),
            ]
        ),
    )
    # MLflow's own check knows no labelled data: it would refuse every Dataset. This is its mark of a model that checks
    # its input itself, as the contract does, in words.
    made._is_signature_from_type_hint = True
    return made


def example_of(ds: xr.Dataset, spec: FrameSpec) -> dict[str, np.ndarray] | None:
    """T frames as arrays by the names of the signature; None where they would be too large.

    Parameters
    ----------
    ds
        T canonical frames or more; the last T are taken.
    """
    if spec.frames_in * spec.n_states * spec.shape[0] * spec.shape[1] > MOST:
        return None
    frames = ds[list(spec.states)].isel(time=slice(-spec.frames_in, None)).load()
    arrays = {name: frames[name].values.astype(np.float32) for name in spec.states}
    times = np.array([name_time(time) for time in frames["time"].values])
    return {**arrays, "time": times, **{name: values for name, (_, values) in axes_of(spec).items()}}
