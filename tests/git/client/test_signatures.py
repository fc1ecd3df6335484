"""Signatures by SSH and GPG keys are judged by the repository's own lists, in each commit of an environment."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops_ml.clients.files.signers import require_signature, require_signed_history
from gitops_ml.clients.git.repository import Repository
from gitops_ml.clients.git.signatures import Signers
from gitops_ml.errors import SourceError
from tests.git.client.clones import RECORD
from tests.git.conftest import commit_file, git

DEV = "environments/dev/environment.yaml"
LIST = ".gitops-ml/allowed_signers"
STRICT = "schema: 1\ngateway: {port: 8081}\npolicy: {require_signed_commits: true}\n"


def ssh_key(place: Path, name: str) -> str:
    """Make a key. Returns its line of a list of signers."""
    key = place / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True)
    return f"{name}@example.org {key.with_suffix('.pub').read_text()}"


def sign_with(clone: Path, key: Path | None) -> None:
    """Sign the next commits with an SSH key; with none, if None."""
    git(clone, "config", "gpg.format", "ssh")
    git(clone, "config", "commit.gpgsign", "true" if key else "false")
    git(clone, "config", "user.signingkey", str(key))


def test_ssh_signatures_are_judged_by_the_repository_s_own_list(lone: Path, tmp_path: Path) -> None:
    ada, eve = ssh_key(tmp_path, "ada"), ssh_key(tmp_path, "eve")
    allowed = Signers(ssh=ada.encode())
    sign_with(lone, tmp_path / "ada")
    with Repository.open(lone) as repository:
        unsigned = repository.tip()
        with pytest.raises(SourceError, match="not signed with an SSH or GPG key"):
            repository.verify_commit_signature(unsigned, allowed)
        # The tool's own commits are signed as the user's are.
        mine = repository.commit_files(unsigned, {RECORD: b"x"}, "Record")
        assert repository.verify_commit_signature(mine, allowed) == "ada@example.org"
    sign_with(lone, tmp_path / "eve")
    git(lone, "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "eves"))
    (tmp_path / "eves").write_text(eve)
    with Repository.open(lone) as repository:
        theirs = repository.commit_files(unsigned, {RECORD: b"y"}, "Record")
        with pytest.raises(SourceError, match="not signed by anyone"):
            repository.verify_commit_signature(theirs, allowed)


class Keyring:
    """A GnuPG home of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def gpg(self, *words: str) -> str:
        command = ["gpg", "--homedir", str(self.folder), "--batch", "--quiet", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def make(self, user: str, expires: str = "never", then: str = "") -> str:
        """Make a key, at the time `then` if it is given. Returns its fingerprint."""
        at = ("--faked-system-time", then) if then else ()
        words = ("--passphrase", "", "--quick-generate-key", f"{user} <{user}@example.org>", "ed25519", "sign", expires)
        self.gpg(*at, *words)
        listed = self.gpg("--list-keys", "--with-colons", f"{user}@example.org")
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    def public(self, key: str) -> bytes:
        return self.gpg("--armor", "--export", key).encode()


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyring]:
    # The socket of gpg-agent lies in it, and its path may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="gpg-"))
    monkeypatch.setenv("GNUPGHOME", str(folder))
    yield Keyring(folder)
    subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "gpg-agent"], check=False, timeout=30)
    shutil.rmtree(folder, ignore_errors=True)


def test_gpg_signatures_are_judged_by_the_repository_s_own_keys(lone: Path, keyring: Keyring) -> None:
    ada, eve = keyring.make("ada"), keyring.make("eve")
    git(lone, "config", "commit.gpgsign", "true")
    git(lone, "config", "user.signingkey", ada)
    with Repository.open(lone) as repository:
        mine = repository.commit_files(repository.tip(), {RECORD: b"x"}, "Record")
        allowed = Signers(gpg={ada: keyring.public(ada), eve: keyring.public(eve)})
        assert repository.verify_commit_signature(mine, allowed) == "ada <ada@example.org>"
        # The caller's own keyring has both keys, and means nothing.
        for others in (Signers(), Signers(gpg={eve: keyring.public(eve)}), Signers(gpg={eve: keyring.public(ada)})):
            with pytest.raises(SourceError, match=r"not signed by anyone in \.gitops-ml/gpg"):
                repository.verify_commit_signature(mine, others)
        key = repository.commit_files(mine, {f".gitops-ml/gpg/{ada.lower()}.asc": keyring.public(ada)}, "Let Ada in")
        require_signature(repository, key)


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_gpg_key_that_is_at_its_end_signs_nothing(lone: Path, keyring: Keyring, end: str) -> None:
    then = "20200101T000000" if end == "expired" else ""
    program = keyring.folder / "gpg-then"
    program.write_text(f'#!/bin/sh\nexec gpg {f"--faked-system-time {then}" if then else ""} "$@"\n')
    program.chmod(0o755)
    ada = keyring.make("ada", expires="1d", then=then)
    for name, value in {"commit.gpgsign": "true", "user.signingkey": ada, "gpg.program": str(program)}.items():
        git(lone, "config", name, value)
    with Repository.open(lone) as repository:
        signed = repository.commit_files(repository.tip(), {RECORD: b"x"}, "Record")
        if end == "revoked":
            certificate = keyring.folder / f"openpgp-revocs.d/{ada}.rev"
            certificate.write_text(certificate.read_text().replace(":-----BEGIN", "-----BEGIN"))
            repository.verify_commit_signature(signed, Signers(gpg={ada: keyring.public(ada)}))
            keyring.gpg("--import", str(certificate))
        with pytest.raises(SourceError, match="not signed by anyone"):
            repository.verify_commit_signature(signed, Signers(gpg={ada: keyring.public(ada)}))


@pytest.mark.parametrize("other", ["SIGNED MESSAGE", "PGP MESSAGE"])
def test_the_signature_alone_says_which_program_judges_it(lone: Path, tmp_path: Path, other: str) -> None:
    """An author may be called as a signature begins, and whoever runs this may have programs that believe anything."""
    good = tmp_path / "good"
    good.write_text("#!/bin/sh\necho '[GNUPG:] GOODSIG 0 eve' >&2\necho '[GNUPG:] TRUST_ULTIMATE' >&2\n")
    good.chmod(0o755)
    for program in ("gpg.program", "gpg.openpgp.program", "gpg.x509.program"):
        git(lone, "config", program, str(good))
    who = "-----BEGIN SSH SIGNATURE----- <eve@example.org> 1700000000 +0000"
    text = f"tree {git(lone, 'rev-parse', 'HEAD^{tree}')}\nauthor {who}\ncommitter {who}\n"
    text += f"gpgsig -----BEGIN {other}-----\n \n x\n -----END {other}-----\n\nA forged commit\n"
    (tmp_path / "commit").write_text(text)
    forged = git(lone, "hash-object", "-t", "commit", "-w", str(tmp_path / "commit"))
    ada = ssh_key(tmp_path, "ada")
    with Repository.open(lone) as repository, pytest.raises(SourceError, match="not signed with an SSH or GPG key"):
        repository.verify_commit_signature(forged, Signers(ssh=ada.encode()))


# --- history


@pytest.fixture
def strict(lone: Path, tmp_path: Path) -> Path:
    """A clone whose dev asks for signatures by Ada, whose key signs the next commits."""
    ada = ssh_key(tmp_path, "ada")
    sign_with(lone, tmp_path / "ada")
    commit_file(lone, "environments/project.yaml", "schema: 1\nname: shop\n")
    commit_file(lone, LIST, ada)
    commit_file(lone, DEV, STRICT)
    return lone


def head(clone: Path) -> str:
    return git(clone, "rev-parse", "HEAD")


def check(clone: Path, since: str) -> None:
    with Repository.open(clone) as repository:
        require_signed_history(repository, "dev", since, head(clone))


def refused(clone: Path, since: str, commit: str) -> None:
    with pytest.raises(SourceError, match=commit[:12]):
        check(clone, since)


def test_each_commit_that_touched_the_environment_has_to_be_signed(strict: Path) -> None:
    since = head(strict)
    sign_with(strict, None)
    commit_file(strict, "train.py", "print()\n")
    commit_file(strict, "environments/prod/models/m.yaml", "{}\n")
    check(strict, since)
    unsigned = commit_file(strict, "environments/dev/models/m.yaml", "{}\n")
    sign_with(strict, strict.parent / "ada")
    commit_file(strict, "environments/dev/models/m.yaml", "schema: 1\n")
    refused(strict, since, unsigned)
    check(strict, unsigned)


def test_the_folder_of_an_application_that_is_built_is_code_of_the_environment(strict: Path) -> None:
    serve = "{pattern: embed, build: {context: shop}, model_path: /model, port: 8000, health: /healthz}"
    declared = f"schema: 1\nmodel: m\nversion: v1.0.0\nserve: {serve}\n"
    since = commit_file(strict, "environments/dev/models/m.yaml", declared)
    sign_with(strict, None)
    unsigned = commit_file(strict, "shop/Dockerfile", "FROM scratch\n")
    sign_with(strict, strict.parent / "ada")
    commit_file(strict, DEV, STRICT + "# signed\n")
    refused(strict, since, unsigned)


def test_a_key_is_let_in_by_a_commit_of_somebody_who_is_in(strict: Path, tmp_path: Path) -> None:
    since, eve = head(strict), ssh_key(tmp_path, "eve")
    both = git(strict, "show", f"HEAD:{LIST}") + "\n" + eve
    commit_file(strict, LIST, both)
    sign_with(strict, tmp_path / "eve")
    commit_file(strict, DEV, STRICT + "# Eve\n")
    check(strict, since)
    git(strict, "reset", "-q", "--hard", since)
    refused(strict, since, commit_file(strict, LIST, both))


def test_a_key_that_was_taken_out_signs_no_merge_from_before(strict: Path, tmp_path: Path) -> None:
    ada, eve = git(strict, "show", f"HEAD:{LIST}"), ssh_key(tmp_path, "eve")
    before = commit_file(strict, LIST, f"{ada}\n{eve}")
    since = commit_file(strict, LIST, ada + "\n")
    sign_with(strict, tmp_path / "eve")
    git(strict, "switch", "-q", "-c", "old", before)
    commit_file(strict, DEV, STRICT + "# Eve\n")
    git(strict, "merge", "-q", "-s", "ours", "-m", "Take mine", since)
    refused(strict, since, head(strict))


def test_a_merge_that_takes_one_side_has_to_be_signed(strict: Path) -> None:
    since = head(strict)
    git(strict, "switch", "-q", "-c", "side", f"{since}~1")
    commit_file(strict, "train.py", "print()\n")
    sign_with(strict, None)
    git(strict, "merge", "-q", "-s", "ours", "-m", "Forget the policy", since)
    refused(strict, since, head(strict))


def test_the_policy_is_taken_back_by_a_signed_commit(strict: Path) -> None:
    since, loose = head(strict), STRICT.replace("true", "false")
    sign_with(strict, None)
    refused(strict, since, commit_file(strict, DEV, loose))
    git(strict, "reset", "-q", "--hard", since)
    sign_with(strict, strict.parent / "ada")
    commit_file(strict, DEV, loose)
    check(strict, since)


def test_the_first_list_stands_in_the_commit_that_asks_for_it(strict: Path) -> None:
    check(strict, git(strict, "rev-parse", "HEAD~2"))
