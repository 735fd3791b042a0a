#!/bin/bash
# 48-placement.sh - the compatible rings against the real things: libmemcached's ketama, and a real nginx on loopback
# whose upstreams answer with their names.
set -u
. spec/stages/common.sh
. examples/packages.sh
packages_install libmemcached-dev nginx || exit 1

program=${ORR_PROGRAM:-$PWD/build/release/orrery}
work=$(mktemp -d)
nginx=
trap '[ -z "$nginx" ] || kill "$nginx" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT

libmemcached() {
    ${CC:-cc} -std=c11 -D_DEFAULT_SOURCE -O2 -Wall -Wextra -Werror -Icore/include -o "$work/libmemcached" \
        spec/placement/libmemcached.c core/placement/*.c core/base/*.c -Icore -lmemcached -lxxhash -lmd -lz
}
check "a program with libmemcached compiles" libmemcached
tally "$work/libmemcached"

answers() {                         # to its last name: all listen before it does
    for _ in $(seq 300); do
        [ -S "$work/front.sock" ] && sleep 0.2 && return
        kill -0 "$nginx" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/err" "$work/error.log"
    return 1
}
"$program" spec/placement/nginx.lua make "$work" $((20000 + $$ % 200 * 50)) || exit 1
PATH=$PATH:/usr/sbin nginx -p "$work" -e "$work/error.log" -c "$work/nginx.conf" 2>"$work/err" </dev/null &
nginx=$!
check "nginx is up" answers
check "and answers for every key, over one connection" timeout 300 python3 spec/placement/ask.py "$work"
kill "$nginx" 2>/dev/null
wait "$nginx" 2>/dev/null
nginx=
tally "$program" spec/placement/nginx.lua compare "$work"
finish
