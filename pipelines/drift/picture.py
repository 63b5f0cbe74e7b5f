"""A picture of the evidence: how it went in each test, up to what is an alarm."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from pipelines.drift.detector import Course

_LEAST = 1e-6  # of the threshold: below it there is nothing to see
_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def evidence_chart(courses: Mapping[str, tuple[np.ndarray, Course]], *, title: str = "") -> Figure:
    """Evidence of every test as a share of its threshold, on a logarithmic scale; a cross where it became an alarm.

    Parameters
    ----------
    courses
        By name: start of the blocks in seconds since 1970-01-01, and how the evidence went.
    """
    figure = Figure(figsize=(7.5, 3.2 + 0.18 * len(courses)), layout="constrained")
    axes = figure.subplots()
    for number, (name, (start, course)) in enumerate(courses.items()):
        days = start.astype("M8[s]").astype("M8[D]")
        share = np.maximum(course.evidence / course.threshold, _LEAST)
        colour = _COLOURS[number % len(_COLOURS)]
        dash = ("-", "--", ":")[number // len(_COLOURS) % 3]
        axes.plot(days, np.minimum(share, 1e3), color=colour, ls=dash, lw=1.4, label=name)
        if course.alarm is not None:
            axes.plot(days[course.alarm], share[course.alarm].clip(max=1e3), color=colour, marker="X", ms=9)
    axes.axhline(1, color="0.4", lw=1)
    axes.set_yscale("log")
    axes.set_ylim(_LEAST, 2e3)
    axes.set_ylabel("evidence / that of an alarm")
    axes.grid(color="0.9", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside lower left", ncols=3)
    figure.autofmt_xdate()
    figure.suptitle(title, fontsize=10)
    return figure
