# shellcheck shell=busybox
# Print the URLs that do not answer, asked again and again and side by side.
# $1: how often each is asked. $2: seconds that one answer may take. $3…: the URLs.
# Any answer of HTTP counts, also an error: the process behind it works. A host without an address is not printed.
tries=$1 seconds=$2
shift 2
for url in "$@"; do
  (
    n=0
    while :; do
      answer=$(ask "$seconds" 1000 "$url" 2>&1 >/dev/null) && exit 0
      case $answer in HTTP/* | *"bad address"*) exit 0 ;; esac
      n=$((n + 1))
      [ "$n" -lt "$tries" ] || break
      sleep 0.3
    done
    echo "$url"
  ) &
done
wait
