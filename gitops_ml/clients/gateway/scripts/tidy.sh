# shellcheck shell=busybox
# Remove from the watched folder what has no route file's name, and the route files that are named.
# $1…: the names of the route files.
cd "$ROOT/$ROUTES" || exit 1
for name in "$@"; do
  rm -rf -- "./$name" || exit 1
done
for entry in * .[!.]* ..?*; do
  case $entry in
    "$CERTIFICATE" | "$INDEX_FILE") continue ;;
    .yml) ;;
    *.yml) case ${entry%.yml} in *[!a-z0-9-]*) ;; *) [ ! -f "$entry" ] || continue ;; esac ;;
  esac
  rm -rf -- "./$entry" || exit 1
done
