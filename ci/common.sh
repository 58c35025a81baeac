# Sourced by the scripts of ci/: where the checkout and cargo's target directory are, and how scripts speak.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf 'ci/%s: %s\n' "${0##*/}" "$*" >&2; }

# Nothing could be judged because this machine or the call is not fit for it: the exit code of wrong use.
die() {
    say "$*"
    exit 2
}

have() { command -v "$1" >/dev/null 2>&1; }

# Where cargo builds, as its configuration and CARGO_TARGET_DIR say.
target_dir() {
    cargo metadata --format-version 1 --no-deps --manifest-path "$root/Cargo.toml" |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# Where downloads are kept; the same place as kmodlab's own.
cache_dir() { printf '%s\n' "${KMODLAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kmodlab}"; }

# ensure PACKAGE PROGRAM: installs what a measurement needs and a build does not.
ensure() {
    have "$2" && return
    have apt-get || die "$2 is missing, and there is no apt-get to install $1"
    local sudo=()
    ((EUID == 0)) || sudo=(sudo)
    say "installing with apt-get: $1"
    "${sudo[@]}" apt-get install -q -y --no-install-recommends "$1" >&2
}
