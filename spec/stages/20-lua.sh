#!/bin/bash
# 20-lua.sh - the Lua specs, by the program itself: it has Lua and the sanitizers' runtime inside, nothing to preload.
# Each file in a process of its own, two at a time.
set -u
. spec/stages/common.sh

one() {
    spec/asan timeout -k 5 900 build/asan/orrery /usr/bin/busted --output=spec/lines.lua --pattern=_spec "$1" \
        >"$TMPDIR/${1##*/}.log" 2>&1 </dev/null
    echo "exit $?" >>"$TMPDIR/${1##*/}.log"
}
export -f one
replay() {
    sed '$d' "$1"
    return "$(sed -n '$s/^exit //p' "$1")"
}

files=$(find spec -name '*_spec.lua' | LC_ALL=C sort)
echo "$files" | xargs -P 2 -n 1 bash -c 'one "$1"' one
for file in $files; do tally replay "$TMPDIR/${file##*/}.log"; done
finish
