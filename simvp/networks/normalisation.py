"""Group normalisation and LeakyReLU as one step that keeps nothing but its input for the backward pass.

Done one after the other, autograd keeps what goes into the normalisation and what comes out of the activation.
Recomputing the second costs little, so it is not kept: not by this step, nor by a convolution that follows
(`simvp.networks.recompute.applied`). Training takes half the memory.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from simvp.networks.recompute import remember

LEAK = 0.2  # slope below zero, of the public code


def leaky_group_norm(x: Tensor, norm: nn.Module, *, inplace: bool = False) -> Tensor:
    """LeakyReLU of `norm` of x (B, C, H, W), in the type of x; no other norm than a GroupNorm counts.

    `inplace` writes it to x where there is no norm; what is written to afterwards itself must not be made so.
    """
    if not isinstance(norm, nn.GroupNorm):
        return nn.functional.leaky_relu(x, LEAK, inplace=inplace)
    settings = norm.num_groups, norm.eps
    y: Tensor = _LeakyGroupNorm.apply(x, norm.weight, norm.bias, *settings)
    if not y.requires_grad:
        return y
    kept = [tensor.detach() for tensor in (x, norm.weight, norm.bias)]
    return remember(y, lambda: _LeakyGroupNorm.apply(*kept, *settings))


class _LeakyGroupNorm(torch.autograd.Function):
    """Keeps x (B, C, H, W) and the moments of its groups, 2 * (B, groups)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        z, *moments = _group_norm(x, weight, bias, groups, eps)
        ctx.save_for_backward(x, weight, bias, *moments)
        ctx.settings = groups, eps
        return nn.functional.leaky_relu(z, LEAK, inplace=True).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, deviation = ctx.saved_tensors
        groups, eps = ctx.settings
        z = _group_norm(x, weight, bias, groups, eps)[0]  # recomputed, not kept
        gradient = torch.ops.aten.leaky_relu_backward(gradient.to(z.dtype), z, LEAK, False)
        B, C, H, W = x.shape
        gradients = torch.ops.aten.native_group_norm_backward(
            gradient, x.to(z.dtype), mean, deviation, weight, B, C, H * W, groups, ctx.needs_input_grad[:3]
        )
        return (gradients[0].to(x.dtype), *gradients[1:], None, None)


def _group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised x, mean and 1 / deviation of each group.

    CPUs take bfloat16 beside float32 weights and keep the moments in float32; for CUDA x is widened, as autocast does.
    """
    wide = x if x.device.type == "cpu" else x.float()
    B, C, H, W = x.shape
    return torch.native_group_norm(wide, weight, bias, B, C, H * W, groups, eps)
