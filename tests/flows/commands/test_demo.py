"""`make demo` from the shell: what was typed arrives, and it ends with the path of the skill table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.commands import demo
from flows.commands.demo import parse
from pipelines.home import Home
from simvp.errors import ConfigError, SourceError
from tests.conftest import CHECKOUT
from tests.support.small_home import write_source


def test_demo_settings() -> None:
    assert parse([]).dataset == "simulated-weather"
    assert parse(["--data", "era5-uk"]).dataset == "era5-uk"
    settings = parse(["--source", "/data/Rain 2020/*.nc", "--variables", "a, b", "--units", "a:K,b:m s-1"])
    assert settings.source == "/data/Rain 2020/*.nc"
    assert settings.variables == ["a", "b"]
    assert settings.units == {"a": "K", "b": "m s-1"}
    settings = parse(["--source", "x.grib", "--name", "mine", "--select", "level:850,member:r1", "--frames-in", "8"])
    assert (settings.dataset, settings.select, settings.frames_in) == ("mine", {"level": 850, "member": "r1"}, 8)


def test_data_sets_of_different_sources_have_different_names() -> None:
    names = [parse(["--source", source]).dataset for source in ("/a/rain/*.nc", "/b/rain/*.nc", "/a/wind/*.nc")]
    assert len(set(names)) == 3
    assert parse(["--source", "/a/rain/*.nc"]).dataset == names[0]
    assert names[0].startswith("rain-nc-")
    assert parse(["--source", "/a/rain/*.nc", "--variables", "a"]).dataset != names[0]
    assert Home("/home").dataset(parse(["--source", f"/{'long' * 40}.nc"]).dataset).name


def test_a_source_with_a_password_is_refused_and_one_that_names_it_is_taken() -> None:
    with pytest.raises(SourceError, match=r"\{SIMVP_SOURCE_LOGIN\}@host") as refused:
        parse(["--source", "https://user:hunter2@files/rain.nc?sig=hunter2"])
    assert "hunter2" not in str(refused.value)
    settings = parse(["--source", "https://{SIMVP_SOURCE_LOGIN}@files/rain.nc?{SIMVP_SOURCE_QUERY}"])
    assert settings.source == "https://{SIMVP_SOURCE_LOGIN}@files/rain.nc?{SIMVP_SOURCE_QUERY}"
    assert settings.dataset.startswith("files-rain-nc-")


def test_demo_settings_that_contradict_are_refused_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse(["--data", "era5-uk", "--source", "x.nc", "--units", "a", "--epochs", "few"])
    text = str(refused.value)
    assert "expected one of them, got both" in text
    assert "UNITS: expected pairs like t2m:K,rain:mm, got 'a'" in text
    assert "EPOCHS: expected a whole number, got 'few'" in text
    with pytest.raises(ConfigError, match="VARIABLES describes files, but no SOURCE is given"):
        parse(["--variables", "a"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "era5-uk", "--source", "x.nc"), "expected one of them, got both"),
        (("--data", "era5"), "data set 'era5': expected one of simulated-weather, "),
        # A directory with another file of that name: the same without network as with one.
        (("--data", "nyc-taxi"), "nyc-taxi-2015-01.nc: expected sha256 cdab81feea"),
    ],
)
def test_demo_refuses_without_a_traceback_before_anything_is_started(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "nyc-taxi-2015-01.nc").write_bytes(b"CDF")
    done = subprocess.run(
        [sys.executable, "-m", "flows.commands.demo", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "SIMVP_HOME": str(tmp_path / "home"), "SIMVP_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
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
        ("--cycle 1", "CYCLE: expected greater than or equal to 2"),
        ("--data nope", "data set 'nope': expected one of simulated-weather, "),
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
    monkeypatch.setattr(demo, "stop_on_signals", lambda: None)
    monkeypatch.setattr(demo, "_server", lambda home: pytest.fail("a server was started"))
    assert demo.main([word.format(files=files) for word in words.split()]) == 2
    text = capsys.readouterr().err
    assert said.format(files=files) in text
    assert "To mend it: " in text or "expected words like" in text
    assert len(text.splitlines()) <= 4
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
    monkeypatch.setattr(demo, "stop_on_signals", lambda: None)
    monkeypatch.setattr(demo, "_server", lambda home: pytest.fail("a server was started"))
    assert demo.main([]) == 2
    text = capsys.readouterr().err
    assert text.startswith("SIMVP_HOME ")
    assert name in text
    assert said.format(folder=tmp_path) in text
    assert "To mend it: " in text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_demo_on_files_ends_with_the_path_of_the_table(tmp_path: Path) -> None:
    source = str(write_source(tmp_path / "source"))
    command = [sys.executable, "-m", "flows.commands.demo", "--source", source, "--name", "mine"]
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
    missing = [*command[:4], str(tmp_path / "nothing.nc")]
    done = subprocess.run(missing, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "nothing.nc" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
