# packages.sh - installs what a bare Debian 12 or Ubuntu 24.04 lacks. To be sourced:
#
#     . examples/packages.sh
#     packages_install $packages_build $packages_spec || exit 1
#
# It asks dpkg, says what it is about to install, and does nothing where nothing is missing.

packages_build="cmake ninja-build gcc libc6-dev pkg-config lua5.4 liblua5.4-dev"
packages_build="$packages_build libevent-dev libxxhash-dev libmd-dev zlib1g-dev libsodium-dev libedit-dev"
packages_spec="libcmocka-dev lua-busted python3-msgpack libmemcached-dev nginx"

packages_missing() {
    for package; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf ' %s' "$package"
    done
}

packages_install() {
    if ! command -v dpkg-query >/dev/null; then
        echo "this is not Debian: I take it that the likes of these are here: $*"
        return 0
    fi
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        echo "missing, and I am neither root nor is sudo here; let root run: apt-get install$missing" >&2
        return 1
    fi
    echo "installing$missing"
    log=$(mktemp)
    if $as_root apt-get update >"$log" 2>&1 </dev/null &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing \
            >>"$log" 2>&1 </dev/null
    then
        rm -f "$log"
    else
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "could not install$missing" >&2
        return 1
    fi
}
