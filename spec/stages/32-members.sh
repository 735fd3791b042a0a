#!/bin/sh
# 32-members.sh - the benchmarks of memberships: two thousand nodes within their bars, the same run from the same seed,
# detectors on traces.
set -u
. spec/stages/common.sh
tmp=build/spec/members
rm -rf $tmp && mkdir -p $tmp || exit 1
orrery=build/release/orrery

$orrery bench members >$tmp/2000 2>&1
status=$?
cat $tmp/2000
check "two thousand nodes meet every bar" [ $status = 0 ]

same() {                            # NAME ARGUMENT...: twice the same, but for what it cost
    $orrery bench "$@" 2>&1 | sed 's/[0-9.]* s of .*one core[^;]*//' >$tmp/once &&
        $orrery bench "$@" 2>&1 | sed 's/[0-9.]* s of .*one core[^;]*//' >$tmp/again &&
        [ "$(wc -l <$tmp/once)" -gt 4 ] && cmp $tmp/once $tmp/again
}
check "members: the same seed, the same run" same members 500 7
check "detectors: the same seed, the same run" same detectors 6 0.2 7

# Columns: name, detected, 99 %, missed, false, of the healthy, by the healthy, messages. The name may have blanks.
column() {
    awk -v name="$2" -v n="$3" '{ it = substr($0, 1, 24); sub(/ +$/, "", it) } it == name { print $(NF - 7 + n) }' "$1"
}
holds() { awk "BEGIN { exit !($*) }"; }

$orrery bench detectors 16 1 >$tmp/made_up 2>&1
cat $tmp/made_up
for name in swim "phi 8" "deadline 5 s" "deadline 10 s"; do
    check "$name finds all the dead" [ "$(column $tmp/made_up "$name" 3)" = 0 ]
done
check "SWIM with Lifeguard takes no healthy node for dead" [ "$(column $tmp/made_up swim 5)" = 0.000 ]
check "a longer deadline finds the dead later" \
    holds "$(column $tmp/made_up "deadline 10 s" 1)" ">" "$(column $tmp/made_up "deadline 2 s" 1)"
check "and is wrong less often" \
    holds "$(column $tmp/made_up "deadline 10 s" 4)" "<" "$(column $tmp/made_up "deadline 2 s" 4)"
check "and so is a higher phi" holds "$(column $tmp/made_up "phi 16" 4)" "<" "$(column $tmp/made_up "phi 3" 4)"

# Where nothing is lost or late, nobody is wrong; where all is lost for half a minute, everybody is.
awk 'BEGIN { print "# quiet"; for (t = 0; t < 600; t += 0.5) print t, 1 }' >$tmp/quiet
awk 'BEGIN { for (t = 0; t < 600; t += 0.5) print t, (t >= 300 && t < 330 ? "lost" : 1) }' >$tmp/outage
on() { $orrery bench detectors --trace "$1" 8 0.5 >"$1.out" 2>&1 && [ "$(wc -l <"$1.out")" -ge 14 ]; }
false_alarms() { awk 'NR > 3 { n += $(NF - 3) > 0 } END { print n + 0 }' "$1"; }
check "a quiet trace is played" on $tmp/quiet
check "and nobody is taken for dead on it" [ "$(false_alarms $tmp/quiet.out)" = 0 ]
check "a trace with an outage is played" on $tmp/outage
check "and deadlines are wrong on it" holds "$(column $tmp/outage.out "deadline 10 s" 4)" "> 0"

refused() {                         # TRACE WHAT
    printf "$1" >$tmp/bad
    $orrery bench detectors --trace $tmp/bad 8 0.5 >$tmp/said 2>&1
    [ $? = 2 ] && grep -qF "$2" $tmp/said && return
    cat $tmp/said
    return 1
}
check "refuses words for times" refused 'soon 1\n' "bad:1: expected SECONDS"
check "refuses what is before the last line" refused '1 1\n0 1\n' "bad:2: expected a time not before the last"
check "refuses a delay that is none" refused '0 1\n1 late\n' "bad:2: expected DELAY_MS"
check "refuses a negative delay" refused '0 1\n1 -4\n' "bad:2: expected DELAY_MS"
check "refuses a time alone" refused '0 1\n1\n' "bad:2: expected DELAY_MS"
check "refuses what is no number" refused '0 1\n1 nan\n' "bad:2: expected DELAY_MS"
check "refuses one moment alone" refused '1 1\n1 2\n' "more than one moment"
check "refuses an empty trace" refused '' "more than one moment"
missing() { $orrery bench detectors --trace $tmp/none 2>&1 | grep -q "cannot read $tmp/none"; }
check "says that it can't read a file" missing
finish
