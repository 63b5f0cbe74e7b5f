"""What would be enough: spans in words, dates, and the shortest archive, against the rule of the periods itself."""

import numpy as np
import pytest

from pipelines.evaluation.shortfall import shortfall, span
from pipelines.windows.periods import Choice, Layout, held_out_frames
from simvp.coords.steps import Step

START = np.datetime64("2020-01-01", "ns")
STEPS = ("1h", "6h", "30min", "1D", "1 month", "1 year")


def held_out(step: Step, slots: int, frames_in: int, frames_out: int) -> int:
    """Frames that the periods of an archive without gaps hold out."""
    times = step.shift(START, np.arange(slots))
    layout = Layout(times, np.ones(slots, bool), step, "study")
    layout.take(Choice())
    first, last = layout.periods(frames_in, frames_out)[0].held_out
    return (
        int(
            np.flatnonzero(layout.axis == np.datetime64(last))[0]
            - np.flatnonzero(layout.axis == np.datetime64(first))[0]
        )
        + 1
    )


@pytest.mark.parametrize(
    ("frames", "step", "words"),
    [
        (1, "1h", "0.1 days"),
        (24, "1h", "1 day"),
        (28, "1h", "1.2 days"),
        (36, "1h", "1.5 days"),
        (37, "1h", "1.6 days"),
        (7, "1D", "7 days"),
        (1, "1 month", "1 month"),
        (12, "1 month", "1 year"),
        (19, "1 month", "1 year, 7 months"),
        (5, "3 months", "1 year, 3 months"),
        (30, "1 year", "30 years"),
        (12345, "1D", "12345 days"),
    ],
)
def test_a_span_in_words(frames: int, step: str, words: str) -> None:
    assert span(frames, Step.parse(step)) == words


@pytest.mark.parametrize("word", STEPS)
def test_the_archive_that_is_said_to_be_enough_is_the_shortest(word: str) -> None:
    step = Step.parse(word)
    for frames_in, frames_out, there, missing in ((4, 3, 10, 30), (12, 6, 70, 25), (3, 1, 1, 24)):
        inits = step.shift(START, np.arange(there))
        frames = there - 1 + missing + frames_out
        slots = next(n for n in range(2, 9 * frames) if held_out_frames(n, step, frames_in, frames_out) >= frames)
        found = shortfall(missing, inits, step=step, frames_in=frames_in, frames_out=frames_out)
        assert (found.archive, found.held_out, found.more) == (
            span(slots, step),
            span(frames, step),
            span(missing, step),
        )
        assert held_out(step, slots, frames_in, frames_out) >= frames > held_out(step, slots - 1, frames_in, frames_out)


def test_a_week_of_hours_that_is_a_day_short() -> None:
    """T = 24, T' = 12: five blocks of 37 are 185 init times, 28 more than 157; with the targets 196 hours."""
    inits = START + np.arange(157) * np.timedelta64(1, "h")
    sizes = {"step": Step.parse("1h"), "frames_in": 24, "frames_out": 12}
    found = shortfall(28, inits, archive=744, **sizes)
    # A quarter of 772 hours is 193, of which whole days make 216; of 771 it is 192, eight days and too few.
    assert found.reasons == (
        "enough would be 1.2 days more of held-out data: targets up to 2020-01-09T04:00:00, 8.2 days in all",
        "the archive spans 31 days, and so much is held out by itself only of 32.2 days or more: it takes 1.2 days "
        "more, or train with periods.held_out_days=8.2",
    )
    assert found.held_out_days * 24 >= 196
    (_, longer) = shortfall(28, inits, archive=772, **sizes).reasons
    assert longer.endswith(
        "is held out by itself of 32.2 days or more: train again on it as it is, or train with "
        "periods.held_out_days=8.2"
    )
    # Less than twice what is to be held out: nothing would be left to train on.
    (_, shorter) = shortfall(28, inits, archive=391, **sizes).reasons
    assert shorter.endswith("of 32.2 days or more: it takes 15.9 days more")
    assert len(shortfall(28, inits, **sizes).reasons) == 1


def test_months_are_said_in_months_and_years() -> None:
    """T = 12, T' = 6: five blocks of 19 are 95 init times, of which 20 are there; six targets."""
    step = Step.parse("1 month")
    inits = step.shift(START, np.arange(20))
    found = shortfall(75, inits, step=step, frames_in=12, frames_out=6, archive=132)
    # January 2020 and 94 + 6 months; in all 100 months of targets, a quarter of 400.
    assert found.reasons == (
        "enough would be 6 years, 3 months more of held-out data: targets up to 2028-05-01T00:00:00, "
        "8 years, 4 months in all",
        "the archive spans 11 years, and so much is held out by itself only of 33 years, 4 months or more: it takes "
        "22 years, 4 months more",
    )
    assert found.held_out_days == 3043.7  # 100 months of 30.436875 days
    far = shortfall(1000, step.shift(START, np.arange(5000)), step=step, frames_in=12, frames_out=6)
    assert far.until == "2520-06-01 00:00:00"  # beyond what datetime64[ns] reaches


def test_more_than_any_rule_holds_out_has_to_be_asked_for() -> None:
    """Of hours 30 days at most, unless eight blocks are longer: never the 40 days that gaps make necessary here."""
    inits = START + np.arange(900) * np.timedelta64(1, "h")
    sizes = {"step": Step.parse("1h"), "frames_in": 4, "frames_out": 3}
    asked = shortfall(60, inits, archive=4000, **sizes)
    assert asked.archive is None
    assert asked.reasons[1] == (
        "the archive spans 166.7 days, and so much is never held out unless it is asked for: train with "
        "periods.held_out_days=40.1"
    )
    (_, short) = shortfall(60, inits, archive=1000, **sizes).reasons
    assert short.endswith("so much is never held out unless it is asked for: let the archive grow")
