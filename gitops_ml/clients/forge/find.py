"""Which forge a clone's remote is on, which of its pull requests is meant, and which token may be shown to it.

A token that a variable of a forge's own holds, such as GITHUB_TOKEN, goes to that forge alone: a remote's address is
anybody's text. Another host gets a token only if a person put it into GITOPS_ML_FORGE_TOKEN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from gitops_ml.clients.forge.forge import Forge, Kind
from gitops_ml.clients.forge.gitea import Gitea
from gitops_ml.clients.forge.github import GitHub
from gitops_ml.clients.forge.gitlab import GitLab
from gitops_ml.clients.forge.http import Account
from gitops_ml.clients.forge.links import Links, job_address
from gitops_ml.errors import InputError

TOKEN = "GITOPS_ML_FORGE_TOKEN"
_SCP = re.compile(r"(?:[^@/\s]+@)?(\[[^\]]+\]|[^:/\s]+):(?!//)(.+)")
_HOSTS: dict[str, Kind] = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "codeberg.org": "gitea",
    "gitea.com": "gitea",
}
_WORDS: dict[str, Kind] = {"github": "github", "gitlab": "gitlab", "gitea": "gitea", "forgejo": "gitea"}
_NAMES: dict[Kind, str] = {"github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea"}
_FILES: dict[Kind, str] = {"github": "blob", "gitlab": "-/blob", "gitea": "src/commit"}
_SCHEMES: dict[Kind, str] = {"github": "Bearer", "gitlab": "Bearer", "gitea": "token"}
_TOKENS: dict[Kind, tuple[str, ...]] = {
    "github": ("GITHUB_TOKEN", "GH_TOKEN"),
    "gitlab": ("GITLAB_TOKEN",),
    "gitea": ("GITEA_TOKEN", "FORGEJO_TOKEN"),
}


class RemoteAddress(NamedTuple):
    """A remote's address: its host with the port of HTTP, and the path of the repository without `.git`."""

    host: str
    path: str


class ForgeAddress(NamedTuple):
    """Where a repository is on which forge. `api` has no `/` at its end."""

    kind: Kind
    api: str
    remote: RemoteAddress


def find_forge(url: str, chosen: str | None, variables: Mapping[str, str]) -> Forge:
    """The forge of a remote, with a token from the variables.

    Args:
        url: the remote's address, as `git remote get-url` gives it.
        chosen: `github`, `gitlab`, `gitea` or `forgejo`, or one of them with the address of its API: `KIND=URL`.

    Raises `InputError` where the forge is not known, or no variable has a token for it.
    """
    address = find_address(url, chosen, variables)
    names, token = _token(address, variables)
    kind, api, remote = address
    account = Account(_NAMES[kind], api, token, _SCHEMES[kind], names)
    page = _page(address)
    links = Links(f"{page}/{_FILES[kind]}", job_address(variables))
    if kind == "gitlab":
        return GitLab(account, remote.path, page, links)
    return GitHub(account, remote.path, links) if kind == "github" else Gitea(account, remote.path, links)


def _page(address: ForgeAddress) -> str:
    """The repository's address for people."""
    home = re.sub(r"/api/v\d+$", "", address.api)
    dedicated = home == address.api and address.kind == "github"
    return f"{f'https://{address.remote.host}' if dedicated else home}/{address.remote.path}"


def find_address(url: str, chosen: str | None, variables: Mapping[str, str]) -> ForgeAddress:
    """Where the repository of a remote is. Raises `InputError`."""
    remote = parse_remote(url)
    word, _, api = (chosen or "").partition("=")
    if chosen and word.lower() not in _WORDS:
        raise InputError(f"--forge is {chosen}", why="it must begin with github, gitlab, gitea or forgejo", fix=_HOW)
    kind = _WORDS[word.lower()] if chosen else _kind(remote.host, variables)
    if kind is None:
        raise InputError(f"nobody knows which forge {remote.host} is", why="its name does not say it", fix=_HOW)
    if api:
        parts = urlsplit(api)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.username or parts.query:
            raise InputError(f"--forge is {chosen}", why="what follows = is no address of an API", fix=_HOW)
    return ForgeAddress(kind, (api or _api(kind, remote.host, variables)).rstrip("/"), remote)


_HOW = "add --forge github, gitlab or gitea; for an API at another place KIND=URL, such as gitea=https://HOST/api/v1"


def parse_remote(url: str) -> RemoteAddress:
    """The host and the repository of a remote's address. Raises `InputError` for a folder, or what is no address."""
    parts = urlsplit(url) if "://" in url else None
    if parts is not None and parts.scheme in ("http", "https", "ssh", "git") and parts.hostname:
        port = f":{parts.port}" if parts.port and parts.scheme.startswith("http") else ""
        host, path = f"{parts.hostname}{port}", parts.path
    elif parts is None and (match := _SCP.fullmatch(url)) and not url.startswith("."):
        host, path = match[1].lower(), match[2]
    else:
        raise InputError(
            "the remote is on no forge",
            why="its address is neither HTTP nor SSH",
            fix="git remote set-url origin <the repository's address>",
        )
    path = path.strip("/").removesuffix(".git")
    if "/" not in path or ".." in path.split("/"):
        raise InputError(f"the remote's path is `{path}`", why="a repository on a forge is OWNER/NAME", fix=_HOW)
    return RemoteAddress(host, path)


def forge_url(urls: Sequence[str]) -> str:
    """The first of a remote's addresses, as Git resolves it and as it is written, that is on a forge; else the first.

    `url.<base>.insteadOf` makes an address of a short name, or a local mirror of an address.
    """
    for url in urls:
        try:
            parse_remote(url)
        except InputError:
            continue
        return url
    return next(iter(urls), "")


def number_in_ci(variables: Mapping[str, str]) -> int | None:
    """The number of the pull request that a job of GitHub, Gitea or GitLab runs for."""
    match = re.fullmatch(r"refs/pull/(\d{1,9})/(?:merge|head)", variables.get("GITHUB_REF", ""))
    number = match[1] if match else variables.get("CI_MERGE_REQUEST_IID", "")
    return int(number) if number.isdecimal() else None


def _kind(host: str, variables: Mapping[str, str]) -> Kind | None:
    if host in _HOSTS:
        return _HOSTS[host]
    if _is_gitea_job(variables) and host == _host_of(variables.get("GITHUB_SERVER_URL", "")):
        return "gitea"
    if host == _host_of(variables.get("GITHUB_SERVER_URL", "")):
        return "github"
    if host == _host_of(variables.get("CI_SERVER_URL", "")):
        return "gitlab"
    return next((_WORDS[label] for label in host.partition(":")[0].split(".") if label in _WORDS), None)


def _is_gitea_job(variables: Mapping[str, str]) -> bool:
    return bool(variables.get("GITEA_ACTIONS") or variables.get("FORGEJO_ACTIONS"))


def _api(kind: Kind, host: str, variables: Mapping[str, str]) -> str:
    if host == _host_of(variables.get("GITHUB_SERVER_URL", "")) and variables.get("GITHUB_API_URL"):
        return variables["GITHUB_API_URL"]
    if host == _host_of(variables.get("CI_SERVER_URL", "")) and variables.get("CI_API_V4_URL"):
        return variables["CI_API_V4_URL"]
    if kind == "github":
        dedicated = host == "github.com" or host.endswith(".ghe.com")
        return f"https://api.{host}" if dedicated else f"https://{host}/api/v3"
    return f"https://{host}/api/{'v4' if kind == 'gitlab' else 'v1'}"


def _token(address: ForgeAddress, variables: Mapping[str, str]) -> tuple[str, str]:
    """The names of the variables that may hold a token, for messages, and the token. Raises `InputError`."""
    own = _TOKENS[address.kind] if _is_own(address, variables) else ()
    if address.kind == "gitea" and own and _is_gitea_job(variables):
        own = (*own, "GITHUB_TOKEN")
    names = (TOKEN, *own)
    token = next((variables[name].strip() for name in names if variables.get(name, "").strip()), None)
    listed = " or ".join(names)
    if token is None:
        raise InputError(
            f"there is no token for {_NAMES[address.kind]} at {urlsplit(address.api).netloc}",
            why=f"{listed} {'are' if len(names) > 1 else 'is'} not set",
            fix=f"set {TOKEN} to a token that may write comments of pull requests",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"the token in {listed} is no token", why="it holds spaces or signs", fix=f"set {TOKEN} anew")
    return listed, token


def _is_own(address: ForgeAddress, variables: Mapping[str, str]) -> bool:
    """Whether the API is the one that the variables of the forge's own kind are about."""
    host = urlsplit(address.api).netloc
    if address.kind == "github":
        return host in ("api.github.com", _host_of(variables.get("GITHUB_API_URL", "")))
    if address.kind == "gitlab":
        return host in ("gitlab.com", _host_of(variables.get("CI_SERVER_URL", "")))
    home = _host_of(variables.get("GITHUB_SERVER_URL", "")) if _is_gitea_job(variables) else ""
    return bool(home) and host == home


def _host_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower()
