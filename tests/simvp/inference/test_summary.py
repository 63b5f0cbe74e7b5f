"""What a notebook shows of a model."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from simvp.inference.forecaster import Forecaster
from simvp.inference.summary import as_html
from tests.support.mixed import mixed_forecaster
from tests.support.models import small_forecaster
from tests.support.worlds import Kind, formula_world

RMSE = {"model": 1.155, "base": 1.2, "persistence": 2.3, "seasonal_persistence": 1.49}
BY_LEAD = {"model": [0.9, 1.1, 1.3], "persistence": [1.0, 2.0, 3.0], "seasonal_persistence": [1.5, 1.5, 1.45]}
PROVENANCE = {
    "dataset": "era5-<uk>",
    "combination": {"rmse": {"t2m": RMSE}, "rmse_by_lead": {"t2m": BY_LEAD}},
    "validation": {"d2m": {"rmse": 1.0, "best_baseline": "damped_anomaly", "baseline_rmse": 1.25, "units": "K"}},
}


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return replace(mixed_forecaster(), version="simvp-era5-uk/3", provenance=PROVENANCE)


class Balanced(HTMLParser):
    """Refuses elements that are not closed in order, and gathers the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def model_of(grid: Kind, *, upwards: bool = False, masked: bool = False) -> Forecaster:
    world = formula_world(["t2m"], frames=8 * 24, shape=(6, 8), grid=grid)
    if masked:
        world["t2m"].values[:, 0, 0] = np.nan
    if upwards:
        world = world.isel({world["t2m"].dims[1]: slice(None, None, -1)})
    return small_forecaster(world)


def picture(model: Forecaster) -> np.ndarray:
    found = re.search("data:image/png;base64,([^']+)'", as_html(model))
    assert found is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))


def test_a_short_text(model: Forecaster) -> None:
    assert str(model) == repr(model)
    lines = str(model).splitlines()
    assert lines[0] == f"<simvp.Forecaster simvp-era5-uk/3, fingerprint {model.fingerprint}>"
    said = {line[:13].strip(): line[13:].strip() for line in lines[1:]}
    assert said["variables"] == "t2m [K] 2 metre temperature, d2m [K] 2 metre dewpoint temperature"
    assert "3 x 4, latitude and longitude: latitude 58 .. 57.5 by 0.25, longitude -10 .. -8.5 by 0.5" in said["grid"]
    assert said["times"].startswith("every 1 h; T = 6 frames in, T' = 3 out, 3h; looks back 24 frames")
    assert said["trained on"] == "2020-01-01T00:00 .. 2020-01-10T23:00 (240 frames)"
    assert said["made of"].startswith("linear base forecast, SimVP network with ")
    assert said["made of"].endswith("parameters, mixture of 8 experts")
    assert len(str(model)) < 1500


def test_skill_beside_the_best_baseline_of_each_lead(model: Forecaster) -> None:
    text = str(model)
    assert "RMSE over all leads 1.155 K, best baseline 1.49 (seasonal persistence), ratio 0.775" in text
    assert "1h: 0.9 K, best baseline 1 (persistence), ratio 0.900" in text
    assert "3h: 1.3 K, best baseline 1.45 (seasonal persistence), ratio 0.897" in text
    assert "RMSE over all leads 1 K, best baseline 1.25 (damped anomaly), ratio 0.800" in text


def test_of_a_model_without_figures_no_skill_is_told() -> None:
    text = str(model_of("index"))
    assert "skill" not in text
    assert "unregistered" in text


def test_html_says_the_same_and_is_well_formed(model: Forecaster) -> None:
    page = model._repr_html_()
    text = Balanced(page).text
    for line in str(model).splitlines()[1:]:
        assert line[13:].strip() in text
    assert model.fingerprint in text
    assert "<uk>" not in page  # what comes from a file is text
    assert len(page) < 17_000


@pytest.mark.parametrize(
    ("grid", "expected"),
    [("latlon", (171.75, 32.6)), ("projected", (189.0, 29.8)), ("curvilinear", (186.3, 48.6)), ("index", None)],
)
def test_where_it_lies(grid: Kind, expected: tuple[float, float] | None) -> None:
    page = as_html(model_of(grid))
    points = [float(number) for line in re.findall("points='([^']+)'", page) for number in re.split("[ ,]", line)]
    assert ("<svg" in page) == (expected is not None)
    if expected is not None:  # 180 + longitude and 90 - latitude of the middle
        x, y = points[::2], points[1::2]
        assert (min(x) + max(x)) / 2 == pytest.approx(expected[0], abs=0.5)
        assert (min(y) + max(y)) / 2 == pytest.approx(expected[1], abs=0.5)


def test_a_grid_across_the_date_line_is_no_line_round_the_earth() -> None:
    world = formula_world(["t2m"], frames=8 * 24, shape=(6, 8))
    page = as_html(small_forecaster(world.assign_coords(longitude=177 + world["longitude"] + 10)))
    for line in re.findall("points='([^']+)'", page):
        x = [float(pair.split(",")[0]) for pair in line.split()]
        assert max(x) - min(x) < 10


def test_the_mean_of_training_north_above() -> None:
    usual, turned = (picture(model_of("latlon", upwards=upwards, masked=True)) for upwards in (False, True))
    assert usual.shape == (6, 8, 4)
    np.testing.assert_array_equal(usual, turned)
    assert usual[0, 0, 3] == 0  # nothing is known there
    assert (usual[..., 3] == 255).sum() == 47
    mean = model_of("latlon").spec.state_channels[0].climatology.values.mean((0, 1))
    coldest = np.unravel_index(np.argmin(mean), mean.shape)
    np.testing.assert_array_equal(picture(model_of("latlon"))[coldest], [68, 1, 84, 255])
