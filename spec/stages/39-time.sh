#!/bin/bash
# 39-time.sh - the cluster's time of real processes on one machine, where the truth is known: it is this machine's
# clock, for three of five nodes. A fourth is shown one that is 2 s ahead, a fifth one that runs away (libfaketime);
# both keep their monotonic clock. They are found out by name, and move nothing.
set -u
. spec/stages/common.sh
. examples/packages.sh
packages_install faketime || exit 1

program=${ORR_PROGRAM:-$PWD/build/release/orrery}      # no sanitizer: theirs and libfaketime's don't mix
fake=$(ls /usr/lib/*/faketime/libfaketime.so.1)
work=$(mktemp -d)
declare -A pid
trap 'kill -KILL "${pid[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT

ports=$((180 + $$ % 80))
cat >"$work/node.lua" <<'EOF'
node:on("status", function() return node.clock:status() end)
node:on("rest", function() node:sleep(0.2) return true end)
EOF
cat >"$work/cluster.lua" <<EOF
local nodes = {}
for i, id in ipairs { "a", "b", "c", "d", "e" } do nodes[i] = { id = id, at = "127.0.0.1:${ports}1" .. i } end
return orrery.cluster { name = "time", node = "node.lua", clock = {}, nodes = nodes }
EOF
# ask.lua ROUNDS: so often, in each round, a line a node: id, state, microseconds from this machine's clock, bound in
# microseconds, whether it holds, who is off, who is unsteady. The node reads both clocks at one moment.
cat >"$work/ask.lua" <<EOF
local orrery = require "orrery"
local ids, handles = { "a", "b", "c" }, {}
for i, id in ipairs(ids) do handles[id] = assert(orrery.connect("127.0.0.1:${ports}1" .. i)) end
for _ = 1, tonumber(arg[1]) do
  for _, id in ipairs(ids) do
    local s = assert(handles[id]:call "status")
    local wall, unsteady = s.time - s.offset, {}
    for name, m in pairs(s.members) do if m.role == "unsteady" then unsteady[#unsteady + 1] = name end end
    print(("%s %s %.2f %.2f %s [%s] [%s]"):format(id, s.state, s.offset * 1e6, s.bound * 1e6,
      s.earliest <= wall and wall <= s.latest, table.concat(s.off, " "), table.concat(unsteady, " ")))
  end
  handles.a:call "rest"
end
EOF

begin() {                           # NODE [VARIABLE=VALUE]...
    local node=$1
    shift
    env "$@" "$program" run "$work/cluster.lua" --node "$node" --data "$work/data" >"$work/$node.log" 2>&1 </dev/null &
    pid[$node]=$!
}
said() { grep -qE "$2" "$work/$1.log"; }
within() {                          # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
all() { for node in a b c; do said $node "$1" || return 1; done; }

for node in a b c; do begin $node; done
begin d LD_PRELOAD="$fake" FAKETIME=+2s FAKETIME_DONT_FAKE_MONOTONIC=1
begin e LD_PRELOAD="$fake" FAKETIME="+0 x1.001" FAKETIME_DONT_FAKE_MONOTONIC=1
check "three nodes know the time" within 20 all "the cluster's time is known within 0\.00"
check "and who is 2 s ahead of it" within 20 all "d's clock is at least (1\.99.|2\.00.) s ahead of the cluster's"
check "who himself says so" within 20 said d "this machine's clock is at least (1\.99.|2\.00.) s ahead of the cluster's"
check "and who runs away: it was set, says its own log" within 30 said e "this machine's clock was set by \+0\.00"
check "and that of the others that it doesn't keep still" within 60 all "e's clock does not keep still"

"$program" "$work/ask.lua" 40 >"$work/told" 2>&1
check "they were asked" [ "$(wc -l <"$work/told")" = 120 ]
check "all know it" [ "$(grep -c ' synchronised ' "$work/told")" = 120 ]
check "each bound holds" [ "$(awk '$5 == "true"' "$work/told" | wc -l)" = 120 ]
check "and is below 3 ms" [ "$(awk '$4 < 3000' "$work/told" | wc -l)" = 120 ]
check "each names who is off" [ "$(grep -cF ' [d] ' "$work/told")" = 120 ]
check "and who doesn't keep still" [ "$(grep -cF ' [e]' "$work/told")" = 120 ]
# A round is three lines: what is the largest difference between two of the three?
awk '{ x[NR % 3] = $3 } NR % 3 == 0 {
    low = high = x[0]
    for (i in x) { if (x[i] < low) low = x[i]; if (x[i] > high) high = x[i] }
    print high - low
}' "$work/told" | sort -n >"$work/apart"
echo "apart, us: $(sed -n 20p "$work/apart") in the median, $(sed -n 36p "$work/apart") in nine of ten rounds;" \
    "bounds, us: $(awk '{ print $4 }' "$work/told" | sort -n | sed -n '60p;120p' | tr '\n' ' ')"
check "in nine of ten rounds the three agree within 20 us" [ "$(sed -n 36p "$work/apart" | cut -d. -f1)" -lt 20 ]

links() { "$program" clock watch "127.0.0.1:${ports}11" --links --for 0.1 >"$work/links" 2>&1; }
links
check "a look at the links shows all clocks that keep still" [ "$(sed -n '/^as a has it, clocks/,$p' "$work/links" |
    grep -cE "^  [bcd]  [+-].* \+- ")" = 3 ]
check "and what the links between them are worth" grep -qE "^[1-9]+ links?: none is seen to be asymmetric" "$work/links"

# Were d, who is off, forgotten last, the time would be known for a moment, within 2 s.
kill -KILL ${pid[d]}
wait ${pid[d]} 2>/dev/null
forgotten() { "$program" clock watch "127.0.0.1:${ports}11" --for 0.1 2>&1 | grep -qE "^a .* $1 unknown"; }
check "who is gone is forgotten" within 30 forgotten d
kill -KILL ${pid[b]} ${pid[c]}
wait ${pid[b]} ${pid[c]} 2>/dev/null
check "who is left alone says so" within 30 said a "the cluster's time is not known any more: the clocks of . of 5"
begin b
begin c
check "and knows it again when there is a majority" within 40 eval \
    "[ \$(grep -c \"the cluster's time is known within\" $work/a.log) -ge 2 ]"
finish
