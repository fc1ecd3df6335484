# shellcheck shell=busybox
# Print what model servers answer to one path, each after a line of a mark and the server.
# $1: the mark, which no server can know. $2: bytes to read of each server at most. $3: seconds that each may take.
# $4: the path. $5…: each server as host:port.
# Nothing stands for a server that does not answer. The last line goes: it is `ok`, or cut.
mark=$1 longest=$2 seconds=$3 path=$4
shift 4
for server in "$@"; do
  echo "$mark $server"
  ask "$seconds" "$longest" "http://$server$path" 2>/dev/null | sed '$d'
done
exit 0
