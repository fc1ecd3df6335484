"""Model versions reach users by pull request; this package carries them from a Git commit to a verified container.

Nothing is imported here: `gitops-ml --help` pays for every import of this file.
"""

__version__ = "0.1.0"
