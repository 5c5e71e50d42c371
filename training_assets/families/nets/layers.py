"""Layers over many models at once: every tensor has a leading axis of models, every layer is a batched matrix product.

Belongs here: layers that more than one net uses. Does not: nets, losses, training.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training_assets.families.nets.recurrence import last_hidden

Parameters = Mapping[str, Tensor]


def linear(p: Parameters, name: str, x: Tensor) -> Tensor:
    """(K, ..., n_in) to (K, ..., n_out), each model by its own weights.

    A single column is computed beside one of zeros: as a product of matrices and vectors it would round otherwise over one model than over several.
    """
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    width = weight.shape[-1]
    if width == 1:
        weight, bias = functional.pad(weight, (0, 1)), functional.pad(bias, (0, 1))
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    return torch.baddbmm(bias.unsqueeze(1), flat, weight)[..., :width].reshape(*x.shape[:-1], width)


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


def convolution(p: Parameters, name: str, x: Tensor, dilation: int) -> Tensor:
    """Kernel-3 convolution along axis 2 of (K, B, L, n_in) that looks both ways, zero padded."""
    length = x.shape[2]
    padded = functional.pad(x, (0, 0, dilation, dilation))
    taps = [padded[:, :, tap * dilation : tap * dilation + length] for tap in range(3)]
    return linear(p, name, torch.cat(taps, dim=-1))


def newest_of_causal_convolutions(p: Parameters, names: Sequence[str], x: Tensor) -> Tensor:
    """The last position, (K, B, n), of a residual stack of causal kernel-3 convolutions over axis 2 of (K, B, L, n), zero padded.

    Dilation doubles by layer: 1, 2, 4, ... Only positions that the last one sees are computed, a share of all that halves by layer: layer by
    layer they stand one dilation apart, so that each layer is a plain convolution of stride 2 over those that the one before left.
    """
    length, reach = x.shape[2], 2 ** (len(names) + 1) - 1
    x = functional.pad(x, (0, 0, max(0, reach - length), 0))[:, :, -reach:]
    for layer, name in enumerate(names):
        taps = torch.cat([x[:, :, :-2:2], x[:, :, 1:-1:2], x[:, :, 2::2]], dim=-1)
        x = x[:, :, 2::2] + gelu(linear(p, name, taps))
        # A position before the first is zero at every layer, and not what a layer makes of zeros.
        n_before = max(0, x.shape[2] - 1 - (length - 1) // 2 ** (layer + 1))
        if n_before:
            x = functional.pad(x[:, :, n_before:], (0, 0, n_before, 0))
    return x[:, :, 0]


def lstm(p: Parameters, name: str, x: Tensor) -> Tensor:
    """Last hidden state (K, B, hidden) of an LSTM over axis 2 of (K, B, L, n_in); Hochreiter & Schmidhuber 1997."""
    ajar, recurrent = p[f"{name}.forget"], p[f"{name}.recurrent"]
    size = recurrent.shape[1]
    # The candidate is the first gate, doubled as `Recurrence` wants it; the forget gate is the last, and what holds it open goes in with the bias.
    twice = torch.cat([x.new_full((size,), 2.0), x.new_ones(3 * size)])
    bias = (p[f"{name}.input.bias"] + functional.pad(ajar, (3 * size, 0))) * twice
    driven = linear({"input.weight": p[f"{name}.input.weight"] * twice, "input.bias": bias}, "input", x.transpose(1, 2))
    return last_hidden(driven, recurrent * twice)


def encoder_block(p: Parameters, name: str, x: Tensor, heads: int, allowed: Tensor | None, only: int | None = None) -> Tensor:
    """Pre-norm transformer block on (K, B, L, width).

    Parameters
    ----------
    allowed : (K * B, 1, L, L), True where a query may read a key; None lets all read all.
    only : the one position that is asked for, as that of the last block is; the result then has L = 1.
    """
    asked = slice(None) if only is None else slice(only, only + 1 or None)
    normed = layer_norm(p, f"{name}.norm1", x)
    x = x[:, :, asked] + _attention(p, name, normed[:, :, asked], normed, heads, None if allowed is None else allowed[:, :, asked])
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


def _attention(p: Parameters, name: str, asking: Tensor, read: Tensor, heads: int, allowed: Tensor | None) -> Tensor:
    """What the positions of `asking` (K, B, n, width) make of those of `read` (K, B, L, width)."""
    k, rows, length, width = read.shape
    n_asking = asking.shape[2]
    weight, bias = p[f"{name}.qkv.weight"], p[f"{name}.qkv.bias"]
    parts = {"q.weight": weight[..., :width], "q.bias": bias[..., :width], "kv.weight": weight[..., width:], "kv.bias": bias[..., width:]}
    query = linear(parts, "q", asking).view(k * rows, n_asking, heads, width // heads).transpose(1, 2)
    # Parted before the heads are moved to the front: the gradients of both are then joined where they belong, without a copy.
    key, value = (part.transpose(1, 2) for part in linear(parts, "kv", read).view(k * rows, length, 2, heads, width // heads).unbind(2))
    found = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    return linear(p, f"{name}.mix", found.transpose(1, 2).reshape(k, rows, n_asking, width))
