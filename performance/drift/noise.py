"""How often the test of days is wrong on series of noise, and how long a step takes."""

from collections.abc import Callable

import numpy as np

from performance.report import Table
from pipelines.drift import follow, input_factors, threshold

YEARS, SERIES, TESTS = 10, 40, 5
STEP = 3.0
"""Of the standard deviation of the series."""

Noise = Callable[[np.random.Generator, int], np.ndarray]
_BEFORE = 200  # days that are forgotten


def autoregression(first: float, second: float = 0.0, *, heavy: bool = False, rain: bool = False) -> Noise:
    """x(t) = first x(t-1) + second x(t-2) + noise: Gaussian, of Student's t with 3 degrees of freedom, exponential."""

    def made(random: np.random.Generator, days: int) -> np.ndarray:
        count = days + _BEFORE
        noise = random.standard_t(3, count) if heavy else random.exponential(size=count) - 1 if rain else None
        noise = random.standard_normal(count) if noise is None else noise
        values = np.zeros(count)
        for t in range(2, count):
            values[t] = first * values[t - 1] + second * values[t - 2] + noise[t]
        return values[_BEFORE:]

    return made


def calm_and_storm(random: np.random.Generator, days: int) -> np.ndarray:
    """Autoregression of 0.7 whose noise is large for days on end: GARCH(1, 1) with 0.2 and 0.7."""
    count = days + _BEFORE
    values, noise, variance = np.zeros(count), 0.0, 1.0
    for t in range(1, count):
        variance = 0.1 + 0.2 * noise**2 + 0.7 * variance
        noise = float(np.sqrt(variance) * random.standard_normal())
        values[t] = 0.7 * values[t - 1] + noise
    return values[_BEFORE:]


KINDS: dict[str, Noise] = {
    "independent": autoregression(0.0),
    "AR(1), 0.7": autoregression(0.7),
    "AR(1), 0.9": autoregression(0.9),
    "AR(1), 0.7, heavy tails (t with 3)": autoregression(0.7, heavy=True),
    "AR(1), 0.7, skewed (exponential)": autoregression(0.7, rain=True),
    "AR(2), 0.9 and -0.3": autoregression(0.9, -0.3),
    "AR(2), 0.5 and 0.3": autoregression(0.5, 0.3),
    "AR(1), 0.7, calm and stormy weeks (GARCH)": calm_and_storm,
}


def table() -> Table:
    """Alarms of a test that is alone, and days until a step is noticed by one of five, by length of the training."""
    rows = []
    for name, noise in KINDS.items():
        cells = [_found(noise, known) for known in (120, 1000)]
        rows.append((name, *(f"{share:.0%}" for share, _ in cells), *(_days(delays) for _, delays in cells)))
    columns = (
        "noise",
        f"an alarm in {YEARS} years, 120 days known",
        "1000 days known",
        f"days until a step of {STEP:g} deviations is noticed, 120 days known",
        "1000 days known",
    )
    return Table(columns=columns, rows=tuple(rows), title=f"{SERIES} series each")


def _found(noise: Noise, known: int) -> tuple[float, list[float]]:
    """Share of series with an alarm, and days until a step is noticed; infinite where it is not within 365."""
    random, wrong, delays = np.random.default_rng(0), [], []
    for _ in range(SERIES):
        days = noise(random, known + round(YEARS * 365.25))
        wrong.append(follow(input_factors(days[:known], days[known:]), threshold(1, 1.0, YEARS)).alarm is not None)
        moved = days[known : known + 365] + STEP * days[:known].std()
        alarm = follow(input_factors(days[:known], moved), threshold(TESTS, 1.0, YEARS)).alarm
        delays.append(np.inf if alarm is None else alarm + 1.0)
    return float(np.mean(wrong)), delays


def _days(delays: list[float]) -> str:
    middle = float(np.median(delays))
    return f"{middle:.0f}" if np.isfinite(middle) else "more than 365"
