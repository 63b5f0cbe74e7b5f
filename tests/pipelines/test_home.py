"""Where things lie."""

from pathlib import Path

import pytest

from pipelines.home import Home, slug
from simvp.errors import ConfigError


def test_default_is_a_folder_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMVP_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Home.default().path == tmp_path / ".simvp"
    monkeypatch.setenv("SIMVP_HOME", "elsewhere")
    home = Home.default()
    monkeypatch.chdir("/")
    assert home.path == tmp_path / "elsewhere"  # a later change of directory moves nothing


def test_stores_lie_in_the_home_or_at_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMVP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SIMVP_STORE", raising=False)
    assert Home.default().archive("a") == tmp_path / "home" / "a" / "archive.zarr"
    monkeypatch.setenv("SIMVP_STORE", str(tmp_path / "shared"))
    home = Home.default()
    assert home.forecasts("a", "3h") == tmp_path / "shared" / "a" / "forecasts" / "3h.zarr"
    assert home.training("a") == tmp_path / "home" / "a" / "training"
    monkeypatch.setenv("SIMVP_STORE", "gs://bucket/weather/")
    home = Home.default()
    assert home.archive("a") == "gs://bucket/weather/a/archive.zarr"
    assert home.scores("a", "forecasts-3h") == "gs://bucket/weather/a/scores/forecasts-3h.zarr"
    with pytest.raises(ConfigError, match="lower case letters"):
        home.archive("../b")
    monkeypatch.setenv("SIMVP_STORE", "ftp://host/weather")
    with pytest.raises(ConfigError, match="expected a folder, or s3://, gs:// or az://"):
        Home.default()
    monkeypatch.delenv("SIMVP_STORE")
    monkeypatch.setenv("SIMVP_HOME", "s3://bucket/home")
    with pytest.raises(ConfigError, match=r"SIMVP_HOME s3://bucket/home: expected a local folder.*\n.*as SIMVP_STORE"):
        Home.default()
    assert list(tmp_path.iterdir()) == []


def test_asking_creates_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.archive("a")
    home.forecasts("a", "12h")
    assert home.tracking_uri
    assert home.datasets == ()
    assert not home.path.exists()


def test_nothing_of_one_data_set_lies_in_another(tmp_path: Path) -> None:
    home = Home(tmp_path)

    def places(name: str) -> list[Path]:
        return [
            home.archive(name),
            home.training(name),
            home.forecasts(name, "12h"),
            home.hindcasts(name, "12h"),
            home.scores(name, "forecasts-12h"),
            home.skill_csv(name),
            home.pictures(name),
        ]

    ours = places("a")
    assert len(set(ours)) == len(ours)
    for name in ("ab", "a.b", "a-b"):
        assert all(not theirs.is_relative_to(tmp_path / "a") for theirs in places(name))
    for path in ours:
        assert path.is_relative_to(tmp_path / "a")
        assert not path.is_relative_to(home.mlflow)


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", "A", ".hidden", "-a", "a b", "a" * 65])
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="lower case letters"):
        Home(tmp_path).archive(name)


@pytest.mark.parametrize("name", ["mlflow", "prefect"])
def test_names_of_the_services_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="folders with another purpose"):
        Home(tmp_path).archive(name)


def test_tracking_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert home.tracking_uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert home.tracking_uri == "http://127.0.0.1:5000"
    assert home.database_uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"


def test_datasets_are_those_with_an_archive(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.archive("b").mkdir(parents=True)
    home.archive("a").mkdir(parents=True)
    home.mlflow.mkdir()
    assert home.datasets == ("a", "b")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/data/ERA5 UK/*.nc", "data-era5-uk-nc"),
        ("winds.cdf", "winds-cdf"),
        ("mlflow", "mlflow-data"),
        ("x" * 100, "x" * 64),
    ],
)
def test_slug_gives_a_valid_name(tmp_path: Path, text: str, name: str) -> None:
    assert slug(text) == name
    assert Home(tmp_path).dataset(slug(text)).name == name


def test_slug_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="no letter or digit"):
        slug("***")
