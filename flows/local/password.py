"""The password of a home: what Prefect's server asks for, and where Prefect's own programs find it.

It is made at the first start, for whoever can read the files of the home's owner and for nobody else on the machine.
"""

import contextlib
import os
import secrets
import tomllib
from pathlib import Path
from typing import Any

import toml

from datasets.store import disk
from pipelines.home import Home

__all__ = ["home_password", "password_file", "prefect_login"]

PROFILE = "simvp"
SETTINGS = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")  # of clients, of a server


def password_file(home: Home) -> Path:
    """Where the login stands, as user:password, which is what Prefect's pages ask for."""
    return home.prefect / "password"


def home_password(home: Home) -> str:
    """The login of a home, made now where there is none; two that start at once get the same."""
    home.prefect.mkdir(parents=True, exist_ok=True)
    home.prefect.chmod(0o700)  # databases and logs that lie there as well
    path = password_file(home)
    while not (login := _read(path)):
        made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        disk.write(made, f"simvp:{secrets.token_urlsafe(24)}\n".encode(), private=True)
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
        if not _read(path):  # what was left of one by a full disk
            path.unlink(missing_ok=True)
    return login


def prefect_login(home: Home) -> dict[str, str]:
    """Variables by which a process of this home, server or client, knows the login.

    The profile that a second terminal reads (prefect.toml names it) has the login too.
    """
    login, profiles = home_password(home), home.prefect / "profiles.toml"
    _keep(profiles, login)
    return {**dict.fromkeys(SETTINGS, login), "PREFECT_PROFILES_PATH": str(profiles)}


def _read(path: Path) -> str:
    try:
        login = path.read_text().strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    path.chmod(0o600)
    return login


def _keep(path: Path, login: str) -> None:
    """Put the login into the active profile; what else somebody has set there stays."""
    content: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        content = tomllib.loads(path.read_text())
        path.chmod(0o600)
    profiles = content.setdefault("profiles", {})
    profile = profiles.setdefault(content.setdefault("active", PROFILE), {})
    if any(profile.get(name) != login for name in SETTINGS):
        profile.update(dict.fromkeys(SETTINGS, login))
        disk.write(path, toml.dumps(content).encode(), private=True)
