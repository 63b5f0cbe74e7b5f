"""The home of examples and tutorials: what `make demo` leaves, of a world so small that it takes seconds.

Examples name `simulated-weather`, as they do for somebody who has run `make demo`: two months, every three hours, on
16 x 24 points, and a model without a network.
"""

import logging
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

DATASET = "simulated-weather"
DAYS, SHAPE, HOURS = 80, (16, 24), 3


def setup(app: Sphinx) -> dict[str, Any]:
    """Hook into Sphinx, before the gallery runs its examples."""
    app.connect("builder-inited", _fill, priority=100)
    return {"parallel_read_safe": False, "version": "1"}


def _fill(app: Sphinx) -> None:
    from pipelines.home import Home

    # Sphinx gives what stands on its command line as a text.
    if str(app.config.plot_gallery) not in ("0", "False") and DATASET not in Home.default().datasets:
        getLogger(__name__).info("a small home: ingest, train, promote, forecast, verify")
        fill(Home.default())


def fill(home: Any) -> None:
    """Take a small simulated world through all stages."""
    from datasets.simulated import SimulatedWeather
    from pipelines.forecast import forecast
    from pipelines.ingest import ingest
    from pipelines.promote import promote
    from pipelines.train import train
    from pipelines.training import TrainConfig
    from pipelines.verify import verify

    for noisy in ("mlflow", "alembic", "pipelines", "simvp", "datasets"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    files = Path(home.path) / "files"
    files.mkdir(parents=True, exist_ok=True)
    weather = SimulatedWeather(shape=SHAPE, noise_std=0.3).dataset(frames=DAYS * 24)
    weather.isel(time=slice(None, None, HOURS)).compute().to_netcdf(files / "weather.nc")
    ingest(home, DATASET, source=files / "weather.nc")
    settings = TrainConfig(dataset=DATASET, size="none", frames_in=8, frames_out=4, cycle=8)
    report = train(home, settings)
    promote(home, DATASET)
    start, end = report.plan.periods.held_out
    forecast(home, DATASET, model="challenger")
    forecast(home, DATASET, model="challenger", hindcast=(start, end))
    verify(home, DATASET, kind="hindcasts")
