# shellcheck shell=busybox
# Before each script: `ask SECONDS BYTES URL [BODY]` prints what a model's server answers, then a line `ok` if all came.
# With a body the request is a POST. Fails unless the status is 2xx, and then prints what came instead to stderr.
# wget is not used: it follows a redirect to any host that the gateway reaches. HTTP/1.0, so that no answer is chunked.
ask() {
  seconds=$1 longest=$2 server=${3#http://} body=$4
  path=/${server#*/} server=${server%%/*}
  if [ -n "$body" ]; then
    length=$(printf %s "$body" | wc -c)
    set -- "POST $path HTTP/1.0" 'X-Gitops-Ml-Check: 1' 'Content-Type: application/json' "Content-Length: $length"
  else
    set -- "GET $path HTTP/1.0"
  fi
  # At the end of its input nc would close its half of the connection, and some servers then answer nothing. So a
  # program writes the request and reads the answer. Alpine's nc says nothing of a refused connection.
  # shellcheck disable=SC2016  # the inner shell expands them
  {
    timeout "$seconds" nc "${server%:*}" "${server##*:}" -e sh -c 'printf "%s\r\n" "$@"; printf %s "$0"; exec cat >&2' \
      "$body" "$@" "Host: $server" 'Connection: close' '' 2>&1
    case $? in 0) printf '\nok' ;; 1) echo 'nc: refused' ;; esac
  } | head -c "$longest" | {
    read -r protocol status rest
    case $protocol\ $status in
      HTTP/1.[01]\ 2[0-9][0-9]*) ;;
      *)
        echo "$protocol $status $rest" >&2
        exit 1
        ;;
    esac
    while read -r header && [ "${#header}" -gt 1 ]; do :; done
    cat
  }
}
