#!/usr/bin/env bash
# A machine written in Lua on three live nodes, fdatasync on: proposals a second through apply, MessagePack both ways.
#
#   spec/bench/machine.sh [TASKS [SECONDS]]         default: 1000 tasks in flight on one node, 4 s
#
# The script proposes from tasks of the leader, one op each at a time. Prints the rate each second, and the median
# against the bar of 100,000; exit 1 when it is missed.
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
for _ in $(seq 400); do
    [ "$(grep -c 'proposals [0-9]* failed' "$tmp/log")" -gt "$seconds" ] && break
    sleep 0.1
done
grep -h -o 'proposals [0-9]* failed [0-9]*' "$tmp/log" | tail -n "$seconds"
grep -h -o 'proposals [0-9]*' "$tmp/log" | tail -n "$seconds" | awk '{ print $2 }' | sort -n | awk -v t="$tasks" '
    { a[NR] = $1 }
    END {
        m = a[int((NR + 1) / 2)] + 0
        verdict = (m >= 100000) ? "met" : "MISSED"
        printf("%d tasks in flight: %d proposals a second (at least 100000: %s)\n", t, m, verdict)
        exit (m < 100000)
    }'
