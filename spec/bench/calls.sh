#!/usr/bin/env bash
# calls.sh - calls and casts of scripts between two live processes over loopback, each held to a core of its own: one at
# a time, 64 under way, casts.
#
#   spec/bench/calls.sh [ROUNDS]        default 3; the medians count
#
# Prints for each how many a second, the CPU that one took of the caller's loop and of the callee's, and the bar; one at
# a time beside a bare ping-pong (pingpong.c) of the same round. Where the machine is busy, what the dearer side's CPU
# would allow is compared with the bar, and the line says so. Exit 1 where a bar is missed.
set -u
cd "$(dirname "$0")/../.." || exit 2
program=${ORR_PROGRAM:-$PWD/build/release/orrery} rounds=${1:-3}
[ -x "$program" ] || { echo "calls.sh: build/release/orrery is missing; run examples/quickstart first" >&2; exit 2; }
folder=$(mktemp -d "${TMPDIR:-/var/tmp}/orrery-bench.XXXXXX") pids=()
cleanup() { kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
cc -O2 -o "$folder/pingpong" spec/bench/pingpong.c || exit 2
cat >"$folder/node.lua" <<'END'
local got = 0
node:on("echo", function(x) return x end)
node:on("count", function() got = got + 1 end)
node:on("counted", function() return got end)
local function rate(what, n, f)
  node:sleep(0.05)
  node.log:info("phase begin", what)
  local begun = node:now()
  f()
  node.log:info("phase end", what, n, ("%.6f"):format(node:now() - begun))
  node:sleep(0.05)
end
local function measure()
  repeat node:sleep(0.1) until node:call("b", "echo", 1)
  rate("one", 20000, function() for _ = 1, 20000 do node:call("b", "echo", 1) end end)
  rate("window", 256000, function()
    local tasks = {}
    for k = 1, 64 do tasks[k] = node:spawn(function() for _ = 1, 4000 do node:call("b", "echo", 1) end end) end
    for k = 1, 64 do tasks[k]:wait() end
  end)
  local before = node:call("b", "counted")
  rate("casts", 500000, function()
    for _ = 1, 500 do
      for _ = 1, 1000 do node:cast("b", "count", 1) end
      node:call("b", "echo", 1)
    end
  end)
  node.log:info("phase came", "casts", node:call("b", "counted") - before)
  node.log:info("phase over")
end
if node.id == "a" then node:spawn(measure) end
END
cat >"$folder/cluster.lua" <<'END'
return orrery.cluster { name = "calls", node = "node.lua", limits = { calls = 4096 }, nodes = {
  { id = "a", at = "127.0.0.1:17401" }, { id = "b", at = "127.0.0.1:17402" } } }
END
if taskset -c 1 true 2>/dev/null; then pin="taskset -c"; else pin=; fi
on() { if [ -n "$pin" ]; then exec $pin "$@"; else shift && exec "$@"; fi; }
loop_ns() { cut -d' ' -f1 "/proc/$1/schedstat"; }      # of the process's first thread, which is the loop's

# A line for each phase: NAME RATE CALLER_NS CALLEE_NS
round() {
    rm -rf "$folder/data" "$folder/log"
    mkfifo "$folder/log"
    echo "raw $("$folder/pingpong" 1) 0"
    (on 0 "$program" run "$folder/cluster.lua" --node b --data "$folder/data") >/dev/null 2>&1 & local b=$!
    (on 1 "$program" run "$folder/cluster.lua" --node a --data "$folder/data") >/dev/null 2>"$folder/log" & local a=$!
    pids=("$a" "$b")
    local word what n s a0 b0
    while read -r _ _ phase word what n s; do
        [ "$phase" = phase ] || continue
        case $word in
        begin) a0=$(loop_ns $a) b0=$(loop_ns $b) ;;
        end) echo "$what $n $s $(($(loop_ns $a) - a0)) $(($(loop_ns $b) - b0))" |
            awk '{ printf "%s %.0f %.0f %.0f\n", $1, $2 / $3, $4 / $2, $5 / $2 }' ;;
        came) echo "came $n 0 0" ;;
        over) break ;;
        esac
    done <"$folder/log"
    kill "$a" "$b"
    wait "$a" "$b" 2>/dev/null
}
for _ in $(seq "$rounds"); do round; done >"$folder/figures"

median() { awk -v n="$1" -v f="$2" '$1 == n { print $f }' "$folder/figures" | sort -g |
    awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] + 0 }'; }
missed=0
report() { # NAME FIGURES BAR: a rate, and what its CPU would allow
    awk -v what="$1" -v rate="$(median "$2" 2)" -v a="$(median "$2" 3)" -v b="$(median "$2" 4)" -v bar="$3" 'BEGIN {
        cpu = 1e9 / (a > b ? a : b)
        verdict = rate >= bar ? "met" : cpu >= bar ? "met by its CPU, " int(cpu) "/s: the machine is busy" : "MISSED"
        printf "%-16s %9.0f/s   CPU: caller %5.0f ns, callee %5.0f ns   ", what, rate, a, b
        printf "(at least %d: %s)\n", bar, verdict
        exit verdict == "MISSED" }' || missed=1
}
awk -v rate="$(median one 2)" -v a="$(median one 3)" -v b="$(median one 4)" -v raw="$(median raw 2)" \
    -v raw_ns="$(median raw 3)" 'BEGIN {
    ratio = raw ? rate / raw : 0
    printf "%-16s %9.0f/s   CPU: caller %5.0f ns, callee %5.0f ns   ", "one at a time", rate, a, b
    printf "ping-pong %.0f/s, %.0f ns   ", raw, raw_ns
    printf "ratio %.2f (at least 0.60: %s)\n", ratio, (ratio >= 0.6 ? "met" : "MISSED")
    exit !(ratio >= 0.6) }' || missed=1
report "64 under way" window 300000
report casts casts 1000000
awk -v b="$(median casts 4)" -v came="$(median came 2)" 'BEGIN {
    printf "%-16s %9.0f ns of the callee'"'"'s CPU, %d of 500000 came   (at most 1500: %s)\n", "a handler", b, came,
        (b <= 1500 ? "met" : "MISSED")
    exit b > 1500 }' || missed=1
exit $missed
