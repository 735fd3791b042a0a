# stage.sh - what the stages in bash share; to be sourced. check counts, summary ends.
passed=0
failed=0

# check WHAT COMMAND...: one check; what failed is told.
check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $what ($*)"
    fi
}

# within SECONDS COMMAND...: waits until it succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.02
    done
}

ended() { ! kill -0 "$1" 2>/dev/null || [ "$(cut -d ' ' -f 3 "/proc/$1/stat" 2>/dev/null)" = Z ]; }

# gone PID...: each has ended, within 15 s.
gone() {
    local pid
    for pid; do within 15 ended "$pid" || return 1; done
}

# ends_with STATUS PID: a child of this shell ends so, within 30 s.
ends_with() {
    local status
    within 30 ended "$2" || return 1
    wait "$2" 2>/dev/null
    status=$?
    [ $status = "$1" ] || { echo "status $status"; return 1; }
}

summary() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}
