"""Takes the outliers out of what int8 products read, without changing what is computed.

One or two channels of most inputs of the feed-forward layers reach five to ten times as far as all others. A product that takes
one scale for its whole input spends its 256 levels on them. So such a channel is divided by what it is too large, and
the weights that it meets are multiplied by the same: Xiao et al., SmoothQuant (ICML 2023), for the outliers alone.
"""

from __future__ import annotations

from typing import Callable, Sequence

import torch
from torch import Tensor, nn

from encoder import Layer, Model

INPUTS = ("qkv", "up", "down")
# How many channels may reach further than the scale is made for.
OUTLIERS = 3
# A channel is left alone unless it reaches this much further than the scale is made for.
LEAST = 1.5


class Smoothed(nn.Module):
    """A linear layer with its inputs scaled channel by channel, and its weights scaled back."""

    def __init__(self, linear: nn.Linear, divisor: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", 1 / divisor)
        self.linear = linear
        with torch.no_grad():
            linear.weight.mul_(divisor)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x * self.factor)


def smooth(model: Model, run: Callable[[], None]) -> None:
    """Changes the layers of the model in place, by what `run`, which feeds texts through the model, lets them see."""
    reach: dict[nn.Linear, Tensor] = {}
    hooks = []
    for linear in inputs(model.layers):
        hooks.append(linear.register_forward_pre_hook(lambda module, args: note(reach, module, args[0])))
    run()
    for hook in hooks:
        hook.remove()
    for layer in model.layers:
        for name in INPUTS:
            linear = getattr(layer, name)
            divisor = divisors(reach[linear])
            if (divisor > 1).any():
                setattr(layer, name, Smoothed(linear, divisor))


def inputs(layers: Sequence[Layer]) -> list[nn.Linear]:
    return [getattr(layer, name) for layer in layers for name in INPUTS]


def note(reach: dict[nn.Linear, Tensor], linear: nn.Linear, x: Tensor) -> None:
    seen = x.detach().abs().amax(dim=(0, 1))
    reach[linear] = torch.maximum(reach[linear], seen) if linear in reach else seen


def divisors(reach: Tensor) -> Tensor:
    """[channels], 1 where a channel is no outlier."""
    enough = reach.sort(descending=True).values[OUTLIERS]
    return torch.where(reach > LEAST * enough, reach / enough, torch.ones_like(reach))
