# Sourced by the scripts in ci/: --help, messages, and the paths of the checkout and of cargo's target directory.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# --help prints the comment at the top of the script.
case ${1-} in
-h | --help)
    sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$0"
    exit 0
    ;;
esac

say() { printf 'ci/%s: %s\n' "${0##*/}" "$*" >&2; }

# die MESSAGE: exit code 2, for invalid arguments and a machine on which the script cannot run.
die() {
    say "$*"
    exit 2
}

# bad_usage MESSAGE: invalid arguments.
bad_usage() { die "$*; see ci/${0##*/} --help"; }

# skip REASON: the check cannot run here, which is not a failure.
skip() {
    say "skipped: $*"
    exit 0
}

have() { command -v "$1" >/dev/null 2>&1; }

# Cargo's target directory, from its configuration and CARGO_TARGET_DIR.
target_dir() {
    cargo metadata --format-version 1 --no-deps --manifest-path "$root/Cargo.toml" |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# The directory for downloads: kmodlab's own cache.
cache_dir() { printf '%s\n' "${KMODLAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kmodlab}"; }

# ensure PACKAGE PROGRAM: installs a program that only a measurement needs.
ensure() {
    have "$2" && return
    have apt-get || die "$2 is missing, and there is no apt-get to install $1"
    local sudo=()
    ((EUID == 0)) || sudo=(sudo)
    say "installing with apt-get: $1"
    "${sudo[@]}" apt-get install -q -y --no-install-recommends "$1" >&2
}

# kernel_source PACKAGE DIR: unpacks a source package of the kernel, from the host's apt or from an area of kmodlab's.
kernel_source() {
    local configuration
    mkdir -p "$2" "$2.deb"
    for configuration in "" "$(cache_dir)"/v1/apt/*/etc/apt.conf; do
        [[ -z $configuration ]] || export APT_CONFIG=$configuration
        if apt-cache show "$1" >/dev/null 2>&1; then
            say "fetching $1"
            (cd "$2.deb" && apt-get download -q "$1" >&2) && break
        fi
    done
    unset APT_CONFIG
    dpkg-deb -x "$2.deb"/*.deb "$2.deb" 2>/dev/null || return 1
    tar -xf "$2.deb/usr/src/$1.tar.xz" --strip-components=1 -C "$2"
    rm -rf "$2.deb"
}
