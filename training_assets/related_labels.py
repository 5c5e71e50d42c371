"""Labels of a job's related targets, on the rows of the job, for the families that learn from them beside their own.

Belongs here: gathering them, and which of them a fit may know. Does not: which targets are related (the plan says), or what a family makes of them.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_assets.families.base import FloatMatrix
from training_assets.panel.panel import Panel
from training_assets.samples import JobRows
from training_assets.splits import pre_holdout_mask
from training_assets.windows import FitWindow


@dataclass(frozen=True)
class RelatedLabels:
    """Related targets on the rows of one job.

    Attributes
    ----------
    names : the targets, one a column.
    values : shape (n_rows, n_related), regression value or class code; NaN where not known before the holdout.
    end_codes : shape (n_rows, n_related), time code at whose close the label is known; -1 where it is NaN.
    """

    names: tuple[str, ...]
    values: FloatMatrix
    end_codes: NDArray[np.int32]

    @property
    def digest(self) -> str:
        """Digest of everything a fit can see of them."""
        content = hashlib.sha256("\n".join(self.names).encode())
        for array in (self.values, self.end_codes):
            content.update(np.ascontiguousarray(array).data)
        return content.hexdigest()

    def known_in(self, rows: JobRows, window: FitWindow) -> tuple[FloatMatrix, FloatMatrix]:
        """The labels that a fit on a window may know, for its training and for its inner rows, NaN elsewhere.

        A related label may reach further ahead than the row's own. It is purged by its own reach: kept out of training rows where it is known
        later than the first inner bar, and out of both where its row, were this its label, might not train beside the fold.

        Returns
        -------
        train, inner : each of shape (n_rows, n_related), on all rows of the job.
        """
        first_inner = int(rows.time_codes[window.inner].min())
        allowed = self.end_codes >= 0
        if window.fold is not None:
            masks = [window.fold.train_mask(rows.time_codes, self.end_codes[:, column]) for column in range(len(self.names))]
            allowed &= np.stack(masks, axis=1)
        nothing = np.float32(np.nan)
        train = np.where(allowed & (self.end_codes <= first_inner), self.values, nothing)
        return train, np.where(allowed, self.values, nothing)


def gather_related(panel: Panel, rows: JobRows, targets: tuple[str, ...], stop_code: int) -> RelatedLabels:
    """Gather related labels on the rows of a job; none that is known at `stop_code` or later is read. Raises KeyError for a target not in the panel."""
    codes = np.array([panel.target_code(target) for target in targets], dtype=np.int64)
    places = np.arange(rows.n_rows) - rows.starts + panel.symbol_offsets[rows.symbol_codes]
    values = np.asarray(panel.labels)[codes[:, None], places[None, :]].T
    ends = np.asarray(panel.label_end_codes)[codes[:, None], places[None, :]].T
    known = np.isfinite(values) & pre_holdout_mask(stop_code, ends)
    return RelatedLabels(targets, np.where(known, values, np.float32(np.nan)), np.where(known, ends, np.int32(-1)))
