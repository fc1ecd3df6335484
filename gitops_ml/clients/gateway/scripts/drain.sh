# shellcheck shell=busybox
# Wait until servers have had no request in flight for more than a second.
# $1: seconds to wait at most. $2…: each server as host:port.
# Prints how many requests are still in flight. A server that refuses connections or has no address has none; one that
# answers anything but its number is waited for.
until=$(($(date +%s) + $1))
shift
quiet=0
while :; do
  total=0 unknown=0 answered=0
  for server in "$@"; do
    answer=$(ask 2 1000 "http://$server/gitops-ml/in-flight" 2>&1)
    n=
    case $answer in *'"in_flight":'*) n=${answer#*'"in_flight":'} n=${n%%[,\}]*} n=${n# } ;; esac
    case $n in
      *[!0-9]* | ??????????*) unknown=1 ;;
      ?*) total=$((total + n)) answered=1 ;;
      *)
        case $answer in
          *refused* | *"bad address"* | *"not known"* | *"o route"* | *nreachable*) ;;
          *) unknown=1 ;;
        esac
        ;;
    esac
  done
  if [ "$total$unknown" = 00 ]; then
    quiet=$((quiet + 1))
    # Twice is enough where no server answered; twelve times with their pauses are more than a second.
    [ "$quiet" -le 12 ] && [ "$quiet$answered" != 20 ] || break
    sleep 0.1
  else
    quiet=0
    sleep 0.05
  fi
  [ "$(date +%s)" -lt "$until" ] || break
done
echo "$total"
