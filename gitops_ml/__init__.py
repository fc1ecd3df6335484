"""Model versions reach users by pull request; this package carries them from a Git commit to a verified container.

Nothing is imported before it is used: `gitops-ml --help` pays for every import of this file.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["save_model"]


def __getattr__(name: str) -> Any:
    if name != "save_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gitops_ml.saving.save import save_model

    return save_model
