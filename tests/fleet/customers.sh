#!/bin/sh
# Usage: customers.sh apt|dnf FOLDER SECONDS
# A customer in insync-world who looks for updates every SECONDS until FOLDER/stop is there. A line for each look in
# FOLDER/seen: "offers VERSION...", or "failed" and why. Every fifth look is that of a new customer, who knows nothing yet.
set -u
cd "$2" || exit 1
: > seen

apt() {
    [ $((looks % 5)) != 0 ] || rm -rf state/lists/*_* cache/*.bin
    APT_CONFIG=$PWD/apt.conf apt-get -qq update >said 2>&1 || return 1
    ! grep -q '^Ign' said || return 1
    versions=$(APT_CONFIG=$PWD/apt.conf apt-cache madison insync | cut -d '|' -f 2)
    rm -rf new && mkdir new && cd new || return 1
    APT_CONFIG=$OLDPWD/apt.conf apt-get -qq download insync >../said 2>&1
    code=$?
    cd .. && return $code
}

dnf() {
    [ $((looks % 5)) != 0 ] || rm -rf root/var/cache
    /usr/bin/dnf --quiet --assumeyes --installroot="$PWD/root" --releasever=41 --setopt=reposdir="$PWD/repos" \
        --setopt=retries=0 --setopt=metadata_expire=0 repoquery --refresh --queryformat '%{version}' insync >new 2>said || return 1
    versions=$(sort -Vr new)
    [ -n "$versions" ]
}

looks=0
while [ ! -e stop ] && [ $looks -lt 20000 ]; do
    # shellcheck disable=SC2086
    if "$1"; then echo offers $versions; else echo failed "$(tail -n 1 said)"; fi >> seen
    looks=$((looks + 1))
    sleep "$3"
done
