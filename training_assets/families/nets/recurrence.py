"""The recurrence of an LSTM over many models at once, with its gradient written out.

Belongs here: one pass over time and one back. Does not: the products before it (`layers`), or any net.

Left to autograd, a step of many small models spends most of its time copying: every gate is cut out of the product and its gradient pasted back.
Here each step writes into its own part of one array, both ways.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Recurrence(torch.autograd.Function):
    """Hidden state after the last step; Hochreiter & Schmidhuber 1997, forget gate as in Gers et al. 2000.

    Takes `driven`, shape (K, L, B, 4 * hidden), what the inputs send into the gates candidate, input, output and forget, and the recurrent
    weights, shape (K, hidden, 4 * hidden). Gives shape (K, B, hidden).
    """

    @staticmethod
    def forward(ctx: Any, driven: Tensor, recurrent: Tensor) -> Tensor:
        k, length, rows, width = driven.shape
        size = width // 4
        gates = driven.new_empty(length, k, rows, width)
        cells, curved = driven.new_empty(2, length, k, rows, size)
        hidden = driven.new_empty(k, length, rows, size)
        for step in range(length):
            gate = gates[step]
            if step:
                torch.baddbmm(driven[:, step], hidden[:, step - 1], recurrent, out=gate)
            else:
                gate.copy_(driven[:, 0])
            gate[..., :size].tanh_()
            gate[..., size:].sigmoid_()
            candidate, opened_in, opened_out, kept = gate.chunk(4, dim=-1)
            torch.mul(opened_in, candidate, out=cells[step])
            if step:
                cells[step].addcmul_(kept, cells[step - 1])
            torch.tanh(cells[step], out=curved[step])
            torch.mul(opened_out, curved[step], out=hidden[:, step])
        ctx.save_for_backward(gates, cells, curved, hidden, recurrent)
        return hidden[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_hidden: Tensor) -> tuple[Tensor, Tensor]:
        gates, cells, curved, hidden, recurrent = ctx.saved_tensors
        length, k, rows, width = gates.shape
        size = width // 4
        by_driven = gates.new_empty(k, length, rows, width)
        back = recurrent.transpose(1, 2)
        by_cell = torch.zeros_like(cells[0])
        for step in range(length - 1, -1, -1):
            gate, by_gate = gates[step], by_driven[:, step]
            candidate, opened_in, opened_out, kept = gate.chunk(4, dim=-1)
            by_candidate, by_in, by_out, by_kept = by_gate.chunk(4, dim=-1)
            torch.mul(by_hidden, curved[step], out=by_out)
            by_hidden = by_hidden * opened_out
            by_cell = by_cell.add_(by_hidden).addcmul_(by_hidden, curved[step].square(), value=-1.0)
            torch.mul(by_cell, opened_in, out=by_candidate)
            torch.mul(by_cell, candidate, out=by_in)
            torch.mul(by_cell, cells[step - 1] if step else torch.zeros_like(by_cell), out=by_kept)
            _through_gates(by_gate, gate, size)
            if step:
                by_cell = by_cell.mul_(kept)
                by_hidden = torch.bmm(by_gate, back)
        before, after = hidden[:, :-1].reshape(k, -1, size), by_driven[:, 1:].reshape(k, -1, width)
        return by_driven, torch.bmm(before.transpose(1, 2), after)


def last_hidden(driven: Tensor, recurrent: Tensor) -> Tensor:
    """`Recurrence` with its types."""
    run: Callable[[Tensor, Tensor], Tensor] = Recurrence.apply
    return run(driven, recurrent)


def _through_gates(by_gate: Tensor, gate: Tensor, size: int) -> None:
    """Gradients by the gates become gradients by what is sent into them, in place: tanh for the first gate, logistic for the others."""
    candidate, others = gate[..., :size], gate[..., size:]
    by_gate[..., :size].mul_(1.0 - candidate.square())
    by_gate[..., size:].mul_(torch.addcmul(others, others, others, value=-1.0))
