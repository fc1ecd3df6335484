"""How traffic is moved: a deployment's route file in the gateway, and the drain of servers that have lost theirs.

A route file is staged beside the watched folder and renamed into it by `mv` inside the container, and the move counts
only when Traefik's own API names the file's revision. The engine's archive call would remove and recreate the file, and
Traefik answers 404 in between. Whatever fails on the way, the file that was there before is put back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import API, LONGEST_WORD, POLL, ROOT, ROUTES, STAGE
from gitops_ml.core.planning.route import revision_name, revision_of
from gitops_ml.errors import EngineFailed

_LOADED_WITHIN = 5.0


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How a drain ended: requests that were still in flight when its time was up, and how long it took in seconds."""

    cut: int
    seconds: float


def switch(engine: Engine, gateway: str, deployment: str, content: bytes) -> None:
    """Put a deployment's route file in place, whole, and return once the gateway has loaded it.

    A route that is there already is no news to the gateway, which goes on believing its last look at the servers; so
    then this waits for its next ones, as for replicas that were stopped and started again.

    Raises `EngineFailed` when it is not loaded in time; the file that was there before is back then.
    """
    revision = revision_of(content)
    if not revision:
        raise EngineFailed(f"the route of {deployment} carries no revision")
    name = revision_name(deployment, revision)
    text = content.decode()
    if len(content) > LONGEST_WORD:
        engine.put(gateway, f"{ROOT}/{STAGE}", {f"{deployment}.yml": content})
        text = ""
    result = engine.shell(gateway, _SWITCH, (deployment, name, str(round(_LOADED_WITHIN / POLL)), text))
    if result.code != 0:
        said = (result.stdout + result.stderr).decode(errors="replace").strip()
        raise EngineFailed(
            f"the gateway has not loaded the route of {deployment}; its route before is back",
            why=said or _complaint(engine, gateway),
            fix=f"docker logs {gateway[:12]}",
        )
    if b"unchanged" in result.stdout:
        found = msgspec.json.decode(content)["http"]["services"]
        services = [f"{API}/api/http/services/{service}@file" for service in found]
        engine.run(gateway, _AWAIT_UP, (str(round(_LOADED_WITHIN / POLL)), *services))


def remove_route(engine: Engine, gateway: str, deployment: str) -> None:
    """Take a deployment's route file away and return once the gateway no longer knows it."""
    result = engine.shell(gateway, _UNROUTE, (deployment, str(round(_LOADED_WITHIN / POLL))))
    if result.code != 0:
        raise EngineFailed(f"the gateway still knows the route of {deployment}", fix=f"docker logs {gateway[:12]}")


def drained(engine: Engine, gateway: str, servers: Iterable[tuple[str, int]], deadline: float) -> Drain:
    """Wait until these (alias, port) have reported no request in flight for more than a second, or `deadline`
    seconds.

    So long, since a request that the gateway dealt out by its old route may be on its way still: on a machine with
    more to do than it can, one reached a server 0.3 s later. And after a second the gateway keeps no idle connection
    to them, so that none is closed just as a request is sent on it. One that refuses connections or is gone has none;
    one that does not say how many it has is waited for.
    """
    started = time.monotonic()
    where = [f"{alias}:{port}" for alias, port in servers]
    if not where:
        return Drain(cut=0, seconds=0.0)
    result = engine.run(gateway, _DRAIN, (str(max(1, round(deadline))), *where), timeout=deadline + 30)
    if result.code != 0:
        said = result.stderr.decode(errors="replace").strip()
        raise EngineFailed(f"draining {', '.join(where)} did not work", why=said)
    return Drain(cut=int(result.stdout.split()[-1]), seconds=time.monotonic() - started)


def _complaint(engine: Engine, gateway: str) -> str:
    """The last line that the gateway itself said, among those of its access log."""
    lines = [line for line in engine.logs(gateway, 200).splitlines() if '"level":"error"' in line]
    return lines[-1] if lines else "it says nothing"


_SWITCH = f"""
cd {ROOT} || exit 1
old={STAGE}/$1.old new={ROUTES}/$1.yml
rm -f "$old"
[ -z "$4" ] || printf %s "$4" >"{STAGE}/$1.yml" || exit 1
[ ! -e "$new" ] || cp "$new" "$old" || exit 1
enabled() {{
  said=$(timeout 2 wget -q -O - "{API}/api/http/routers/$1.protocol@file" 2>&1)
  case $said in *'"status":"enabled"'*) ;; *) return 1 ;; esac
}}
back() {{
  [ -e "$old" ] || {{ rm -f "$new"; exit 3; }}
  mv "$old" "$new"
  n=0
  until enabled "$1"; do n=$((n + 1)); [ "$n" -lt "$3" ] || break; sleep 0.02; done
  exit 3
}}
[ ! -e "$old" ] || [ "$(cat "$old")" != "$(cat "{STAGE}/$1.yml")" ] || echo unchanged
mv "{STAGE}/$1.yml" "$new" || exit 1
n=0
until timeout 2 wget -q -O /dev/null "{API}/api/http/middlewares/$2@file" 2>/dev/null; do
  n=$((n + 1)); [ "$n" -lt "$3" ] || back "$@"
  sleep 0.02
done
enabled "$1" || {{ echo "$said"; back "$@"; }}
rm -f "$old"
"""

_AWAIT_UP = """
most=$1 n=0; shift
while [ "$n" -lt "$most" ]; do
  down=
  for service in "$@"; do
    case $(timeout 2 wget -q -O - "$service" 2>/dev/null) in *':"DOWN"'*) down=1 ;; esac
  done
  [ -n "$down" ] || exit 0
  n=$((n + 1)); sleep 0.02
done
"""

_UNROUTE = f"""
rm -f "{ROOT}/{ROUTES}/$1.yml"
n=0
while :; do
  said=$(timeout 2 wget -q -O - "{API}/api/http/routers/$1.protocol@file" 2>&1)
  case $said in *404*) exit 0 ;; esac
  n=$((n + 1)); [ "$n" -lt "$2" ] || exit 3
  sleep 0.02
done
"""

_DRAIN = r"""
until=$(($(date +%s) + $1)); shift
quiet=0
while :; do
  total=0 unknown=0 answered=0
  for server in "$@"; do
    if said=$(timeout 2 wget -q -O - "http://$server/gitops-ml/in-flight" 2>&1); then
      n=${said##*:}; total=$((total + ${n%%\}*})) answered=1
    else
      case $said in *refused*|*"bad address"*|*"not known"*|*"o route"*|*nreachable*) ;; *) unknown=1 ;; esac
    fi
  done
  if [ "$total$unknown" = 00 ]; then
    quiet=$((quiet + 1))
    [ "$quiet" -le 12 ] && [ "$quiet$answered" != 20 ] || break
    sleep 0.1
  else
    quiet=0; sleep 0.05
  fi
  [ "$(date +%s)" -lt "$until" ] || break
done
echo "$total"
"""
