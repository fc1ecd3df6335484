"""The verdict on a model that is itself malformed."""

from __future__ import annotations

from gitops_ml.core.text import clean_line
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import ModelRejected


def rejected(error: ModelRejected) -> CheckResult:
    """The check that failed because the model's files or answers are malformed."""
    reason = f"{error.what}: {error.why}" if error.why else error.what
    return CheckResult(name="artifact", result="fail", reason=clean_line(reason))
