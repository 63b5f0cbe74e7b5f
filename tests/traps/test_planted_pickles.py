"""A pickle in every place where a file of somebody else is read: none is loaded, for it runs what it names."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from datasets.catalog.trips import read_taxi
from datasets.readers import open_source
from datasets.video.caltech import _mapped
from datasets.video.hickle import HickledFrames, hickled_strings
from datasets.video.moving_mnist import MOVING_MNIST, FixedTestSet
from datasets.video.taxibj import TAXIBJ
from pipelines.training import checkpoint
from simvp.errors import Refusal
from simvp.inference import Forecaster, model_file_in
from simvp.inference.predict import load
from simvp.networks import from_pretrained
from tests.support.models import small_forecaster
from tests.support.worlds import formula_world
from tests.traps.test_grib_and_classic import message

FOLDER = "PLANTED"


class Planted:
    """Makes a folder where it is loaded."""

    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ[FOLDER],)


@pytest.fixture(autouse=True)
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "ran"))
    pickle.loads(pickle.dumps(Planted()))  # it would
    (tmp_path / "ran").rmdir()
    return tmp_path / "ran"


def bare(path: Path) -> Path:
    """As joblib and pickle write it."""
    path.write_bytes(pickle.dumps(Planted()))
    return path


def of_torch(path: Path) -> Path:
    torch.save({"state_dict": {"enc.enc.0.conv.conv.weight": torch.zeros(3)}, "callbacks": Planted()}, path)
    return path


def of_old_torch(path: Path) -> Path:
    torch.save({"a": Planted()}, path, _use_new_zipfile_serialization=False)
    return path


def array(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), np.array([Planted()], object), allow_pickle=True)
    return path.with_suffix(".npy")


def arrays(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            content = io.BytesIO()
            np.save(content, np.array([Planted()], object), allow_pickle=True)
            archive.writestr(f"{name}.npy", content.getvalue())
    return path


def hickled(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        made = file.create_dataset("data_0", data=np.frombuffer(pickle.dumps(Planted()), np.uint8))
        made.attrs["type"] = np.array([b"pickle"])
    return path


def taxibj(folder: Path) -> Any:
    (folder / "taxibj").mkdir()
    arrays(folder / "taxibj" / "dataset.npz", "X_train", "Y_train")
    return TAXIBJ.open("train", root=folder)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "public checkpoint": lambda p: from_pretrained(of_torch(p / "a.pth")),
    "public checkpoint, old format": lambda p: from_pretrained(of_old_torch(p / "a.pth")),
    "public checkpoint, bare": lambda p: from_pretrained(bare(p / "a.pth")),
    "model file": lambda p: load(bare(p / "model.safetensors")),
    "model file of torch": lambda p: load(of_torch(p / "model.safetensors")),
    "npy": lambda p: _mapped(array(p / "train_data")),
    "npy that is a pickle": lambda p: _mapped(bare(p / "train_data.npy")),
    "test file of Moving MNIST": lambda p: FixedTestSet(MOVING_MNIST, array(p / "mnist_test_seq"), 10),
    "npz of TaxiBJ": taxibj,
    "npz of trips": lambda p: read_taxi([arrays(p / "a.npz", "volume")]),
    "npz that is a pickle": lambda p: read_taxi([bare(p / "a.npz")]),
    "hickle, frames": lambda p: HickledFrames(hickled(p / "a.hkl"), (2, 2, 3)),
    "hickle, strings": lambda p: hickled_strings(hickled(p / "a.hkl")),
    "source": lambda p: open_source(bare(p / "a.nc")),
}


@pytest.mark.parametrize("loader", LOADERS)
def test_a_loader(loader: str, ran: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal):
        LOADERS[loader](tmp_path)
    assert not ran.exists()


def test_a_checkpoint_of_a_training(ran: Path, tmp_path: Path) -> None:
    torch.save({"format": checkpoint.FORMAT, "loop": Planted()}, tmp_path / checkpoint.NAME)
    read = None
    with suppress(Exception):  # it is damaged
        read = checkpoint.load(tmp_path)
    assert read is None
    assert not ran.exists()


def test_an_index_beside_grib(ran: Path, tmp_path: Path) -> None:
    """Which cfgrib keeps as a pickle, and reads again; here it is never asked for one."""
    (tmp_path / "a.grib").write_bytes(message())
    for ending in ("idx", "5b7b6.idx", "923a8.idx"):
        bare(tmp_path / f"a.grib.{ending}")
    assert open_source(tmp_path / "a.grib")["t2m"].shape == (1, 8, 8)
    assert not ran.exists()


def test_a_model_folder_of_mlflow(ran: Path, tmp_path: Path) -> None:
    """Beside the model file lie what MLflow's own loaders would unpickle; only the file is read."""
    forecaster = small_forecaster(formula_world(frames=14 * 24, shape=(3, 4)))
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    forecaster.save(folder / "data" / "model.safetensors")
    for name in ("python_model.pkl", "model.pkl", "data/model.joblib", "data/pickle_module_info.txt"):
        bare(folder / name)
    flavor = (
        "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n    python_model: python_model.pkl\n"
    )
    (folder / "MLmodel").write_text(flavor)
    assert load(folder).fingerprint == forecaster.fingerprint
    assert Forecaster.load(model_file_in(folder)).fingerprint == forecaster.fingerprint
    assert not ran.exists()
