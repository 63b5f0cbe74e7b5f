"""Sequential aggregation: weights of experts from their errors as far as these are verified.

The experts e = 1 .. E are forecasts of one variable at one lead. Once init time t is verified, the Gram matrix of their
errors is known: G_t[e, f] = mean over the map, by area, of (f_e - y)(f_f - y). A mixture with weights w has the squared
error w'G_t w, so that no map is needed here.

There are two recursions, an eager and a calm one, and a third that weighs these two. Each has exponentiated gradients
(Kivinen and Warmuth 1997, Information and Computation 132, 1-63) with a fixed share (Herbster and Warmuth 1998, Machine
Learning 32, 151-178; Cesa-Bianchi and Lugosi 2006, Prediction, Learning, and Games, chapter 5). From u_1 = prior, in
the order in which the init times are verified:

* x = u_t restricted to the experts that are present at t, renormalised
* g = 2 G_t x, the gradient of x'G_t x
* scale_t = (1 - FOLLOW) scale_(t-1) + FOLLOW min of the diagonal of G_t, at most scale_0 = scale
* b_t = max(span * scale_t, max g - min g)
* v[e] ~ x[e] exp(-rate_t g[e] / b_t) with the mass that the present ones had together; absent ones keep theirs
* u_(t+1) = (1 - share) v + share prior

rate_t is `rate` for the eager one, CALM * rate / sqrt(1 + d_t) for the calm one, where d_t counts the init times before
t, in the order of verification, that were not verified yet when t was issued: the lead less one, where every step has
an init time. These share most of their errors and say together hardly more than one of them: the calm one is right as
long as nothing happens, the eager one where something does. The third has the two as its experts, with the Gram matrix
of their own errors, `rate`, and the prior (EAGER, 1 - EAGER). What is issued is their mean by its weights as the three
recursions then are, renormalised over the experts that are present.

Theorem. E_t and K_t are the eager and the calm weights before init time t counts, W_t what was issued, and s_t =
span * scale / b_t of the recursion in question: 1 unless its experts are far apart (less) or errors are smaller than
usual (more: an init time counts in units of its own scale). With Z_t = E_t throughout, or K_t throughout,

    sum s_t (W_t'G_t W_t - Z_t'G_t Z_t)  <=  span * scale * (A / rate + n rate / 8)  +  D
    sum s_t (E_t'G_t E_t - q_t'G_t q_t)  <=  span * scale * (C / rate + n rate / 8)
    A = ln(1 / EAGER), or ln(1 / (1 - EAGER)), + (n - 1) ln(1 / (1 - share))
    C = sum_k KL(q^k || prior) + m ln(1 / share) + (n - 1 - m) ln(1 / (1 - share))
    D = sum s_t R_t min(1, 2 d_t (rate / 4 + share)),  R_t = max h - min h of h = 2 G_t W_t

for every sequence of weights q_t that changes m times over n init times, with q^0 .. q^m its values. Against a single
expert KL is ln(1 / prior[e]). Where experts are absent, q_t is renormalised over the present, an init time counts with
the mass that q_t has on them, and share in D is divided by the least mass that a recursion has on them. The proof, and
what was compared, is in docs/mixture.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simvp.errors import ConfigError
from simvp.record import Record

# Part of the newest error in the scale, and the least part of the validation's that it falls to.
FOLLOW, LEAST = 0.3, 1e-6
# The calm recursion's part of the rate, and the eager one's part of the weights before anything is verified.
CALM, EAGER = 0.7, 0.1


@dataclass(frozen=True, kw_only=True)
class Aggregation(Record):
    """How fast weights follow the errors that are verified.

    Parameters
    ----------
    rate
        Largest change of the logarithm of two weights' ratio by one verified init time, in each recursion; above 0.
    share
        Part of the weights that goes back to the prior with each verified init time; between 0 and 1.
    span
        Distance of two experts' gradients, in units of the scale, up to which they count in full.
    """

    rate: float = 0.5
    share: float = 0.003
    span: float = 4.0

    def __post_init__(self) -> None:
        reasons = [
            f"{name}: expected a number above 0, got {getattr(self, name)}"
            for name in ("rate", "span")
            if not 0 < getattr(self, name) < np.inf
        ]
        if not 0 < self.share < 1:
            reasons.append(f"share: expected a number between 0 and 1, got {self.share}")
        if reasons:
            raise ConfigError("Aggregation", reasons)

    def weights(
        self,
        prior: np.ndarray,
        scale: float,
        grams: np.ndarray,
        known_at: np.ndarray,
        at: int | np.ndarray,
        present: np.ndarray | None = None,
        *,
        issued_at: np.ndarray | None = None,
    ) -> np.ndarray:
        """Weights for init times, from all errors that are verified by then.

        Parameters
        ----------
        prior
            (E,) weights before anything is verified; 0 shuts an expert out for good.
        scale
            Squared error that counts as usual, as `prior_from` finds it.
        grams
            (N, E, E) Gram matrices of the errors, squared units of the variable; rows and columns of absent experts
            NaN.
        known_at
            (N,) steps at which each was verified. They count in this order, and in the given one where it is equal.
        at
            Init time, or (M,) of them, in steps.
        present
            (E,) or (M, E) bool: the experts that have a forecast; all by default.
        issued_at
            (N,) steps at which each was issued; by default so late that none before it was pending.

        Returns
        -------
        weights
            (E,) or (M, E) float64, none negative, of sum 1; NaN where no expert is present.

        Raises
        ------
        ConfigError
            Shapes that do not belong together, a prior that is no weights, a scale that is not above 0, Gram matrices
            with single NaN.
        """
        prior, grams, known_at = np.asarray(prior, np.float64), np.asarray(grams, np.float64), np.asarray(known_at)
        _check(prior, scale, grams, known_at)
        known = np.flatnonzero(known_at <= np.max(at, initial=np.iinfo(np.int64).min))
        order = known[np.argsort(known_at[known], kind="stable")]
        late = None if issued_at is None else pending(known_at[order], np.asarray(issued_at)[order])
        path = mean(paths(columns([self]), prior[None], scale, grams[order], late))[:, 0]
        issued = path[np.searchsorted(known_at[order], at, side="right")]
        return restricted(issued, np.ones(issued.shape, bool) if present is None else present)


@dataclass(frozen=True, eq=False)
class State:
    """Where the three recursions are.

    Parameters
    ----------
    weights
        (..., 2, E) of the experts, in the eager and in the calm one.
    trust
        (..., 2) of these two, in the third.
    """

    weights: np.ndarray
    trust: np.ndarray

    @classmethod
    def of(cls, priors: np.ndarray) -> "State":
        """Before anything is verified: at the priors (..., E)."""
        both = np.repeat(priors[..., None, :], 2, axis=-2)
        return cls(both, np.broadcast_to([EAGER, 1 - EAGER], both.shape[:-1]).copy())


def mean(state: State) -> np.ndarray:
    """Weights (..., E) of what is issued."""
    return np.einsum("...k,...ke->...e", state.trust, state.weights)


def advanced(
    settings: tuple[Any, Any, Any], state: State, priors: np.ndarray, scale: np.ndarray, gram: np.ndarray, late: Any
) -> State:
    """The recursions after one more Gram matrix.

    Parameters
    ----------
    settings
        Rate, share and span, (..., 1) each.
    priors
        (..., E).
    scale
        (...) as in `Aggregation.weights`.
    gram
        (..., E, E) as in `Aggregation.weights`.
    late
        (...) number of init times that were pending when it was issued.
    """
    rate, share, span = settings
    calm = CALM * rate / np.sqrt(1 + np.asarray(late))[..., None]
    rates = np.stack(np.broadcast_arrays(rate, calm), axis=-2)  # (..., 2, 1)
    scale = np.asarray(scale)[..., None]
    own = restricted(state.weights, np.isfinite(np.einsum("...ee->...e", gram))[..., None, :])
    pair = own @ np.where(np.isfinite(gram), gram, 0.0) @ own.swapaxes(-1, -2)
    lower = (rates, share[..., None], span[..., None])
    first = np.array([EAGER, 1 - EAGER])
    return State(
        updated(lower, state.weights, priors[..., None, :], scale[..., None], gram[..., None, :, :]),
        updated(settings, state.trust, first, scale, pair),
    )


def replay(
    aggregation: Aggregation,
    prior: np.ndarray,
    scale: float,
    inits: np.ndarray,
    lead: int,
    grams: np.ndarray,
    present: np.ndarray,
) -> np.ndarray:
    """Weights (N, E) that each init time would have been issued with.

    Parameters
    ----------
    aggregation, prior, scale, grams
        As in `Aggregation.weights`.
    inits
        (N,) init times in steps, in any order.
    lead
        Steps until an init time is verified.
    present
        (N, E) bool: the experts that have a forecast.
    """
    inits = np.asarray(inits)
    return aggregation.weights(prior, scale, grams, inits + lead, inits, present, issued_at=inits)


def pending(known_at: np.ndarray, issued_at: np.ndarray) -> np.ndarray:
    """How many init times (N,) before each, in the order of verification, were not verified when it was issued.

    Parameters
    ----------
    known_at
        (N,) steps at which each was verified, ascending.
    issued_at
        (N,) steps at which each was issued.
    """
    return np.maximum(np.arange(len(known_at)) - np.searchsorted(known_at, issued_at, side="right"), 0)


def squared_errors(weights: np.ndarray, grams: np.ndarray) -> np.ndarray:
    """Squared error (...) of mixtures with weights (..., E) by Gram matrices (..., E, E); NaN without an expert."""
    there = np.where(np.isfinite(grams), grams, 0.0)
    return np.einsum("...e,...ef,...f->...", weights, there, weights)


def paths(
    settings: tuple[np.ndarray, np.ndarray, np.ndarray],
    priors: np.ndarray,
    scale: float,
    grams: np.ndarray,
    late: np.ndarray | None = None,
) -> State:
    """States (N + 1, R) of R times three recursions after none to all of the Gram matrices (N, E, E).

    They have settings (rate, share, span) of their own, (R, 1) each, and priors (R, E). `late` (N,) says how many init
    times were pending when each was issued, by default none.
    """
    states, now = [State.of(priors)], np.asarray(scale)
    for number, gram in enumerate(grams):
        now = falling(now, gram, scale)
        states.append(advanced(settings, states[-1], priors, now, gram, 0 if late is None else late[number]))
    return State(np.stack([state.weights for state in states]), np.stack([state.trust for state in states]))


def falling(scale: Any, gram: np.ndarray, highest: Any) -> np.ndarray:
    """The scale (...) after one more Gram matrix (..., E, E): the least squared error, followed, below `highest`.

    Where nothing happens (after the rain) errors are a thousandth of those of the validation, and experts differ all
    the same; where more happens than ever, they are to be told apart sooner, not later.
    """
    errors = np.einsum("...ee->...e", gram)
    least = np.where(np.isfinite(errors), errors, np.inf).min(-1)
    followed = (1 - FOLLOW) * scale + FOLLOW * np.where(np.isfinite(least), least, scale)
    return np.asarray(np.clip(followed, LEAST * np.asarray(highest), highest))


def updated(
    settings: tuple[Any, Any, Any], weights: np.ndarray, priors: np.ndarray, scale: Any, gram: np.ndarray
) -> np.ndarray:
    """Weights (..., E) of recursions after one more Gram matrix (..., E, E).

    Settings (rate, share, span) and scale are numbers, or (..., 1).
    """
    rate, share, span = settings
    present = np.isfinite(np.einsum("...ee->...e", gram))
    gram = np.where(present[..., :, None] & present[..., None, :], gram, 0.0)
    mass = (weights * present).sum(-1, keepdims=True)
    x = weights * present / np.where(mass > 0, mass, 1.0)
    gradient = 2 * (gram @ x[..., None])[..., 0]
    least = np.where(present, gradient, np.inf).min(-1, keepdims=True)
    gradient = np.where(present, gradient - least, 0.0)
    x = x * np.exp(-rate * gradient / np.maximum(span * scale, gradient.max(-1, keepdims=True)))
    x *= mass / np.where(mass > 0, x.sum(-1, keepdims=True), 1.0)
    return np.asarray((1 - share) * np.where(present, x, weights) + share * priors)


def restricted(weights: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Weights (..., E) renormalised over the present; equal ones where these have none, NaN where there are none."""
    present = np.broadcast_to(present, weights.shape)
    mass = np.where(present, weights, 0.0)
    mass = np.where((mass.sum(-1) > 0)[..., None], mass, present)
    total = mass.sum(-1, keepdims=True)
    return np.divide(mass, total, out=np.full(weights.shape, np.nan), where=total > 0)


def columns(candidates: Sequence[Aggregation]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rates, shares and spans (R, 1), as `paths` takes them."""
    rate, share, span = np.array([[c.rate, c.share, c.span] for c in candidates]).T[:, :, None]
    return rate, share, span


def _check(prior: np.ndarray, scale: float, grams: np.ndarray, known_at: np.ndarray) -> None:
    experts = len(prior) if prior.ndim == 1 else -1
    reasons = []
    if experts < 1 or not np.all(prior >= 0) or not np.isclose(prior.sum(), 1, rtol=0, atol=1e-9):
        reasons.append(f"prior: expected weights (E,), none negative, of sum 1, got {prior.tolist()}")
    if not 0 < scale < np.inf:
        reasons.append(f"scale: expected a number above 0, got {scale}")
    if known_at.shape != grams.shape[:1] or grams.shape[1:] != (experts, experts):
        reasons.append(
            f"grams: expected {(*known_at.shape, experts, experts)} as known_at and prior have it, got {grams.shape}"
        )
    elif len(grams):
        there = np.isfinite(np.einsum("nee->ne", grams))
        odd = np.isfinite(grams) != (there[:, :, None] & there[:, None, :])
        if odd.any():
            reasons.append(
                f"grams: expected absent experts as NaN in whole rows and columns, got single NaN at "
                f"{np.unique(np.nonzero(odd)[0]).tolist()[:5]}"
            )
    if reasons:
        raise ConfigError("Weights of the mixture", reasons)
