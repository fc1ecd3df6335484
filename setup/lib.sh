# shellcheck shell=bash disable=SC2034  # the scripts that source it use its variables
# What all set-up scripts share. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python="$root/.venv/bin/python"
run_dir="$root/.run"

say() { printf '%s\n' "set-up: $*" >&2; }

# fail <what and why> <what to do>
fail() {
    printf '%s\n' "set-up: $1" "  fix: $2" >&2
    exit 1
}

# Whether this user can install Debian packages without asking anybody.
can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; }

# install_packages <why> <package>...
install_packages() {
    local why=$1
    shift
    can_install || fail "$why: $* missing" "as root, on Debian or Ubuntu: apt-get install $*; elsewhere, its equivalent"
    say "$why: installing $*"
    mkdir -p "$run_dir"
    {
        # Fetch package lists only if the installation fails: a fresh machine has none, others need not wait.
        apt-get install -y --no-install-recommends "$@" ||
            { apt-get update && apt-get install -y --no-install-recommends "$@"; }
    } >>"$run_dir/apt.log" 2>&1 </dev/null || {
        tail -n 15 "$run_dir/apt.log" >&2
        fail "apt-get could not install $*" "look at $run_dir/apt.log, then: apt-get update && apt-get install $*"
    }
}
export DEBIAN_FRONTEND=noninteractive
