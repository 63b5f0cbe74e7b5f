"""A data set described in NAME.toml: what is read, what is refused, and the first draft of it from files."""

import inspect
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipelines.description import Description, draft_of, find_description, read_description
from pipelines.evaluation import Gate
from pipelines.ingest import ingest
from pipelines.training import TrainConfig
from simvp.errors import ConfigError, Refusal, SourceError
from tests.support.small_home import write_source

WHOLE = """
[ingest]
source = "files/*.nc"
variables = ["t2m"]
units = {t2m = "K"}
select = {level = 850, lead = "12h"}
step = "1 h"
[train]
frames_in = 6
frames_out = 3
size = "tiny"
cycle = 24
periods = {held_out_days = 3}
[promote]
margin = 0.1
[scores]
thresholds = {t2m = [280, 290.5]}
[forecast]
init_hours = [0, 12]
horizon = "6h"
export = "out"
[schedule]
ingest = "0 5 * * *"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "walk.toml"
    path.write_text(text)
    return path


def test_every_section_is_the_record_of_its_stage(tmp_path: Path) -> None:
    told = read_description(written(tmp_path, WHOLE))
    assert told.ingest.source == str(tmp_path / "files" / "*.nc")
    assert told.ingest.select == {"level": 850, "lead": "12h"}
    assert TrainConfig(dataset="walk", **told.train.model_dump(exclude_unset=True)) == TrainConfig(
        dataset="walk", frames_in=6, frames_out=3, size="tiny", cycle=24, periods={"held_out_days": 3}
    )
    assert told.promote == Gate(margin=0.1)
    assert told.scores.thresholds == {"t2m": [280.0, 290.5]}
    assert (told.forecast.init_hours, told.forecast.horizon) == ([0, 12], "6h")
    assert told.forecast.export == str(tmp_path / "out")
    assert told.schedule.ingest == "0 5 * * *"
    assert Description(**tomllib.loads("")) == Description()


@pytest.mark.parametrize(("said", "cycle"), [('"none"', None), ('"auto"', "auto"), ("2", 2)])
def test_data_without_a_cycle_is_said_by_a_word(said: str, cycle: int | str | None, tmp_path: Path) -> None:
    told = read_description(written(tmp_path, f"[train]\ncycle = {said}"))
    # As a deployment of it hands the settings on, in JSON.
    settings = told.train.model_dump(mode="json", exclude_unset=True)
    assert settings == {"cycle": cycle}
    assert TrainConfig(dataset="walk", **settings) == TrainConfig(dataset="walk", cycle=cycle)


@pytest.mark.parametrize("module", ["ingest", "forecast"])
def test_settings_are_parameters_of_stage_and_flow_alike(module: str) -> None:
    import importlib

    fields = set(type(getattr(Description(), module)).model_fields)
    for room in ("pipelines", "flows"):
        function = getattr(importlib.import_module(f"{room}.{module}"), module)
        assert fields <= set(inspect.signature(function).parameters), room


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ingst]", "ingst: no setting of that name (did you mean 'ingest'?)"),
        ("[train]\nframe_in = 3", "train.frame_in: no setting of that name (did you mean 'frames_in'?)"),
        ("[train]\nframes_in = 0", "train.frames_in: expected greater than or equal to 1"),
        ("[train]\ncycle = 1", "train.cycle: expected 2 steps or more, auto, or none, got 1"),
        ("[train]\ncycle = 'non'", "train.cycle: expected 2 steps or more, auto, or none, got 'non'"),
        ("[promote]\nmargin = 2", "promote.margin: expected less than 1"),
        ("[ingest]\nstep = 'banana'", "ingest.step"),
        ("[forecast]\ninit_hours = [25]", "forecast.init_hours"),
        ("[schedule]\ntrain = 'daily'", "expected the five fields of cron"),
        ("[ingest\n", "walk.toml: "),
        ("[ingest]\n#? units.t2m = ''  # units of t2m\n", "line 2: units.t2m = ''  # units of t2m"),
    ],
)
def test_what_a_file_says_wrong_is_refused_by_its_name(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        read_description(written(tmp_path, text))
    assert str(tmp_path / "walk.toml") in str(refused.value)
    assert said in str(refused.value)


def test_a_password_in_the_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected no user, password or query") as refused:
        read_description(written(tmp_path, '[ingest]\nsource = "https://me:hunter2@host/a.nc"'))
    assert "hunter2" not in str(refused.value)


def test_a_name_finds_its_file_and_a_path_has_to_lead_to_one(tmp_path: Path) -> None:
    written(tmp_path, WHOLE)
    for name in ("walk", "walk.toml", str(tmp_path / "walk.toml")):
        assert find_description(name, tmp_path)[0] == "walk"
        assert find_description(name, tmp_path)[1].train.frames_in == 6
    assert find_description("era5-uk", tmp_path) == ("era5-uk", Description())
    with pytest.raises(ConfigError, match=r"none.toml: there is no such file\nTo mend it: .*simvp init"):
        find_description("none.toml", tmp_path)


def test_a_draft_holds_what_the_files_say_and_is_ingested_as_it_is(tmp_path: Path) -> None:
    from pipelines.home import Home

    source = str(write_source(tmp_path / "source", days=2))
    draft = draft_of(source)
    assert draft.questions == {}
    told = read_description(written(tmp_path, draft.text("walk")))
    assert (told.ingest.source, told.ingest.variables) == (source, ["t2m"])
    home = Home(tmp_path / "home")
    assert ingest(home, "walk", **told.ingest.model_dump()).length == 48


def levels(path: Path, frames: int = 1) -> str:
    """Frames on two levels, in units that nobody states."""
    time = np.datetime64("2024-01-01", "ns") + np.arange(frames) * np.timedelta64(1, "h")
    values = np.random.default_rng(0).normal(size=(frames, 2, 4, 4))
    ds = xr.Dataset(
        {"q": (("time", "level", "lat", "lon"), values)},
        {"time": time, "level": [850.0, 500.0], "lat": np.arange(4.0), "lon": np.arange(4.0)},
    )
    ds["level"].attrs = {"units": "hPa", "positive": "down"}
    ds["lat"].attrs, ds["lon"].attrs = {"units": "degrees_north"}, {"units": "degrees_east"}
    ds.to_netcdf(path)
    return str(path)


def test_what_cannot_be_seen_is_a_question_until_it_is_answered(tmp_path: Path) -> None:
    draft = draft_of(levels(tmp_path / "q.nc"))
    assert list(draft.questions) == ["select.level"]
    assert "850.0, 500.0 hPa" in draft.questions["select.level"]
    path = written(tmp_path, draft.text("walk"))
    with pytest.raises(ConfigError, match=r"line \d+: select.level = .*850.0, 500.0 hPa"):
        read_description(path)
    draft = draft.answered("select.level", "850")
    assert list(draft.questions) == ["units.q", "step"]
    with pytest.raises(Refusal, match="banana"):
        draft.answered("step", "banana")
    draft = draft.answered("units.q", "g kg-1").answered("step", "1h")
    assert draft.questions == {}
    told = read_description(written(tmp_path, draft.text("walk")))
    assert (told.ingest.select, told.ingest.units, told.ingest.step) == ({"level": 850}, {"q": "g kg-1"}, "1 h")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no file or folder"):
        draft_of(str(tmp_path / "none.nc"))
