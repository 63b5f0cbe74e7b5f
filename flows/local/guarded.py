"""The usual command of a server, with its doors closed: `python -m flows.local.guarded prefect server start ...`.

::

    python -m flows.local.guarded prefect server start [--host 127.0.0.1] [--port 4200]
    python -m flows.local.guarded mlflow server [--host 127.0.0.1] [--port 5000]

Settings are those of the servers themselves, from the environment: Prefect's, and for MLflow `MLFLOW_BACKEND_STORE_URI`
and `MLFLOW_DEFAULT_ARTIFACT_ROOT`. `SIMVP_ORIGINS` has the addresses under which other machines reach them. Each server
runs in this one process. Neither library lets a middleware be named in a setting, so the application is made here.
"""

import argparse
import ipaddress
import os
import sys
from collections.abc import Sequence

from flows.local.doors import OwnOrigins, PlainParameters, own_origins, stated_origins
from simvp.errors import ConfigError, Refusal

MLFLOW_SETTINGS = ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT")
# What runs programs of this machine for MLflow's pages.
ASSISTANT = ("/ajax-api/3.0/mlflow/assistant",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m flows.local.guarded", allow_abbrev=False)
    servers = parser.add_subparsers(dest="server", required=True)
    for name, words, port in (("prefect", ("server", "start"), 4200), ("mlflow", ("server",), 5000)):
        server = servers.add_parser(name)
        for position, word in enumerate(words):
            server.add_argument(f"word{position}", choices=[word], metavar=word)
        server.add_argument("--host", default="127.0.0.1")
        server.add_argument("--port", type=int, default=port)
    asked = parser.parse_args(arguments)
    try:
        origins = own_origins(asked.port, stated_origins())
        (_serve_prefect if asked.server == "prefect" else _serve_mlflow)(asked.host, asked.port, origins)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    return 0


def _serve_prefect(host: str, port: int, origins: Sequence[str]) -> None:
    """As `prefect server start` does it in one process.

    Raises
    ------
    ConfigError
        Other machines could ask, and no password is set.
    """
    os.umask(0o077)  # database, leases and logs: what runs were given, and what they said
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    if settings.api.auth_string is None and not _is_loopback(host):
        raise ConfigError(
            f"Prefect server on {host}",
            ["expected PREFECT_SERVER_API_AUTH_STRING, got none: whoever reaches it could run anything"],
            "set it to user:password here, and PREFECT_API_AUTH_STRING to the same for workers and commands",
        )
    for path in get_current_settings().home.glob("prefect.db*"):  # of a version before, or made beside this process
        path.chmod(0o600)
    app = create_app(final=True)
    app.add_middleware(PlainParameters)
    app.add_middleware(OwnOrigins, origins=origins)
    uvicorn.run(
        app,
        host=host,
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


def _serve_mlflow(host: str, port: int, origins: Sequence[str]) -> None:
    """As `mlflow server --workers 1` does it, in one process, and without its assistant.

    Raises
    ------
    ConfigError
        Database or folder of artifacts are not stated; MLflow would put them into the working directory.
    """
    if missing := [name for name in MLFLOW_SETTINGS if not os.environ.get(name)]:
        reasons = [f"{name} is not set" for name in missing]
        raise ConfigError("MLflow server", reasons, "state its database and where its files go: docs/deployment.md")
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(origin.partition("://")[2] for origin in origins)
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)
    from mlflow.server import constants

    database, root = (os.environ[name] for name in MLFLOW_SETTINGS)
    # By these its command hands its options to its worker processes.
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = database
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = database
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = root
    import uvicorn
    from mlflow.server import _UVICORN_LOG_CONFIG
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(database, database, root)
    app.add_middleware(OwnOrigins, origins=origins, closed=ASSISTANT)
    uvicorn.run(app, host=host, port=port, log_config=str(_UVICORN_LOG_CONFIG))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
