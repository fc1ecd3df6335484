# shellcheck shell=busybox
# Write journal entries, each whole or not at all.
# $1, $2: an entry's name and its content, and so on in pairs.
# Through cat, which says why it cannot write: the shell's own printf does not.
cd "$ROOT" || exit 1
while [ $# -gt 0 ]; do
  { printf %s "$2" | cat >"$STAGE/$1" && mv "$STAGE/$1" "$JOURNAL/$1"; } || { rm -f "$STAGE/$1"; exit 1; }
  shift 2
done
