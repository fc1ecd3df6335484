# shellcheck shell=busybox
# Print what a URL answers, cut after $3 bytes; why it does not goes to stderr.
# $1: the URL. $2: seconds that the answer may take.
# The last line is `ok` if the whole answer came, so that a cut one is noticed.
ask "$2" "$3" "$1"
