#!/usr/bin/env bash
# Install Debian 11's Julia (1.5.3) on a Debian machine, as root, after announcing it, without changing
# the system's own package lists: apt runs with separate lists, cache and sources, takes the mirror's
# address from the machine's sources, and uses the suite "bullseye" in addition.
set -euo pipefail

say() { printf 'install_julia_debian: %s\n' "$*" >&2; }
[ "${PYVDA_JULIA:-}" != none ] || { say "PYVDA_JULIA=none: nothing is installed"; exit 1; }
command -v julia >/dev/null && { say "julia is already on PATH"; exit 0; }
[ "$(id -u)" = 0 ] || { say "needs root, found user $(id -un); use a Julia of your own"; exit 1; }
[ -r /etc/os-release ] && . /etc/os-release
[ "${ID:-}" = debian ] || { say "needs Debian, found '${ID:-unknown}'"; exit 1; }

# The first Debian mirror that the machine's own sources name, in either apt format.
sources=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
mirror=$(printf '%s\n' "$sources" |
    sed -nE 's#^(URIs:|deb( \[[^]]*\])?)[[:space:]]+([a-z]+://[^[:space:]]*/debian)/?([[:space:]].*)?$#\3#p' |
    head -n 1)
[ -n "$mirror" ] || { say "no Debian mirror found in /etc/apt; use a Julia of your own"; exit 1; }

say "going to install Debian 11's package julia 1.5.3 and what it depends on, system-wide (apt, some 300 MB) from $mirror"
say "to decline, stop this (Ctrl-C) and set PYVDA_JULIA=none (torch engine, slower), or PYVDA_JULIA=/path/to/julia"
if [ -t 2 ]; then sleep "${PYVDA_SETUP_WAIT:-10}"; fi

apt_home=$(mktemp -d)
trap 'rm -rf "$apt_home"' EXIT
chmod 755 "$apt_home"
mkdir -p "$apt_home/lists/partial" "$apt_home/archives/partial" "$apt_home/none"
key=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in "${VERSION_CODENAME:?}" bullseye; do
    echo "deb [signed-by=$key] $mirror $suite main"
done > "$apt_home/sources.list"
# Only what this system's own suite lacks may come from bullseye.
printf 'Package: *\nPin: release n=bullseye\nPin-Priority: 100\n' > "$apt_home/preferences"

isolated_apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq \
        -o Dir::Etc::SourceList="$apt_home/sources.list" -o Dir::Etc::SourceParts="$apt_home/none" \
        -o Dir::Etc::Preferences="$apt_home/preferences" -o Dir::Etc::PreferencesParts="$apt_home/none" \
        -o Dir::State::Lists="$apt_home/lists" -o Dir::Cache="$apt_home" \
        -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@"
}
isolated_apt update
isolated_apt install --yes --no-install-recommends --no-remove julia >"$apt_home/log" 2>&1 ||
    { tail -n 5 "$apt_home/log" >&2; say "apt could not install julia from $mirror"; exit 1; }
say "installed $(julia --version)"
