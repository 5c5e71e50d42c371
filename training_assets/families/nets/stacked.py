"""Many small nets at once: requests of one family are grouped by shape and each group is trained as one stacked program.

Belongs here: grouping, and giving way when the device's memory is short. Does not: the training itself (`fitting`).
Source: the ensembling of torch.func; a loop over small nets spends its time between the products, a stack in them.

On the CPU a net's bytes do not depend on its neighbours, nor on whether it has any, so that a run, a resumed run and one over other pairs make
the same models however they stack them. What would break that is held constant: a product with a single column takes another way over one net
than over several, so `layers.linear` makes none; padding changes how sums are cut, so nets of one stack have batches of one size and inner rows
are scored in blocks of one size. Rounding is not harmless here: it grows through training until early stopping picks another epoch.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from config.sections.base import TaskType
from training_assets.families.base import FitError, FitRequest
from training_assets.families.losses import n_outputs
from training_assets.families.nets.fitting import Trained, batch_size, train_stack
from training_assets.families.nets.model import NetModel
from training_assets.families.nets.preparation import Prepared, prepare
from training_assets.families.nets.spec import BOUNDS, Net, NetShape
from training_assets.families.preprocessing import check_request, settings_of

MAX_STACK = 128
"""Most nets in one program; beyond it nothing is gained and the last to stop holds the memory of all."""
CPU_STACK_NUMBERS = 524_288
"""Most numbers in one layer of a stack on the CPU, 2 MiB: beyond the cache a wider stack is no faster (measured: of 64 nets, stacks of 32 LSTMs take
0.9 times what stacks of 16 or of 64 take, and all widths from 16 on of CNN1D the same), while nets on single rows fit by the hundred."""
MIN_BATCH_ROWS_AFTER_HALVING = 8


def fit_stacked(net: type[Net], min_rows: int, requests: Sequence[FitRequest]) -> list[NetModel | FitError]:
    """Fit every request, in the order given; nets of one shape, settings and device train together.

    On the CPU a request gives the same bytes whatever it is stacked with and alone (a net of `hidden` 1 within rounding). On a GPU, products of
    other sizes round otherwise, and a net whose early stopping that flips is another net: only nets of the same epochs are close (1e-6 standard
    deviations of the label between CPU and GPU, measured).

    Returns
    -------
    A model or its error by request: what cannot be fitted, or never comes to a finite loss, costs the others nothing.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    ready: dict[int, tuple[NetShape, Prepared]] = {}
    answers: dict[int, NetModel | FitError] = {}
    for place, given in enumerate(requests):
        request = given if net.reads_auxiliary else _without_auxiliary(given)
        try:
            shape = shape_of(net, min_rows, request)
            ready[place] = (shape, prepare(request, net.family, net.derived_auxiliary(request.task_type)))
        except FitError as error:
            answers[place] = error
            continue
        batch = batch_size(request.train.n_rows, shape.whole("batch_rows"))
        key = (shape.n_inputs, shape.n_outputs, shape.task_type, shape.auxiliary_kinds, tuple(sorted(shape.settings.items())), request.device, batch)
        groups.setdefault(key, []).append(place)
    for group in groups.values():
        # Neighbours of about one length: a stack runs as many steps an epoch as its longest model has batches.
        places = sorted(group, key=lambda place: ready[place][1].train.n_rows)
        built = net(ready[places[0]][0])
        width = stack_width(built, [ready[place][1] for place in places])
        for start in range(0, len(places), width):
            part = places[start : start + width]
            fits = [ready[place][1] for place in part]
            trained = _train(built, fits, built.shape.whole("batch_rows"))
            answers.update({place: _model(built, fit, result) for place, fit, result in zip(part, fits, trained, strict=True)})
    return [answers[place] for place in range(len(requests))]


def shape_of(net: type[Net], min_rows: int, request: FitRequest) -> NetShape:
    """Check a request and name the shape of its net. Raises FitError."""
    check_request(net.family, request, frozenset(TaskType), min_rows, takes_offset=True)
    settings = settings_of(net.family, request, net.defaults(), {name: BOUNDS[name] for name in net.defaults()})
    if "heads" in settings and settings["hidden"] % settings["heads"]:
        raise FitError(f"{net.family}: hidden {settings['hidden']} is not a multiple of heads {settings['heads']}; mend training.hyperparameters.{net.family}")
    given = request.train.auxiliary
    kinds = net.derived_auxiliary(request.task_type) if given is None else ("value",) * given.shape[1]
    return NetShape(request.train.x.shape[1] + net.windowed, n_outputs(request.task_type, request.n_classes), request.task_type, settings, kinds)


def stack_width(net: Net, fits: Sequence[Prepared]) -> int:
    """How many of these nets make the fastest stack on their device."""
    if not fits[0].request.device.startswith("cpu"):
        return MAX_STACK
    rows = max(batch_size(fit.train.n_rows, net.shape.whole("batch_rows")) for fit in fits)
    return max(1, min(MAX_STACK, CPU_STACK_NUMBERS // (rows * net.positions() * net.shape.whole("hidden"))))


def _without_auxiliary(request: FitRequest) -> FitRequest:
    return replace(request, train=replace(request.train, auxiliary=None), inner=replace(request.inner, auxiliary=None))


def _train(net: Net, fits: Sequence[Prepared], batch_rows: int) -> list[Trained | FitError]:
    """Train a stack; out of memory, its halves (same results), and a net alone with half the rows a batch (recorded in its details)."""
    try:
        return train_stack(net, fits, batch_rows)
    except torch.OutOfMemoryError:
        if len(fits) == 1 and batch_rows // 2 < MIN_BATCH_ROWS_AFTER_HALVING:
            raise
    # Out of the handler: the exception's frames no longer hold the tensors that filled the device.
    if fits[0].request.device.startswith("cuda"):
        torch.cuda.empty_cache()
    if len(fits) == 1:
        return _train(net, fits, batch_rows // 2)
    half = len(fits) // 2
    return _train(net, fits[:half], batch_rows) + _train(net, fits[half:], batch_rows)


def _model(net: Net, fit: Prepared, result: Trained | FitError) -> NetModel | FitError:
    if isinstance(result, FitError):
        return result
    return NetModel(net, fit.inputs, fit.labels, result.weights, fit.request.train.offset is not None, result.details)
