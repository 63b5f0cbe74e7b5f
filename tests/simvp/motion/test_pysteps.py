"""pysteps as the judge: its extrapolation along its own Lucas-Kanade motion is no better than ours.

It is not among the requirements: it is compiled at installation and brings OpenCV. `pip install pysteps` and
`pytest -m slow` run this.
"""

import numpy as np
import pytest

from simvp.motion import FRAMES, extrapolate
from tests.support.radar import radar_world

LEADS = 6

pytestmark = pytest.mark.slow


def test_as_good_as_pysteps_on_the_points_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSTEPS_SILENT", "1")
    motion = pytest.importorskip("pysteps.motion")
    nowcasts = pytest.importorskip("pysteps.nowcasts")
    transformation = pytest.importorskip("pysteps.utils.transformation")
    rain = radar_world()["rain"].values
    inits = range(10, 40, 2)
    series = np.stack([rain[i + 1 - FRAMES : i + 1] for i in inits])
    truth = np.stack([rain[i + 1 : i + 1 + LEADS] for i in inits])
    theirs = []
    for frames in series:
        decibels, _ = transformation.dB_transform(frames * 6, threshold=0.1, zerovalue=-15.0)  # mm/h
        flow = motion.get_method("LK")(decibels)
        theirs.append(nowcasts.get_method("extrapolation")(frames[-1], flow, LEADS))
    judge = np.stack(theirs)
    known = np.isfinite(judge)
    assert known.mean() > 0.5

    def rmse(made: np.ndarray) -> float:
        return float(np.sqrt(np.square(made - truth)[known].mean()))

    assert rmse(extrapolate(series, LEADS)) < 1.02 * rmse(judge)
    assert rmse(judge) < 0.7 * rmse(np.repeat(series[:, -1:], LEADS, 1))
