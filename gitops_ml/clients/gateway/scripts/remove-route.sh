# shellcheck shell=busybox
# Remove a deployment's route file, and wait until Traefik no longer knows the route.
# $1: the deployment. $2: how many tries. Exit code 3: Traefik still knows the route.
rm -f "$ROOT/$ROUTES/$1.yml"
n=0
while :; do
  answer=$(timeout 2 wget -q -O - "$API/api/http/routers/$1.protocol@file" 2>&1)
  case $answer in *404*) exit 0 ;; esac
  n=$((n + 1))
  [ "$n" -lt "$2" ] || exit 3
  sleep 0.02
done
