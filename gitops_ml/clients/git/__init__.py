"""Git, through GitPython: the only package that imports `git`. Callers use `repository.Repository`."""

import os

# GitPython looks for the git program when it is imported, and would raise. Ours is `SourceError`, when git is needed.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
