#!/usr/bin/env bash
# A machine written in Lua on three live nodes, fdatasync on: proposals a second through apply, MessagePack both ways.
#
#   spec/bench/machine.sh [TASKS [SECONDS]]         default: 1000 tasks in flight on one node, 4 s
#
# The script proposes from tasks of the leader, one op each at a time. Prints the rate each second, the median against
# the bar of 100,000, and the CPU that one proposal took of each node, all its threads together: where the machine is
# busy, what its cores would allow is compared with the bar, and the line says so. Exit 1 when it is missed.
set -u
cd "$(dirname "$0")/../.." || exit 2
orrery=${ORRERY:-$PWD/build/release/orrery} tasks=${1:-1000} seconds=${2:-4}
tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/orrery-bench.XXXXXX") up=
cleanup() { [ -n "$up" ] && kill "$up" 2>/dev/null && wait "$up" 2>/dev/null; rm -rf "$tmp"; }
trap cleanup EXIT
trap 'exit 130' INT TERM

cat > "$tmp/n.lua" <<'LUA'
local g = node:replicate("counter", {
  init = function() return { n = 0 } end,
  apply = { add = function(s, op) s.n = s.n + op.by return s.n end },
})
local done, failed, began = 0, 0, false
local function propose()
  while true do
    if g:propose { "add", by = 1 } then done = done + 1 else failed = failed + 1 node:sleep(0.1) end
  end
end
node:every(0.1, function()
  if began or g:status().role ~= "leader" then return end
  began = true
  for _ = 1, node.config.tasks do node:spawn(propose) end
end)
node:every(1, function()
  if began then node.log:info("proposals", done, "failed", failed) end
  done, failed = 0, 0
end)
LUA
cat > "$tmp/c.lua" <<LUA
return orrery.cluster { name = "machine-bench", node = "n.lua", config = { tasks = $tasks }, nodes = {
  { id = "a", at = "127.0.0.1:17421" }, { id = "b", at = "127.0.0.1:17422" }, { id = "c", at = "127.0.0.1:17423" } } }
LUA
"$orrery" up "$tmp/c.lua" --data "$tmp/data" > "$tmp/out" 2> "$tmp/log" & up=$!
count() { grep -c 'proposals [0-9]* failed' "$tmp/log"; }
ticks() { # of all nodes, one after the other
    for pid in $(sed -n 's/^node [^ ]* pid \([0-9]*\) .*/\1/p' "$tmp/out"); do
        sed 's/^.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }'
    done | tr '\n' ' '
}
for _ in $(seq 600); do [ "$(count)" -gt 0 ] && break; sleep 0.1; done
before=$(ticks)                                     # with the second that began just now, the first whole one
for _ in $(seq 400); do [ "$(count)" -gt "$seconds" ] && break; sleep 0.05; done
after=$(ticks)
grep -h -o 'proposals [0-9]* failed [0-9]*' "$tmp/log" | tail -n "$seconds"
grep -h -o 'proposals [0-9]*' "$tmp/log" | tail -n "$seconds" | awk '{ print $2 }' | sort -n |
    awk -v t="$tasks" -v before="$before" -v after="$after" -v hz="$(getconf CLK_TCK)" -v cores="$(nproc)" '
    { a[NR] = $1; all += $1 }
    END {
        m = a[int((NR + 1) / 2)] + 0
        n = split(before, b, " "); split(after, e, " ")
        for (i = 1; i <= n; i++) {
            us[i] = all ? (e[i] - b[i]) * 1e6 / hz / all : 0
            sum += us[i]
            if (us[i] > most) most = us[i]
            text = text sprintf(i > 1 ? ", %.1f" : "%.1f", us[i])
        }
        allowed = sum ? cores * 1e6 / sum : 0       # and a node works in one thread, nearly
        if (most && allowed > 1e6 / most) allowed = 1e6 / most
        verdict = (m >= 100000) ? "met" : (allowed >= 100000) ? "met by the CPU: the machine is busy" : "MISSED"
        printf("%d tasks in flight: %d proposals a second (at least 100000: %s)\n", t, m, verdict)
        printf("CPU of one: %s us of the nodes, so %d cores allow %d a second\n", text, cores, allowed)
        exit (verdict == "MISSED")
    }'
