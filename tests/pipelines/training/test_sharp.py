"""A training on rain chooses how much say the model has in the order of its sharp forecast; the scores follow it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.archive import Archive
from pipelines.evaluation.evaluate import evaluate, says_of
from pipelines.home import Home
from pipelines.ingest import ingest
from pipelines.tracking import open_registry, resolve_version
from pipelines.train import train
from pipelines.training import TrainConfig
from simvp.scoring import SAYS
from tests.support.radar import radar_world


@pytest.mark.slow
def test_the_choice_of_a_training_is_what_the_scores_are_made_with(tmp_path: Path) -> None:
    radar_world(240, dry=0).to_netcdf(tmp_path / "radar.nc")
    home = Home(tmp_path / "home")
    ingest(home, "radar", source=tmp_path / "radar.nc")
    report = train(home, TrainConfig(dataset="radar", size="none", frames_in=3, frames_out=3))
    model = open_registry(home).load(resolve_version(home, "radar", report.version))
    says = says_of(model)
    assert set(says) == {"rain"}
    assert says["rain"] in SAYS
    ds = Archive(home.archive("radar")).dataset()
    times = ds["time"].values[[-20, -15, -10]]
    counts = {}
    for say in (0.0, 0.7):
        provenance = {**model.provenance, "combination": {**model.provenance["combination"], "sharp": {"rain": say}}}
        counts[say] = evaluate(replace(model, provenance=provenance), ds, times)["events"].sel(thresholded="rain")
    none, some = counts[0.0], counts[0.7]
    np.testing.assert_array_equal(none.sel(contender="sharp"), none.sel(contender="extrapolation"))
    assert (some.sel(contender="sharp") != some.sel(contender="extrapolation")).any()
    np.testing.assert_array_equal(none.sel(contender="model"), some.sel(contender="model"))
