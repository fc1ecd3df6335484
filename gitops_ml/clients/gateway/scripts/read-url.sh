# shellcheck shell=busybox
# Print what a URL answers, cut after $3 bytes; wget's own message goes to stderr.
# $1: the URL. $2: seconds that the answer may take.
# The last line is `ok` if the whole answer came, so that a cut one is noticed.
{ timeout "$2" wget -q -O - "$1" && printf '\nok'; } | head -c "$3"
