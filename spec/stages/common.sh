# common.sh - counting for stages; to be sourced from the top of the checkout.
#
#     . spec/stages/common.sh
#     check "two is even" [ $((2 % 2)) -eq 0 ]        one check
#     tally some/program ARGUMENT...                  a program that ends with `N passed, N failed` itself
#     finish                                          the closing line, the exit status
passed=0
failed=0
mkdir -p build/spec/tmp
export TMPDIR="$PWD/build/spec/tmp"

check() {
    what=$1
    shift
    if "$@"; then
        echo "ok: $what"
        passed=$((passed + 1))
    else
        echo "not ok: $what"
        failed=$((failed + 1))
        return 1
    fi
}

tally() {
    { "$@" 2>&1; echo "exit $?"; } >"$TMPDIR/tally"
    grep -vE '^[0-9]+ passed, [0-9]+ failed$|^exit [0-9]+$' "$TMPDIR/tally"
    sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$TMPDIR/tally" | tail -n 1)
    good=${sum%% *}
    bad=${sum#*, }
    bad=${bad%% *}
    if [ -z "$sum" ] || { [ "$bad" -eq 0 ] && [ "$(tail -n 1 "$TMPDIR/tally")" != "exit 0" ]; }; then
        echo "not ok: $* ended with $(tail -n 1 "$TMPDIR/tally"): ${sum:-it did not say what passed}"
        good=${good:-0} bad=$((${bad:-0} + 1))
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
}

finish() {
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ] && [ $passed -gt 0 ]
    exit
}

# The programs of spec/live, or the end.
live() {
    spec/live/build "$@" && return
    echo "not ok: spec/live does not compile"
    failed=1
    finish
}
