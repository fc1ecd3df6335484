# shellcheck shell=busybox
# Print the metrics of model servers, each after a line `= host:port`.
# $1: bytes to read of each at most. $2…: each server as host:port. A server that does not answer has no metrics.
longest=$1
shift
for server in "$@"; do
  echo "= $server"
  timeout 2 wget -q -O - "http://$server/metrics" 2>/dev/null | head -c "$longest"
  echo
done
exit 0
