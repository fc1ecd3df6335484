# shellcheck shell=busybox
# Print the metrics of model servers, each after a line of a mark and the server.
# $1: the mark, which no server can know. $2: bytes to read of each server at most. $3: seconds that each may take.
# $4…: each server as host:port.
# A server that does not answer has no metrics. The last line goes: it is `ok`, or cut.
mark=$1 longest=$2 seconds=$3
shift 3
for server in "$@"; do
  echo "$mark $server"
  ask "$seconds" "$longest" "http://$server/metrics" 2>/dev/null | sed '$d'
done
exit 0
