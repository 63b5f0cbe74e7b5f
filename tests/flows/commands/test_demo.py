"""`simvp demo` from the shell: what was typed arrives, and it ends with the path of the skill table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from flows.commands import demo
from flows.commands.demo import parse, settings
from pipelines.description import Description
from pipelines.home import Home
from simvp.cli import Exit, main
from simvp.errors import ConfigError, SourceError
from tests.conftest import CHECKOUT
from tests.support.small_home import write_source


def test_demo_settings() -> None:
    assert settings() == ("simulated-weather", Description())
    assert settings("era5-uk") == ("era5-uk", Description())
    _, told = settings(source="/data/Rain 2020/*.nc", words={"variables": "a, b", "units": "a:K,b:m s-1"})
    assert told.ingest.source == "/data/Rain 2020/*.nc"
    assert told.ingest.variables == ["a", "b"]
    assert told.ingest.units == {"a": "K", "b": "m s-1"}
    name, told = settings(
        source="x.grib", name="mine", words={"select": "level:850,member:r1"}, counts={"frames_in": "8"}
    )
    assert (name, told.ingest.select, told.train.frames_in) == ("mine", {"level": 850, "member": "r1"}, 8)
    assert told.ingest.source == os.path.abspath("x.grib")


def test_a_command_line_is_read_without_running_it() -> None:
    words = ["--source", "x.grib", "--select", "level:850,lead:12h", "--units", "t:K", "--name", "mine"]
    assert (
        parse(words)
        == settings(source="x.grib", name="mine", words={"select": "level:850,lead:12h", "units": "t:K"})[1].ingest
    )
    with pytest.raises(TyperException, match="--sauce"):
        parse(["--sauce", "x.grib"])


def test_demo_takes_a_data_set_as_its_file_describes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rain.toml").write_text('[ingest]\nsource = "files/*.nc"\n[train]\nframes_in = 6\n')
    monkeypatch.chdir(tmp_path)
    for given in ("rain", "rain.toml", str(tmp_path / "rain.toml")):
        name, told = settings(given, counts={"epochs": "3"})
        assert (name, told.ingest.source) == ("rain", str(tmp_path / "files" / "*.nc"))
        assert told.train.model_dump(exclude_unset=True)["epochs"] == 3
        assert told.train.frames_in == 6


def test_data_without_a_cycle_is_said_by_a_word() -> None:
    assert settings(counts={"cycle": "none"})[1].train.cycle is None
    assert settings(counts={"cycle": "24"})[1].train.cycle == 24


def test_data_sets_of_different_sources_have_different_names() -> None:
    names = [settings(source=source)[0] for source in ("/a/rain/*.nc", "/b/rain/*.nc", "/a/wind/*.nc")]
    assert len(set(names)) == 3
    assert settings(source="/a/rain/*.nc")[0] == names[0]
    assert names[0].startswith("rain-nc-")
    assert settings(source="/a/rain/*.nc", words={"variables": "a"})[0] != names[0]
    assert Home("/home").dataset(settings(source=f"/{'long' * 40}.nc")[0]).name


def test_a_source_with_a_password_is_refused_and_one_that_names_it_is_taken() -> None:
    with pytest.raises(SourceError, match=r"\{SIMVP_SOURCE_LOGIN\}@host") as refused:
        settings(source="https://user:hunter2@files/rain.nc?sig=hunter2")
    assert "hunter2" not in str(refused.value)
    name, told = settings(source="https://{SIMVP_SOURCE_LOGIN}@files/rain.nc?{SIMVP_SOURCE_QUERY}")
    assert told.ingest.source == "https://{SIMVP_SOURCE_LOGIN}@files/rain.nc?{SIMVP_SOURCE_QUERY}"
    assert name.startswith("files-rain-nc-")


def test_demo_settings_that_contradict_are_refused_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        settings("era5-uk", "x.nc", words={"units": "a"}, counts={"epochs": "few"})
    text = str(refused.value)
    assert "expected one of them, got both" in text
    assert "UNITS: expected pairs like t2m:K,rain:mm, got 'a'" in text
    assert "EPOCHS: expected a whole number, got 'few'" in text
    with pytest.raises(ConfigError, match="VARIABLES describes files, but no SOURCE is given"):
        settings(words={"variables": "a"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("era5-uk", "--source", "x.nc"), "expected one of them, got both"),
        (("era5",), "data set 'era5': expected one of simulated-weather, "),
        # A directory with another file of that name: the same without network as with one.
        (("nyc-taxi",), "nyc-taxi-2015-01.nc: expected sha256 cdab81feea"),
    ],
)
def test_demo_refuses_without_a_traceback_before_anything_is_started(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "nyc-taxi-2015-01.nc").write_bytes(b"CDF")
    done = subprocess.run(
        [sys.executable, "-m", "simvp", "demo", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "SIMVP_HOME": str(tmp_path / "home"), "SIMVP_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == Exit.REFUSED
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_source(folder, days=1)
    (folder / "empty").mkdir()
    (folder / "text.nc").write_text("this is no data\n" * 20)
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--frames-in 0", "FRAMES_IN: expected greater than or equal to 1, got 0"),
        ("--cycle 1", "CYCLE: expected 2 steps or more, auto, or none, got 1"),
        ("--cycle nine", "CYCLE: expected 2 steps or more, auto, or none, got 'nine'"),
        ("nope", "data set 'nope': expected one of simulated-weather, "),
        ("--source {files}/absent.nc", "there is no file or folder '{files}/absent.nc'; {files} is there"),
        ("--source {files}/empty", "folder '{files}/empty' holds no NetCDF, GRIB or Zarr data"),
        ("--source {files}/text.nc", "{files}/text.nc: expected NetCDF, GRIB or Zarr by content"),
        ("--source {files}/day000.nc --variables wind", "wind"),
        ("--source {files}/day000.nc --units t2m:mm", "mm"),
        ("--source {files}/day000.nc --step banana", "banana"),
        ("--source {files}/day000.nc --name ../up", "data set name '../up': expected up to 64 lower case letters"),
    ],
)
def test_demo_looks_at_settings_and_source_before_it_starts_a_server(
    words: str, said: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.setattr(demo, "_server", lambda home: pytest.fail("a server was started"))
    assert main(["demo", *(word.format(files=files) for word in words.split())]) == Exit.REFUSED
    text = capsys.readouterr().err
    assert said.format(files=files) in text
    assert "To mend it: " in text or "expected words like" in text
    assert len(text.splitlines()) <= 4
    assert list(tmp_path.iterdir()) == []


def test_demo_asks_for_its_scheduler_before_it_starts_a_server(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIMVP_DASK", "tcp://127.0.0.1:9")
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.setattr(demo, "_server", lambda home: pytest.fail("a server was started"))
    assert main(["demo", "--source", str(files / "day000.nc")]) == Exit.REFUSED
    assert "Scheduler tcp://127.0.0.1:9: expected a scheduler of dask to answer" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/home", "expected a folder, and {folder}/file is a file"),
        ("what?now/home", "expected a path without '?'"),
        ("s3://bucket/x", "expected a local folder, for databases and unfinished trainings, got an address"),
    ],
)
def test_demo_looks_at_its_home_first(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SIMVP_HOME", name if "://" in name else str(tmp_path / name))
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.setattr(demo, "_server", lambda home: pytest.fail("a server was started"))
    assert main(["demo"]) == Exit.REFUSED
    text = capsys.readouterr().err
    assert text.startswith("SIMVP_HOME ")
    assert name in text
    assert said.format(folder=tmp_path) in text
    assert "To mend it: " in text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_demo_on_files_ends_with_the_path_of_the_table(tmp_path: Path) -> None:
    source = str(write_source(tmp_path / "source"))
    command = [sys.executable, "-m", "simvp", "demo", "--source", source, "--name", "mine"]
    command += ["--frames-in", "6", "--frames-out", "3", "--epochs", "1"]
    environment = {**os.environ, "SIMVP_HOME": str(tmp_path / "home")}
    tables = []
    for _ in range(2):
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == str(tmp_path / "home" / "mine" / "skill.csv")
        tables.append((tmp_path / "home" / "mine" / "skill.csv").read_bytes())
    assert "nothing was trained again" in done.stdout
    assert tables[0] == tables[1]
    missing = [*command[:5], str(tmp_path / "nothing.nc")]
    done = subprocess.run(missing, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == Exit.REFUSED
    assert "nothing.nc" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_the_module_itself_still_takes_the_data_set_as_an_option(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.commands.demo", "--data", "nope"],
        cwd=CHECKOUT,
        env={**os.environ, "SIMVP_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == Exit.REFUSED
    assert done.stderr.startswith("data set 'nope': expected one of simulated-weather")
