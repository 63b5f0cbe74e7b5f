"""The picture of the evidence: a line for each test, a cross at its alarm, names beside nothing else."""

import numpy as np

from pipelines.drift.detector import follow, on_every_second, threshold
from pipelines.drift.picture import evidence_chart
from pipelines.pictures.fields import png


def test_a_line_for_each_test_and_a_cross_at_its_alarm() -> None:
    start, limit = 1.7e9 + np.arange(40) * 86400.0, threshold(5, 1.0)
    courses = {
        "t2m 12h skill": (start, follow(on_every_second(np.ones(40)), limit)),
        "t2m level": (start, follow(on_every_second(np.zeros(40)), limit)),
    }
    figure = evidence_chart(courses, title="waves, drift")
    (axes,) = figure.axes
    skill, cross, level, edge = axes.lines
    assert cross.get_xdata()[0] == skill.get_xdata()[15]
    assert cross.get_ydata()[0] >= 1 == edge.get_ydata()[0]
    assert level.get_ydata().max() < 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(courses)
    assert png(figure).startswith(b"\x89PNG")
