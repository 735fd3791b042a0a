#!/bin/sh
# 30-simulation.sh - fixed seeds and fresh ones under faults; the same seeds twice with the same digests; a quiet hour
# of five nodes.
#
#   ORR_LONG=1      1000 seeds, and more fresh ones
set -u
. spec/stages/common.sh
orrery=${ORR_PROGRAM:-build/release/orrery}
kv=examples/kv/cluster.lua
tmp=build/spec/simulation
rm -rf $tmp && mkdir -p $tmp || exit 1
# seeds NAME FIRST LAST FAULTS CLUSTER SECONDS...: one run for each seed, in two processes; a line of JSON for each.
clients=
seeds() {
    half=$((($2 + $3) / 2))
    $orrery sim "$5" --seeds "$2:$half" --faults "$4" --for "$6" $clients --json >"$tmp/$1.1" 2>"$tmp/$1.1.log" &
    $orrery sim "$5" --seeds "$((half + 1)):$3" --faults "$4" --for "$6" $clients --json >"$tmp/$1.2" 2>"$tmp/$1.2.log"
    second=$?
    wait $!
    first=$?
    cat "$tmp/$1.1" "$tmp/$1.2" >"$tmp/$1"
    if [ $first -gt 1 ] || [ $second -gt 1 ]; then tail -n 5 "$tmp/$1.1.log" "$tmp/$1.2.log"; fi
    grep '"ok":false' "$tmp/$1" | head -n 5
    [ $first -eq 0 ] && [ $second -eq 0 ] && [ "$(grep -c '"ok":true' "$tmp/$1")" -eq $(($3 - $2 + 1)) ]
}
sum() { sed -n "s/.*\"$2\":\([0-9]*\)[,}].*/\1/p" "$tmp/$1" | awk '{s += $1} END {print s + 0}'; }
digests() { sed -n 's/.*"seed":\([0-9]*\),.*"digest":"\([0-9a-f]*\)".*/\1 \2/p' "$tmp/$1"; }

if [ "${ORR_LONG:-}" ]; then last=1000 more=300; else last=300 more=100; fi
check "seeds 1 to $last under faults violate nothing" seeds fixed 1 $last default $kv 30
operations=$(sum fixed operations) reads=$(sum fixed reads) overlapping=$(sum fixed overlapping_reads)
echo "$operations operations, $reads reads, $overlapping of them overlap a write of their key;" \
    "$(sum fixed elections) elections, $(sum fixed restarts) restarts," \
    "$(sum fixed claims) claims held against the disks"
check "30 % of the reads overlap a write of their key" [ $((overlapping * 100)) -ge $((reads * 30)) ]
check "enough was done" [ "$operations" -ge $((last * 500)) ]
sed 's/.*"faults":{\([^}]*\)}.*/\1/' $tmp/fixed | tr ',' '\n' | tr -d '"' |
    awk -F: '{n[$1] += $2} END {for (k in n) print k, n[k]}' | sort >$tmp/kinds
echo "how often each fault struck: $(tr '\n' ',' <$tmp/kinds | sed 's/,$//; s/,/, /g')"
for kind in delay reset stall slow cut cut_one_way partition crash crash_submitted crash_written crash_synced \
    crash_process crash_silent pause write_error sync_error sync_hang disk_full sector_lost sector_kept clock_step \
    clock_drift read_error name_lost turn_cut short_read rare; do
    check "the fault $kind struck" grep -q "^$kind " $tmp/kinds
done

check "the same seeds again violate nothing" seeds again 1 40 default $kv 30
digests again >$tmp/again.digests
digests fixed | head -n 40 | sort -n >$tmp/fixed.digests
sort -n -o $tmp/again.digests $tmp/again.digests
check "and give the same digests" cmp -s $tmp/again.digests $tmp/fixed.digests
check "different seeds give different ones" [ "$(digests fixed | cut -d' ' -f2 | sort -u | wc -l)" -eq $last ]

fresh=$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')
fresh=$((fresh + 100000))
until=$((fresh + more - 1))
check "fresh seeds $fresh to $until violate nothing" seeds fresh $fresh $until default $kv 30
check "without faults ten seeds are quiet" seeds quiet 1 10 none $kv 10

cp examples/kv/node.lua $tmp/node.lua
{
    echo 'return orrery.cluster { name = "five", node = "node.lua", nodes = {'
    for i in 1 2 3 4 5; do echo "{ id = \"n$i\", at = \"127.0.0.1:74$i$i\", resp = \"127.0.0.1:75$i$i\" },"; done
    echo '} }'
} >$tmp/five.lua
idle() { $orrery sim $tmp/five.lua --seed 1 --for 3600 --workload none --json >$tmp/idle 2>&1; }
check "an idle hour of five nodes is quiet" idle
cat $tmp/idle

# Seven nodes that join, leave, die, are cut off and come back: do all agree on who lives, and nobody makes anything up?
cat >$tmp/seven.lua <<'END'
local nodes = {}
for i = 1, 7 do nodes[i] = { id = "m" .. i, at = "127.0.0.1:760" .. i, zone = "z" .. i % 3 } end
return orrery.cluster { name = "seven", node = "members.lua", nodes = nodes, members = { probe = 0.2, sync = 2 } }
END
cat >$tmp/members.lua <<'END'
local ring = node:ring { vnodes = 40 }
node:on("owner", function(key) return ring:owner(key) end)
if node.id ~= "m1" then
  node:every(1, function() if math.random() < 0.02 then node:stop "for a while" end end)
end
END
clients="--workload none"
check "members agree, seeds 1 to $last of the swarm" seeds members 1 $last swarm $tmp/seven.lua 15
check "and fresh seeds $fresh to $until" seeds members_fresh $fresh $until swarm $tmp/seven.lua 15
echo "$(sum members members) times a node held something new of another one's life"
check "and their views changed often enough" [ "$(sum members members)" -ge $((last * 100)) ]
finish
