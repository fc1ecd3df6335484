"""The boundary around the work of one deployment: any exception becomes an error that names the deployment.

The message is for the user. The traceback of an exception that no code expected is for whoever repairs gitops-ml, and
goes to the log.
"""

from __future__ import annotations

import logging

from gitops_ml.core.text import clean_line
from gitops_ml.errors import GitopsError, Unforeseen

_log = logging.getLogger("gitops_ml")
_log.addHandler(logging.NullHandler())  # without a handler, Python writes tracebacks to the user's terminal


def log_unforeseen(subject: str, error: Exception) -> None:
    """Write the traceback of an exception that no code expected to the log."""
    _log.error("%s: an unforeseen error", subject, exc_info=error)


def as_gitops_error(error: Exception, subject: str) -> GitopsError:
    """Return the error itself if it is a `GitopsError`, else an `Unforeseen` whose traceback is logged.

    Args:
        subject: what was worked on: `<environment>/<deployment>`.
    """
    if isinstance(error, GitopsError):
        return error
    log_unforeseen(subject, error)
    met = Unforeseen(
        f"{subject} met an unforeseen error",
        why=clean_line(f"{type(error).__name__}: {error}"),
        fix="run it again; if it comes back, report it with its traceback",
    )
    met.__cause__ = error
    return met
