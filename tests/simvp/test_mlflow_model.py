"""A registered model as MLflow's own clients use it: labelled data, arrays, JSON, and the name of its version."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pipelines.home import Home
from pipelines.tracking.runs import open_run
from pipelines.tracking.signature import MOST, example_of, signature_of
from pipelines.tracking.versions import register_version
from simvp.errors import ContractError
from simvp.inference.forecaster import Forecaster
from simvp.mlflow_model import Generic
from tests.support.mixed import calibrated, mixed_forecaster, noisy_world
from tests.support.models import small_forecaster
from tests.support.worlds import formula_world

ROWS, COLUMNS = 3, 4


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    return formula_world(("t2m",), frames=14 * 24, shape=(ROWS, COLUMNS))


@pytest.fixture(scope="module")
def small(world: xr.Dataset) -> Forecaster:
    return small_forecaster(world)


@pytest.fixture(scope="module")
def uri(
    small: Forecaster, world: xr.Dataset, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of a version that was logged and registered as a training does it, where MLflow looks for it."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.mlflow.mkdir(parents=True)
    (home.mlflow / "mlflow.db").write_bytes(empty_database.read_bytes())
    file = home.path / "forecaster.safetensors"
    small.save(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with open_run(home, "waves", "key") as run:
            source = run.log_model(file, small.spec, world)
            tags = {"training_key": "key", "fingerprint": small.fingerprint}
            register_version(home, "waves", source=source, run_id=run.run_id, tags=tags)
        patch.setenv("MLFLOW_TRACKING_URI", home.tracking_uri)
        yield "models:/simvp-waves/1"


@pytest.fixture(scope="module")
def model(uri: str) -> Any:
    return mlflow.pyfunc.load_model(uri)


def arrays(ds: xr.Dataset) -> dict[str, np.ndarray]:
    return {name: ds[name].values for name in ("t2m", "time", "latitude", "longitude")}


def test_labelled_data_gives_what_the_forecaster_gives(model: Any, small: Forecaster, world: xr.Dataset) -> None:
    expected = small.predict(world).drop_vars(["created", "model_version"])
    for data in (world, world["t2m"]):
        made = model.predict(data)
        xr.testing.assert_equal(xr.merge([made]).drop_vars(["created", "model_version"]), expected)
        assert made["model_version"].values.tolist() == ["simvp-waves/1"]
    assert model.get_raw_model().fingerprint == small.fingerprint


def test_an_alias_is_the_number_that_it_names(uri: str, world: xr.Dataset) -> None:
    made = mlflow.pyfunc.load_model("models:/simvp-waves@challenger").predict(world)
    assert made["model_version"].values.tolist() == ["simvp-waves/1"]


def test_a_model_that_is_no_version_says_so(small: Forecaster, world: xr.Dataset, tmp_path: Path) -> None:
    file = tmp_path / "forecaster.safetensors"
    small.save(file)
    mlflow.pyfunc.save_model(
        tmp_path / "model", loader_module="simvp.mlflow_model", data_path=str(file), pip_requirements=["simvp"]
    )
    made = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(world)
    assert made["model_version"].values.tolist() == ["unregistered"]


@pytest.mark.parametrize(
    ("params", "leads", "inits"),
    [
        ({"horizon": "6h"}, 6, ["2020-01-14T23"]),
        ({"horizon": "2"}, 2, ["2020-01-14T23"]),
        ({"init_time": "2020-01-10T12:00"}, 3, ["2020-01-10T12"]),
        ({"init_time": "2020-01-10T12:00", "horizon": "1h"}, 1, ["2020-01-10T12"]),
        ({"init_time": None}, 3, ["2020-01-14T23"]),
        (None, 3, ["2020-01-14T23"]),
    ],
)
def test_params_are_horizon_and_init_time(
    model: Any, world: xr.Dataset, params: dict[str, str] | None, leads: int, inits: list[str]
) -> None:
    made = model.predict(world, params=params)
    assert made.sizes["lead_time"] == leads
    assert made["init_time"].values.tolist() == np.array(inits, "M8[ns]").tolist()


def test_a_horizon_that_is_no_text_is_refused_by_the_signature(model: Any, world: xr.Dataset) -> None:
    with pytest.raises(mlflow.MlflowException, match=r"horizon.*Can not safely convert"):
        model.predict(world, params={"horizon": 6})


def test_members_and_bounds_come_back_in_the_form_that_was_given(tmp_path: Path) -> None:
    file, sure, ds = tmp_path / "model.safetensors", calibrated(mixed_forecaster()), noisy_world()
    sure.save(file)
    folder = str(tmp_path / "model")
    mlflow.pyfunc.save_model(
        folder,
        loader_module="simvp.mlflow_model",
        data_path=str(file),
        signature=signature_of(sure.spec),
        pip_requirements=["simvp"],
    )
    model, params = mlflow.pyfunc.load_model(folder), {"members": 3, "levels": [0.05, 0.95]}
    expected = sure.predict(ds, members=3, levels=(0.05, 0.95))
    made = model.predict(ds, params=params)
    xr.testing.assert_equal(made["t2m_member"], expected["t2m_member"])
    bare = model.predict({**arrays(ds), "d2m": ds["d2m"].values}, params=params)
    dims = ("init_time", "lead_time", "member", "latitude", "longitude")
    np.testing.assert_array_equal(bare["t2m_member"], expected["t2m_member"].transpose(*dims))
    assert bare["t2m_quantile"].shape[2] == 2
    assert bare["quantile"].tolist() == [0.05, 0.95]
    table = model.predict(ds[["t2m", "d2m"]].to_dataframe().reset_index(), params=params)
    assert [name for name in table if name.startswith("t2m_")] == [
        "t2m_member_0", "t2m_member_1", "t2m_member_2", "t2m_quantile_0.05", "t2m_quantile_0.95"
    ]  # fmt: skip
    back = (
        table.set_index(["valid_time", "latitude", "longitude"])
        .to_xarray()
        .sel(expected["t2m"].coords["latitude"].coords)
    )
    wanted = expected.isel(init_time=0)["t2m_member"].sel(member=2).transpose("lead_time", "latitude", "longitude")
    np.testing.assert_array_equal(back["t2m_member_2"].sel(longitude=wanted["longitude"]), wanted)


def test_arrays_by_the_names_of_the_signature(model: Any, small: Forecaster, world: xr.Dataset) -> None:
    expected = small.predict(world, horizon=2)
    made = model.predict(arrays(world), params={"horizon": "2"})
    assert set(made) == {"t2m", "init_time", "valid_time", "latitude", "longitude", "model_version"}
    np.testing.assert_array_equal(made["t2m"], expected["t2m"])
    assert made["init_time"].tolist() == ["2020-01-14T23:00:00"]
    assert made["valid_time"].tolist() == [["2020-01-15T00:00:00", "2020-01-15T01:00:00"]]
    assert made["latitude"].tolist() == world["latitude"].values.tolist()
    assert made["model_version"] == "simvp-waves/1"


def test_a_table_gives_a_table(model: Any, small: Forecaster, world: xr.Dataset) -> None:
    rows = world.to_dataframe().reset_index()
    rows["time"] = rows["time"].astype(str)  # as JSON has them
    made = model.predict(rows.sample(frac=1, random_state=0))
    assert list(made.columns) == ["init_time", "valid_time", "latitude", "longitude", "t2m", "model_version"]
    assert set(made["model_version"]) == {"simvp-waves/1"}
    expected = small.predict(world)["t2m"].to_dataframe().reset_index()
    keys = ["valid_time", "latitude", "longitude"]
    ours, theirs = (one.set_index(keys)["t2m"].sort_index() for one in (made, expected))
    np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-6)
    with pytest.raises(ContractError, match="expected one row for each time, latitude, longitude"):
        small_of(model).predict(pd.concat([rows, rows.tail(1)]))


def small_of(model: Any) -> Generic:
    """The model without what MLflow puts around its refusals."""
    return Generic(model.get_raw_model())


def test_the_input_example_is_the_last_frames_and_can_be_predicted(model: Any, small: Forecaster) -> None:
    example = model.input_example
    assert {name: values.shape for name, values in example.items()} == {
        "t2m": (small.spec.frames_in, ROWS, COLUMNS),
        "time": (small.spec.frames_in,),
        "latitude": (ROWS,),
        "longitude": (COLUMNS,),
    }
    made = model.predict(example)
    assert made["init_time"].tolist() == ["2020-01-14T23:00:00"]


def test_the_signature_names_shapes_and_params(model: Any) -> None:
    assert {spec.name: (spec.type.name, spec.shape) for spec in model.metadata.get_output_schema()} == {
        "t2m": ("float32", (-1, -1, ROWS, COLUMNS)),
        "init_time": ("str", (-1,)),
        "valid_time": ("str", (-1, -1)),
        "latitude": ("float64", (ROWS,)),
        "longitude": ("float64", (COLUMNS,)),
    }
    # MLflow would check what is given by them, and refuse all but one form of it.
    assert model.metadata.get_input_schema() is None
    assert [param.name for param in model.metadata.get_params_schema()] == [
        "horizon", "init_time", "adapt", "members", "levels"
    ]  # fmt: skip


def test_a_large_grid_has_no_example_and_is_logged_without_a_word(small: Forecaster, world: xr.Dataset) -> None:
    frames = MOST // (ROWS * COLUMNS * small.spec.frames_in) + 1
    wide = formula_world(("t2m",), frames=24, shape=(ROWS, COLUMNS * frames))
    spec = small_forecaster(wide, frames_in=8).spec
    assert example_of(wide, spec) is None
    assert signature_of(spec).outputs.inputs[0].shape == (-1, -1, ROWS, COLUMNS * frames)


def test_everything_that_is_wrong_with_arrays_is_said_at_once(small: Forecaster, world: xr.Dataset) -> None:
    data = arrays(world)
    with pytest.raises(ContractError) as refused:
        Generic(small).predict({"t2m": data["t2m"][:, :2], "time": ["yesterday"], "latitude": ["north"] * ROWS})
    text = str(refused.value)
    assert "Arrays to forecast from" in text
    assert "latitude: expected numbers, got" in text
    assert "longitude: missing" in text
    assert "time: expected a time in the proleptic_gregorian calendar, got 'yesterday'" in text
    assert "give t2m, time, latitude, longitude by name, as the model card says, or an xarray Dataset" in text
    with pytest.raises(ContractError, match=r"t2m: expected the shape \(336, 3, 4\), got \(336, 2, 4\)"):
        Generic(small).predict(data | {"t2m": data["t2m"][:, :2]})


def test_arrays_of_another_grid_are_refused_by_the_contract(small: Forecaster, world: xr.Dataset) -> None:
    data = arrays(world)
    with pytest.raises(ContractError, match="latitude"):
        Generic(small).predict(data | {"latitude": data["latitude"] + 1})


def test_lists_have_none_where_arrays_have_nan(world: xr.Dataset) -> None:
    masked = world.copy(deep=True)
    masked["t2m"][:, 0, 0] = np.nan
    generic = Generic(small_forecaster(masked))
    data = arrays(masked)
    assert np.isnan(generic.predict(data)["t2m"][..., 0, 0]).all()
    listed = {name: values.tolist() for name, values in data.items() if name != "time"}
    listed["time"] = [str(time) for time in data["time"]]
    made = json.loads(json.dumps({"t2m": generic.predict(listed)["t2m"].tolist()}))
    assert {point for lead in made["t2m"][0] for point in lead[0][:1]} == {None}
    assert all(isinstance(value, float) for value in made["t2m"][0][0][1])


def test_the_logged_model_is_a_file_of_tensors_texts_and_the_wheel(uri: str, tmp_path: Path) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path)))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"}
    examples = {"input_example.json", "serving_input_example.json"}
    (wheel,) = (name for name in files if name.endswith(".whl"))
    assert set(files) == texts | examples | {"data/forecaster.safetensors", wheel}
    assert wheel.startswith("code/simvp-")
    for name in texts | examples:
        files[name].decode("ascii")  # a pickle of today begins with a byte that is none
    assert "+code." in wheel
    # The label is left out: MLflow compares what is asked for with what is installed, which has none.
    asked = f"simvp=={wheel.removeprefix('code/simvp-').partition('+')[0]}"
    assert {"--find-links code", asked} <= set(files["requirements.txt"].decode().splitlines())


def test_the_scoring_server_answers_and_says_what_is_wrong(model: Any, small: Forecaster, world: xr.Dataset) -> None:
    """The application that `mlflow models serve` runs, asked as a client of HTTP asks it."""
    from fastapi.testclient import TestClient
    from mlflow.pyfunc.scoring_server import init

    client = TestClient(init(model))
    frames = world.isel(time=slice(-small.spec.frames_in, None))
    data = {name: values.tolist() for name, values in arrays(frames).items() if name != "time"}
    data["time"] = [str(time) for time in frames["time"].values]
    answer = client.post("/invocations", json={"inputs": data, "params": {"horizon": "2h"}})
    assert answer.status_code == 200, answer.text
    made = answer.json()["predictions"]
    np.testing.assert_array_equal(np.float32(made["t2m"]), small.predict(frames, horizon=2)["t2m"])
    assert made["model_version"] == "simvp-waves/1"
    refused = client.post("/invocations", json={"inputs": data | {"t2m": data["t2m"][1:]}})
    assert refused.status_code == 400
    assert "t2m: expected the shape (8, 3, 4), got (7, 3, 4)" in refused.json()["stack_trace"]


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "text/csv"])
def test_the_scoring_server_takes_a_table(model: Any, small: Forecaster, world: xr.Dataset, form: str) -> None:
    from fastapi.testclient import TestClient
    from mlflow.pyfunc.scoring_server import init

    frames = world.isel(time=slice(-small.spec.frames_in, None))
    rows = frames.to_dataframe().reset_index().assign(time=lambda table: table["time"].astype(str))
    client = TestClient(init(model))
    if form == "text/csv":
        answer = client.post("/invocations", content=rows.to_csv(index=False), headers={"Content-Type": form})
    else:
        table = json.loads(
            rows.to_json(orient=form.removeprefix("dataframe_"), **({"index": False} if "split" in form else {}))
        )
        answer = client.post("/invocations", json={form: table})
    assert answer.status_code == 200, answer.text
    made = pd.DataFrame(answer.json()["predictions"])
    expected = small.predict(frames)["t2m"].squeeze("init_time").sortby("latitude")
    np.testing.assert_allclose(made["t2m"], expected.values.ravel(), rtol=1e-6)
    assert made["valid_time"].iloc[0].startswith("2020-01-15T00:00:00")
    assert set(made["model_version"]) == {"simvp-waves/1"}


def test_the_scoring_server_takes_null_for_a_missing_point(model: Any, small: Forecaster, world: xr.Dataset) -> None:
    from fastapi.testclient import TestClient
    from mlflow.pyfunc.scoring_server import init

    frames = world.isel(time=slice(-small.spec.frames_in, None)).copy(deep=True)
    frames["t2m"][:, 0, 0] = np.nan
    data = {name: values.tolist() for name, values in arrays(frames).items()}
    data["t2m"] = frames["t2m"].astype(object).where(frames["t2m"].notnull(), None).values.tolist()
    data["time"] = [str(time) for time in frames["time"].values]
    answer = TestClient(init(model)).post("/invocations", json={"inputs": data})
    assert answer.status_code == 200, answer.text
    assert "NaN" not in answer.text
    made = np.array(answer.json()["predictions"]["t2m"], float)
    np.testing.assert_allclose(made, small.predict(frames)["t2m"], rtol=1e-6)
