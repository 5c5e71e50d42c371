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
    weights, shape (K, hidden, 4 * hidden); what both send into the candidate is doubled, so that tanh(x) = 2 logistic(2 x) - 1 makes all four gates
    one call to the logistic function, which is several times as fast as tanh. Gives shape (K, B, hidden).
    """

    @staticmethod
    def forward(ctx: Any, driven: Tensor, recurrent: Tensor) -> Tensor:
        k, length, rows, width = driven.shape
        size = width // 4
        gates = driven.new_empty(length, k, rows, width)
        cells, curved = driven.new_empty(2, length, k, rows, size)
        hidden = driven.new_empty(k, length, rows, size)
        for step in range(length):
            gate, cell = gates[step], cells[step]
            if step:
                torch.baddbmm(driven[:, step], hidden[:, step - 1], recurrent, out=gate).sigmoid_()
            else:
                torch.sigmoid(driven[:, 0], out=gate)
            half, opened_in, opened_out, kept = gate.chunk(4, dim=-1)
            torch.mul(opened_in, half, out=cell).mul_(2.0).sub_(opened_in)
            if step:
                cell.addcmul_(kept, cells[step - 1])
            torch.mul(cell, 2.0, out=curved[step]).sigmoid_().mul_(2.0).sub_(1.0)
            torch.mul(opened_out, curved[step], out=hidden[:, step])
        ctx.save_for_backward(gates, cells, curved, hidden, recurrent)
        return hidden[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_hidden: Tensor) -> tuple[Tensor, Tensor]:
        gates, cells, curved, hidden, recurrent = ctx.saved_tensors
        length, k, rows, width = gates.shape
        by_driven = gates.new_empty(k, length, rows, width)
        back = recurrent.transpose(1, 2)
        by_cell = torch.zeros_like(cells[0])
        for step in range(length - 1, -1, -1):
            gate, by_gate = gates[step], by_driven[:, step]
            half, opened_in, opened_out, kept = gate.chunk(4, dim=-1)
            by_half, by_in, by_out, by_kept = by_gate.chunk(4, dim=-1)
            torch.mul(by_hidden, curved[step], out=by_out)
            by_hidden = by_hidden * opened_out
            by_cell.add_(by_hidden).addcmul_(by_hidden.mul_(curved[step]), curved[step], value=-1.0)
            torch.mul(by_cell, opened_in, out=by_half).mul_(2.0)
            torch.mul(by_cell, half, out=by_in).mul_(2.0).sub_(by_cell)
            if step:
                torch.mul(by_cell, cells[step - 1], out=by_kept)
            else:
                by_kept.zero_()
            by_gate.mul_(torch.addcmul(gate, gate, gate, value=-1.0))
            if step:
                by_cell.mul_(kept)
                by_hidden = torch.bmm(by_gate, back)
        before, after = hidden[:, :-1].reshape(k, -1, width // 4), by_driven[:, 1:].reshape(k, -1, width)
        return by_driven, torch.bmm(before.transpose(1, 2), after)


def last_hidden(driven: Tensor, recurrent: Tensor) -> Tensor:
    """`Recurrence` with its types."""
    run: Callable[[Tensor, Tensor], Tensor] = Recurrence.apply
    return run(driven, recurrent)
