#!/bin/sh
# 10-c.sh - the C tests and the checks of the house, in both builds. What failed is shown whole.
set -u
log=build/spec/ctest.log
passed=0
failed=0

for preset in release asan; do
    case $preset in asan) under=spec/asan ;; *) under= ;; esac
    $under ctest --preset $preset >"$log" 2>&1
    status=$?
    sum=$(grep -E '^[0-9]+% tests passed, [0-9]+ tests? failed out of [0-9]+' "$log")
    total=${sum##* }
    bad=${sum#*passed, }
    bad=${bad%% *}
    if [ -z "$sum" ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        total=1 bad=1
    fi
    if [ "$bad" -ne 0 ]; then grep -vE ' Passed |^ +Start ' "$log"; fi
    echo "$preset: $((total - bad)) of $total"
    passed=$((passed + total - bad))
    failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
