"""Types in skops files that every model may hold without a review of its own.

This file also goes into the runtime image.
"""

from __future__ import annotations

TRUSTED_TYPES = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
        "numpy.dtype",
    }
)
"""Beyond skops' own list: what tree models of scikit-learn hold. None of them runs code when it is built."""
