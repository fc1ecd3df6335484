# shellcheck shell=busybox
# Wait until servers are ready, then print what each of them answers.
# $1: seconds that one answer may take. $2: hundredths of a second to wait until all are ready.
# $3: bytes to read of one answer at most. $4: the body of an inference request; empty to ask for none.
# $5, $6: a server's ready URL and its inference URL (empty: it is not asked for an inference), and so on in pairs.
# Prints the hundredths of a second until all were ready, then three lines for each server: its answer at the ready
# URL, the hundredths that the inference took, and the inference's answer. An answer that came whole ends in ` ok`.
# Exit code 3: not ready yet. Exit code 4: a server has no address yet.
seconds=$1 window=$2 longest=$3 body=$4
shift 4
now() {
  read -r t _ </proc/uptime
  t=${t%.*}${t#*.}
}
ask_in_a_line() {
  ask "$seconds" "$longest" "$@" 2>/dev/null | tr '\n\r' '  '
  echo
}
pause() {
  now
  [ "$t" -lt "$until" ] || exit 3
  sleep 0.05
}
# A server that still loads its model refuses connections. To try one costs little of the time that the load needs.
await() {
  server=${1#http://} server=${server%%/*}
  until answer=$(ask 2 1000 "$1" 2>&1 >/dev/null); do
    case $answer in *"bad address"*) sleep 0.2; exit 4 ;; esac
    pause
    until nc -w 2 "${server%:*}" "${server##*:}" -e true 2>/dev/null; do pause; done
  done
}
print_answers() {
  ask_in_a_line "$1"
  now
  began=$t answer=
  [ -z "$body" ] || [ -z "$2" ] || answer=$(ask_in_a_line "$2" "$body")
  now
  echo "$((t - began))"
  echo "$answer"
}
each() {
  command=$1
  shift
  while [ $# -gt 0 ]; do
    "$command" "$1" "$2"
    shift 2
  done
}
now
began=$t
until=$((t + window))
each await "$@"
now
echo "$((t - began))"
each print_answers "$@"
