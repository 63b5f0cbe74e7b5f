"""What MLflow is told of a model's output and input: its signature, and an example of an input."""

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
    """Names, types and shapes of the arrays that a model gives, and of what can be requested.

    Inputs are left out: MLflow's schema describes one form of them, and its check refuses every other before the model
    sees it. A model takes labelled data, tables and arrays, and its contract checks each, in words. The card and the
    example say what to give.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    text, axes = np.dtype("str"), axes_of(spec)
    places = [TensorSpec(np.dtype("float64"), values.shape, name) for name, (_, values) in axes.items()]
    fields = [TensorSpec(np.dtype("float32"), (-1, -1, *spec.shape), name) for name in spec.states]
    times = [TensorSpec(text, (-1,), "init_time"), TensorSpec(text, (-1, -1), "valid_time")]
    return ModelSignature(
        outputs=Schema([*fields, *times, *places]),
        params=ParamSchema(
            [
                ParamSpec("horizon", "string", None),
                ParamSpec("init_time", "string", None),
                ParamSpec("adapt", "boolean", False),
                ParamSpec("members", "long", 0),
                ParamSpec("levels", "double", [], (-1,)),
            ]
        ),
    )


def example_of(ds: xr.Dataset, spec: FrameSpec) -> dict[str, np.ndarray] | None:
    """T frames as arrays by name, as `simvp.mlflow_model` takes them; None where they would be too large.

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
