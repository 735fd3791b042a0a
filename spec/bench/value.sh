#!/bin/sh
# value.sh - what packing, unpacking and an ordered map cost, by build/release: [KEYS]
cd "$(dirname "$0")/../.." || exit 2
exec "${ORR_PROGRAM:-build/release/orrery}" spec/bench/value.lua "$@"
