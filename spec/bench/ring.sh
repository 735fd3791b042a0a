#!/bin/sh
# ring.sh [SECONDS] - ring.c, which is linked with libmemcached, beside which it measures; then ring.lua.
set -u
cd "$(dirname "$0")/../.." || exit 2
lacks() {
    echo "ring.sh: $1 is missing: $2" >&2
    exit 2
}
[ -e build/release/liborrery.a ] || lacks build/release "run examples/quickstart first"
pkg-config --exists libmemcached || lacks libmemcached "apt-get install libmemcached-dev"
mkdir -p build/bench
cc -O2 -Icore/include -o build/bench/ring spec/bench/ring.c build/release/liborrery.a -lmemcached -levent_core \
    -levent_pthreads -lxxhash -lmd -lz -lm -lpthread || exit 2
build/bench/ring "$@"
status=$?
lua5.4 spec/bench/ring.lua || exit 1
exit $status
