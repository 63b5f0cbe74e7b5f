"""Sequential tests for a change, with a stated rate of false alarms however often one looks.

A test is given factors, one of each block of days: what a stake of 1 becomes by a bet that the block is not as it
should be. As long as nothing has changed, the mean of a factor, given all that was known before, is 1 at most. The
evidence

    M(t) = e(t) (M(t-1) + 1)

is the sum of what a stake of 1 on every block so far has become: the Shiryaev-Roberts e-detector of Shin, Ramdas and
Rinaldo (E-detectors, New England Journal of Statistics in Data Science, 2024). While nothing has changed M(t) - t falls
in the mean, so that E[M(s)] <= E[s] at any time s that is chosen by what was seen till then. With an alarm at the first
M >= c, that is

    P(alarm within n blocks) <= n / c,   and   mean time until the alarm >= c blocks.

The mean of such sums, of several bets on one thing, is one again. Of K tests, each of which waits for K c, the expected
number of false alarms within n blocks is n / c at most, whatever they have to do with each other. It stays so where a
test begins anew, of a new model, however often that is: each of its blocks has had 1 / (K c) of an alarm.
"""

from dataclasses import dataclass

import numpy as np

YEARS = 10.0
"""Years in which one false alarm is expected at most, of all tests of a data set together."""

DAYS_A_YEAR = 365.2425
_LARGEST = 1e300  # beyond which evidence is not counted any more


@dataclass(frozen=True, kw_only=True)
class Course:
    """How the evidence of one test went.

    Parameters
    ----------
    evidence
        (T,) after each block.
    threshold
        At which it is an alarm.
    alarm
        The first block with as much; None: none.
    begin
        The block from which on the bets have gained most, up to the alarm: about where the change was.
    """

    evidence: np.ndarray
    threshold: float
    alarm: int | None
    begin: int | None


def follow(factors: np.ndarray, threshold: float) -> Course:
    """Add up the evidence of a test.

    Parameters
    ----------
    factors
        (T, J) of J bets, 0 and more; 1 where nothing is known of a block.
    threshold
        c, in blocks; infinite where there is to be no alarm.
    """
    evidence, sums = np.zeros(len(factors)), np.zeros(factors.shape[1])
    for number, factor in enumerate(factors):
        sums = np.minimum(factor * (sums + 1), _LARGEST)
        evidence[number] = sums.mean()
    over = np.flatnonzero(evidence >= threshold)
    alarm = int(over[0]) if len(over) else None
    return Course(evidence=evidence, threshold=threshold, alarm=alarm, begin=_begin(factors, alarm))


def _begin(factors: np.ndarray, alarm: int | None) -> int | None:
    """The block from which on the product of the factors of any bet up to the alarm is the largest."""
    if alarm is None:
        return None
    with np.errstate(divide="ignore"):
        gained = np.cumsum(np.log(factors[alarm::-1]), axis=0)  # from the alarm back
    back, _ = np.unravel_index(np.argmax(gained), gained.shape)
    return alarm - int(back)


def threshold(tests: int, block_days: float, years: float = YEARS) -> float:
    """Evidence at which each of so many tests with blocks of so many days is an alarm.

    The tests of a data set have blocks of different lengths. Counted in days, the evidence of one is its sum times the
    days of a block.
    """
    return tests * years * DAYS_A_YEAR / block_days


# --- bets -------------------------------------------------------------------------------------------------------------

_STAKES = (0.25, 0.5, 0.9)
_POWERS = (0.1, 0.3, 0.6)


def on_every_second(bad: np.ndarray) -> np.ndarray:
    """Factors (T, J) of bets against: a block is bad with a chance of one half at most, whatever came before.

    Parameters
    ----------
    bad
        (T,) 1 where it is, 0 where not, NaN where nobody knows.
    """
    return _known(1 + np.multiply.outer(2 * bad - 1, _STAKES))


def on_mean(values: np.ndarray, lowest: float) -> np.ndarray:
    """Factors (T, J) of bets against: the mean of a block is zero or below, whatever came before.

    Parameters
    ----------
    values
        (T,) of at least `lowest` (below zero); NaN where nobody knows.
    """
    return _known(1 + np.multiply.outer(values, np.array(_STAKES) / -lowest))


def on_chance(chances: np.ndarray, reference: int) -> np.ndarray:
    """Factors (T, J) of bets against: values as high as this came in at most this share of the reference.

    The bet at power k pays k p^(k - 1), of mean 1 for an even p (Vovk and Wang, E-values, Annals of Statistics, 2021).
    The reference is a sample itself: the mean of its own payments has a standard error of sd / sqrt(N), and the
    payments are divided by 1 and two of these.

    Parameters
    ----------
    chances
        (T,) of above zero to 1; NaN where nobody knows.
    reference
        N, number of values that `chances` are shares of, themselves included: multiples of 1 / (N + 1).
    """
    powers = np.array(_POWERS)
    grid = np.arange(1, reference + 2)[:, None] / (reference + 1)
    payments = powers * grid ** (powers - 1)
    slack = 1 + 2 * payments.std(0) / np.sqrt(max(reference, 1))
    with np.errstate(invalid="ignore"):
        paid = powers * chances[:, None] ** (powers - 1)
    return _known(paid / np.maximum(payments.mean(0), 1.0) / slack)


def _known(factors: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(factors), factors, 1.0)
