"""Every error that gitops-ml raises on purpose, so that one place says what each of them means for the caller.

GitopsError                    something is wrong: the thing, the reason, the command that fixes it
├── Stalled                    a person has to act; trying again changes nothing
│   ├── InputError             a file, a name or an option that cannot be accepted
│   ├── VersionError           a model version that does not resolve
│   │   ├── VersionNotFound    no such tag, revision, artifact or path
│   │   ├── VersionRefused     deregistered, deprecated, outside the repository, external
│   │   ├── VersionMoved       the tag or the path no longer holds the pinned digest
│   │   ├── ObjectMissing      the bytes are in no cache and no remote
│   │   └── ObjectCorrupt      the bytes do not hash to their digest
│   ├── SourceError            the Git source may not be applied (older, unsigned, not a project)
│   ├── EngineMismatch         another engine than the one in the records
│   ├── ForgeRefused           GitHub, GitLab or Gitea refuses: the token, its rights, or what was sent
│   ├── RemovalRefused         more would be removed than the policy allows
│   └── ModelRejected          the model is at fault: a broken file, never ready, or another digest than declared
└── Temporary                  the world is at fault; a later pass may succeed
    ├── SourceUnavailable      fetch failed, or the remote does not answer
    ├── EngineUnavailable      the engine does not answer
    ├── EngineFailed           the engine answered with an error (disk full, port taken, build failed)
    ├── ForgeUnavailable       GitHub, GitLab or Gitea does not answer, or asks to wait
    ├── LockHeld               another reconcile holds the environment
    ├── LockLost               the lock went while we held it
    ├── Superseded             a newer commit wants something else than the candidate that is waited for
    ├── PushRejected           the record is kept in the journal, and not in Git yet (exit 5)
    └── Unforeseen             an exception that no code expected; its traceback is in the log
"""

from __future__ import annotations


class GitopsError(Exception):
    """Something is wrong, said in three parts.

    Args:
        what: the thing and what is wrong with it, one sentence without a full stop.
        why: the reason, as far as it is known.
        fix: the command or the edit that fixes it.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}" if self.why else self.what
        return f"{text}\n  fix: {self.fix}" if self.fix else text


class Stalled(GitopsError):
    """A person has to act; trying again changes nothing."""


class InputError(Stalled):
    """A file, a name or an option that cannot be accepted."""


class VersionError(Stalled):
    """A model version that does not resolve."""


class VersionNotFound(VersionError):
    """No such tag, revision, artifact or path."""


class VersionRefused(VersionError):
    """Deregistered, deprecated, outside the repository, or external."""


class VersionMoved(VersionError):
    """The tag or the path no longer holds the pinned digest."""


class ObjectMissing(VersionError):
    """The bytes are in no cache and no remote."""


class ObjectCorrupt(VersionError):
    """The bytes do not hash to their digest."""


class SourceError(Stalled):
    """The Git source may not be applied: older than what the host holds, unsigned, not a project."""


class EngineMismatch(Stalled):
    """Another engine than the one in the records."""


class ForgeRefused(Stalled):
    """GitHub, GitLab or Gitea refuses: the token, its rights, or what was sent."""


class RemovalRefused(Stalled):
    """More would be removed in one pass than the policy allows."""


class ModelRejected(Stalled):
    """The model is at fault: a file of it is broken, it never became ready, or its metadata names another digest."""


class Temporary(GitopsError):
    """The world is at fault; a later pass may succeed."""


class SourceUnavailable(Temporary):
    """Fetch failed, or the remote does not answer."""


class EngineUnavailable(Temporary):
    """The engine does not answer."""


class EngineFailed(Temporary):
    """The engine answered with an error: disk full, port taken, build failed."""


class ForgeUnavailable(Temporary):
    """GitHub, GitLab or Gitea does not answer, or asks to wait longer than we do."""


class LockHeld(Temporary):
    """Another reconcile holds the environment."""


class LockLost(Temporary):
    """The lock went while we held it."""


class Superseded(Temporary):
    """A newer commit wants something else than the candidate that is waited for; the next pass reads it."""


class PushRejected(Temporary):
    """The record is kept in the journal, and is not in Git yet."""

    exit_code = 5


class Unforeseen(Temporary):
    """An exception that no code expected, met in one deployment's work; its traceback is in the log."""
