# shellcheck shell=busybox
# Wait until Traefik calls no server of these services down.
# $1: how many tries. $2…: Traefik's API URL of each service.
most=$1 n=0
shift
while [ "$n" -lt "$most" ]; do
  down=
  for service in "$@"; do
    case $(timeout 2 wget -q -O - "$service" 2>/dev/null) in *':"DOWN"'*) down=1 ;; esac
  done
  [ -n "$down" ] || exit 0
  n=$((n + 1))
  sleep 0.02
done
