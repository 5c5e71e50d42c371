"""Layers that leave work out give the numbers and gradients of those that do it all."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training_assets.families.nets import layers
from training_assets.families.nets.spec import Weight, encoder, recurrent

N_MODELS, N_ROWS, WIDTH = 3, 5, 8


def drawn(shapes: Mapping[str, Weight]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(N_MODELS, *weight.shape, generator=generator, dtype=torch.float64) * 0.4 for name, weight in shapes.items()}


def inputs(length: int, width: int = WIDTH) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(N_MODELS, N_ROWS, length, width, generator=generator, dtype=torch.float64, requires_grad=True)


def assert_same(found: Tensor, expected: Tensor, *by: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    one, other = (torch.autograd.grad(value.sin().sum(), by) for value in (found, expected))
    for gradient, reference in zip(one, other, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("length", [1, 3, 7, 15, 16, 40])
@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
def test_the_newest_position_of_a_causal_stack_is_that_of_the_whole_stack(length: int, n_layers: int) -> None:
    names = [f"layer{layer}" for layer in range(n_layers)]
    p = drawn({f"{name}.{part}": Weight(shape) for name in names for part, shape in (("weight", (3 * WIDTH, WIDTH)), ("bias", (WIDTH,)))})
    x = inputs(length)
    whole = x
    for layer, name in enumerate(names):
        dilation = 2**layer
        padded = functional.pad(whole, (0, 0, 2 * dilation, 0))
        taps = torch.cat([padded[:, :, tap * dilation : tap * dilation + length] for tap in range(3)], dim=-1)
        whole = whole + layers.gelu(layers.linear(p, name, taps))
    assert_same(layers.newest_of_causal_convolutions(p, names, x), whole[:, :, -1], x)


@pytest.mark.parametrize("length", [1, 2, 9])
def test_the_written_gradient_of_the_lstm_is_that_of_autograd(length: int) -> None:
    p = {name: tensor.requires_grad_() for name, tensor in drawn(recurrent("bars", 6, WIDTH)).items()}
    x = inputs(length, 6)
    hidden = cell = x.new_zeros(N_MODELS, N_ROWS, WIDTH)
    for step in layers.linear(p, "bars.input", x).unbind(dim=2):
        # On the first step too: a weight that is not used has no gradient to compare.
        candidate, opened_in, opened_out, kept = (step + hidden @ p["bars.recurrent"]).chunk(4, dim=-1)
        cell = torch.sigmoid(kept + p["bars.forget"].unsqueeze(1)) * cell + torch.sigmoid(opened_in) * torch.tanh(candidate)
        hidden = torch.sigmoid(opened_out) * torch.tanh(cell)
    assert_same(layers.lstm(p, "bars", x), hidden, x, *p.values())


@pytest.mark.parametrize("only", [0, -1])
@pytest.mark.parametrize("masked", [False, True])
def test_a_block_asked_for_one_position_gives_that_of_the_whole_block(only: int, masked: bool) -> None:
    p, x = drawn(encoder("block", WIDTH)), inputs(9)
    exists = torch.rand(N_MODELS, N_ROWS, 9, generator=torch.Generator().manual_seed(3)) > 0.3
    allowed = layers.causal_allowed(exists) if masked else None
    whole = layers.encoder_block(p, "block", x, 4, allowed)
    assert_same(layers.encoder_block(p, "block", x, 4, allowed, only)[:, :, 0], whole[:, :, only], x)
