"""Layers over many models at once: every tensor has a leading axis of models, every layer is a batched matrix product.

Belongs here: layers that more than one net uses. Does not: nets, losses, training.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

Parameters = Mapping[str, Tensor]


def linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    """(K, ..., n_in) to (K, ..., n_out), each model by its own weights."""
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    return torch.baddbmm(bias.unsqueeze(1), flat, weight).reshape(*x.shape[:-1], weight.shape[-1])


def layer_norm(p: Parameters, name: str, x: Tensor) -> Tensor:
    """Layer norm over the last axis, scale and shift by model."""
    middle = (1,) * (x.dim() - 2)
    scale, shift = p[f"{name}.scale"], p[f"{name}.shift"]
    normed = functional.layer_norm(x, x.shape[-1:])
    return normed * scale.view(scale.shape[0], *middle, -1) + shift.view(shift.shape[0], *middle, -1)


def gelu(x: Tensor) -> Tensor:
    """Gaussian error linear unit, tanh form."""
    return functional.gelu(x, approximate="tanh")


def relu(x: Tensor) -> Tensor:
    """Rectifier."""
    return functional.relu(x)


def convolution(p: Parameters, name: str, x: Tensor, dilation: int, causal: bool) -> Tensor:
    """Kernel-3 convolution along axis 2 of (K, B, L, n_in), zero padded; causal reads the position and what precedes it."""
    length = x.shape[2]
    reach = 2 * dilation
    before = reach if causal else dilation
    padded = functional.pad(x, (0, 0, before, reach - before))
    taps = [padded[:, :, tap * dilation : tap * dilation + length] for tap in range(3)]
    return linear(p, name, torch.cat(taps, dim=-1))


def lstm(p: Parameters, name: str, x: Tensor) -> Tensor:
    """Last hidden state (K, B, hidden) of an LSTM over axis 2 of (K, B, L, n_in); Hochreiter & Schmidhuber 1997."""
    recurrent = p[f"{name}.recurrent"]
    # Time first, so that the steps' inputs and their gradients are slices without a copy.
    driven = linear(p, f"{name}.input", x.transpose(1, 2)).unbind(dim=1)
    ajar = p[f"{name}.forget"].unsqueeze(1)
    hidden = cell = x.new_zeros(x.shape[0], x.shape[1], recurrent.shape[1])
    for step in driven:
        candidate, opened_in, opened_out, kept = torch.baddbmm(step, hidden, recurrent).chunk(4, dim=-1)
        cell = torch.sigmoid(kept + ajar) * cell + torch.sigmoid(opened_in) * torch.tanh(candidate)
        hidden = torch.sigmoid(opened_out) * torch.tanh(cell)
    return hidden


def encoder_block(p: Parameters, name: str, x: Tensor, heads: int, allowed: Tensor | None) -> Tensor:
    """Pre-norm transformer block on (K, B, L, width); `allowed` (K * B, 1, L, L) is True where a query may read a key."""
    x = x + _attention(p, name, layer_norm(p, f"{name}.norm1", x), heads, allowed)
    return x + linear(p, f"{name}.out", gelu(linear(p, f"{name}.wide", layer_norm(p, f"{name}.norm2", x))))


def tokens(p: Parameters, values: Tensor) -> Tensor:
    """Feature tokenizer (Gorishniy et al. 2021): feature j becomes x_j * w_j + b_j, (K, B, F) to (K, B, F, width).

    A reading token, where the net has one, is put in front.
    """
    made = values.unsqueeze(-1) * p["tokens.weight"].unsqueeze(1) + p["tokens.bias"].unsqueeze(1)
    if "tokens.reader" not in p:
        return made
    front = p["tokens.reader"].unsqueeze(1).expand(-1, values.shape[1], -1, -1)
    return torch.cat([front, made], dim=2)


def causal_allowed(mask: Tensor) -> Tensor:
    """Who may read whom, (K * B, 1, L, L) from (K, B, L): bars up to the query that exist, and itself always."""
    length = mask.shape[-1]
    past = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=mask.device)
    return ((past & mask.reshape(-1, 1, length)) | itself).unsqueeze(1)


def _attention(p: Parameters, name: str, x: Tensor, heads: int, allowed: Tensor | None) -> Tensor:
    k, rows, length, width = x.shape
    split = linear(p, f"{name}.qkv", x).view(k * rows, length, 3, heads, width // heads)
    query, key, value = split.permute(2, 0, 3, 1, 4)
    read = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    return linear(p, f"{name}.mix", read.transpose(1, 2).reshape(k, rows, length, width))
