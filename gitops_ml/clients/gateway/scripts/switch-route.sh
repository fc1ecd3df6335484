# shellcheck shell=busybox
# Put a deployment's route file in place, whole, and wait until Traefik has loaded it.
# $1: the deployment. $2: the middleware that names the file's revision. $3: how many tries.
# $4: the file's content; empty if the file is staged already.
# Prints `unchanged` if the same route was there before. Exit code 3: not loaded, and the file before is back.
cd "$ROOT" || exit 1
old=$STAGE/$1.old new=$ROUTES/$1.yml
rm -f "$old"
# Through cat, which says why it cannot write: the shell's own printf does not.
[ -z "$4" ] || printf %s "$4" | cat >"$STAGE/$1.yml" || exit 1
[ ! -e "$new" ] || cp "$new" "$old" || exit 1
enabled() {
  status=$(timeout 2 wget -q -O - "$API/api/http/routers/$1.protocol@file" 2>&1)
  case $status in *'"status":"enabled"'*) ;; *) return 1 ;; esac
}
put_back() {
  [ -e "$old" ] || { rm -f "$new"; exit 3; }
  mv "$old" "$new"
  n=0
  until enabled "$1"; do
    n=$((n + 1))
    [ "$n" -lt "$3" ] || break
    sleep 0.02
  done
  exit 3
}
[ ! -e "$old" ] || [ "$(cat "$old")" != "$(cat "$STAGE/$1.yml")" ] || echo unchanged
mv "$STAGE/$1.yml" "$new" || exit 1
n=0
until timeout 2 wget -q -O /dev/null "$API/api/http/middlewares/$2@file" 2>/dev/null; do
  n=$((n + 1))
  [ "$n" -lt "$3" ] || put_back "$@"
  sleep 0.02
done
enabled "$1" || { echo "$status"; put_back "$@"; }
rm -f "$old"
