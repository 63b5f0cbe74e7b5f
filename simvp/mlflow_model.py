"""The loader that MLflow calls for a registered model (`loader_module="simvp.mlflow_model"`)."""

from simvp.inference import Forecaster, model_file_in


def _load_pyfunc(path: str) -> Forecaster:
    """The Forecaster behind `mlflow.pyfunc.load_model(...)`, whose `predict` takes and gives an xr.Dataset.

    Parameters
    ----------
    path
        The model file, or a folder with one.
    """
    return Forecaster.load(model_file_in(path))
