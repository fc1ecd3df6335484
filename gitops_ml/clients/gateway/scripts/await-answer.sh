# shellcheck shell=busybox
# Wait until a URL answers with success.
# $1: the URL. $2: how many tries. Exit code 3: the tries are used up.
n=0
until timeout 2 wget -q -O /dev/null "$1" 2>/dev/null; do
  n=$((n + 1))
  [ "$n" -lt "$2" ] || exit 3
  sleep 0.02
done
