"""The password of a home."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.local.password import home_password, password_file, prefect_login
from pipelines.home import Home
from tests.conftest import CHECKOUT


def test_a_password_is_made_once_and_is_for_the_owner_alone(tmp_path: Path) -> None:
    home, other = Home(tmp_path / "a"), Home(tmp_path / "b")
    login = home_password(home)
    assert login == home_password(home) != home_password(other)
    user, _, password = login.partition(":")
    assert user == "simvp"
    assert len(password) >= 32
    assert [path.name for path in home.prefect.iterdir()] == ["password"]
    assert password_file(home).stat().st_mode & 0o777 == 0o600
    assert home.prefect.stat().st_mode & 0o777 == 0o700


def test_two_that_start_at_once_get_the_same_password(tmp_path: Path) -> None:
    for number in range(20):
        home = Home(tmp_path / str(number))
        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(home_password, [home] * 4))) == 1
        assert [path.name for path in home.prefect.iterdir()] == ["password"]


@pytest.mark.parametrize("left", [b"", b"\n", b"\xff\xfe"], ids=["empty", "a line", "no text"])
def test_what_is_left_of_a_password_is_made_anew(tmp_path: Path, left: bytes) -> None:
    home = Home(tmp_path)
    home.prefect.mkdir()
    password_file(home).write_bytes(left)
    assert home_password(home).startswith("simvp:")
    assert password_file(home).read_text().strip() == home_password(home)


def test_a_password_that_others_could_read_is_closed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prefect.mkdir()
    password_file(home).write_text("me:chosen\n")
    assert home_password(home) == "me:chosen"
    assert password_file(home).stat().st_mode & 0o777 == 0o600


def test_a_second_terminal_finds_the_password_in_the_profile(tmp_path: Path) -> None:
    home = Home(tmp_path)
    environment = prefect_login(home)
    profiles = home.prefect / "profiles.toml"
    login = {name: home_password(home) for name in ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")}
    assert environment == {**login, "PREFECT_PROFILES_PATH": str(profiles)}
    assert tomllib.loads(profiles.read_text()) == {"active": "simvp", "profiles": {"simvp": login}}
    assert profiles.stat().st_mode & 0o777 == 0o600
    # In this folder no variable is needed.
    assert tomllib.loads((CHECKOUT / "prefect.toml").read_text())["profiles_path"] == ".simvp/prefect/profiles.toml"


def test_what_somebody_has_set_in_the_profile_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prefect.mkdir()
    profiles = home.prefect / "profiles.toml"
    profiles.write_text('active = "mine"\n[profiles.mine]\nPREFECT_LOGGING_LEVEL = "DEBUG"\n[profiles.b]\n')
    prefect_login(home)
    found = tomllib.loads(profiles.read_text())
    assert found["active"] == "mine"
    assert found["profiles"]["mine"]["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert found["profiles"]["mine"]["PREFECT_API_AUTH_STRING"] == home_password(home)
    assert found["profiles"]["b"] == {}
    assert profiles.stat().st_mode & 0o777 == 0o600
