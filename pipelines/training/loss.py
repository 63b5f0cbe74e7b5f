"""What a training makes small: the error of the frames, and that of their changes.

Letters: B batch, T' target frames, S states, H rows, W columns.
"""

from torch import Tensor

_NEVER = -1e4  # a logit whose softmax is 0; minus infinity would leave differences that are no number


def masked_loss(predicted: Tensor, target: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Area-weighted mean squared error over the points that count, each state counting alike.

    Parameters
    ----------
    predicted, target
        (B, T', S, H, W), normalised.
    mask
        (S, H, W) or (B, T', S, H, W), how much the target counts: 0 where it has no value, 1 or another weight.
    weights
        (H, W) area weights.
    """
    # By the area that is known: a busy hour may count more than a quiet one.
    known = (mask > 0) * weights
    share = mask * weights / known.sum(dim=(-2, -1), keepdim=True)
    square = (predicted.float() - target) ** 2
    return (square * share).sum(dim=(-2, -1)).mean()


def differential_divergence(
    predicted: Tensor, target: Tensor, known: Tensor | None = None, *, temperature: float = 0.1
) -> Tensor:
    """How differently two sequences change from frame to frame (Tan et al.: TAU, arXiv 2206.12126, eqs. 8 to 10).

    The changes of each pair of neighbouring frames become a distribution over all channels and points, by a softmax at
    `temperature`; the result is the Kullback-Leibler divergence of the target's from the prediction's, averaged over
    pairs, channels and points. As in the public code it is 0 for fewer than three frames.

    Parameters
    ----------
    predicted, target
        (B, T', S, H, W).
    known
        (B, T', S, H, W), 0 where the target lacks a value: changes from it or to it have no probability in either.
        None: it lacks none.
    """
    if predicted.shape[1] < 3:
        return predicted.new_zeros(())
    changes = [(y[:, 1:] - y[:, :-1]).flatten(2) / temperature for y in (predicted, target)]
    if known is not None:
        unknown = ((known[:, 1:] == 0) | (known[:, :-1] == 0)).flatten(2)
        changes = [change.masked_fill(unknown, _NEVER) for change in changes]
    ours, theirs = (change.log_softmax(-1) for change in changes)
    return (ours.exp() * (ours - theirs)).mean()
