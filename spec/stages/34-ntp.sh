#!/bin/bash
# 34-ntp.sh - NTP between us and others: chronyd as our servers, two of them lying; chronyd and ntpdig as our clients;
# bad packets, greedy clients, servers that go and come back.
#
# It runs in a network of its own, where 127.0.0.1 has every port free, 123 too, which is the only one that ntpdig asks.
# No clock is touched: the chronyd that serve have a local reference, those that ask only look (-Q).
set -u
. spec/stages/common.sh
. examples/packages.sh
if [ "${1:-}" != inside ]; then
    packages_install chrony ntpsec-ntpdig faketime iproute2 || exit 1
    if [ "$(id -u)" = 0 ]; then root=; else root=r; fi      # who has no rights may be root in a namespace of his own
    exec unshare -${root}nm "$0" inside
fi

program=${ORR_PROGRAM:-build/release/orrery}
work=$(mktemp -d)
chmod 755 "$work"
pids=()
end() { kill "$@" 2>/dev/null; wait "$@" 2>/dev/null; }
trap 'end "${pids[@]}"; rm -rf "$work"' EXIT
ip link set lo up || exit 1

until_true() {                      # LIMIT COMMAND...: as soon as it is; LIMIT in seconds
    local limit=$((SECONDS + $1))
    shift
    while ! "$@"; do
        [ $SECONDS -le $limit ] || return 1
        sleep 0.05
    done
}
says() { grep -qsE "$2" "$1"; }      # FILE PATTERN
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

chronyd=$work/chronyd               # where it lies, a security module may keep it off our files
cp "$(command -v chronyd || echo /usr/sbin/chronyd)" "$chronyd" || exit 1
asks() { "$program" ntp "$@" --samples 2 --timeout 1 2>>"$work/err"; }
knows() { asks "$1" >/dev/null; }

# A server of chrony's at this port, true unless there is a time for it to pretend. Its number is in $pid.
serve() {                           # PORT [FAKETIME] [DIRECTIVE]
    cat >"$work/$1.conf" <<EOF
port $1
bindaddress 127.0.0.1
cmdport 0
bindcmdaddress /
pidfile $work/$1.pid
allow
${3:-local stratum 3}
EOF
    local fake=()
    if [ "${2:-}" ]; then fake=(env "LD_PRELOAD=$faketime" "FAKETIME=$2"); fi
    "${fake[@]}" "$chronyd" -d -x -u root -f "$work/$1.conf" >"$work/$1.log" 2>&1 &
    pid=$!
    pids+=($pid)
}
faketime=$(dpkg -L libfaketime | grep '/libfaketime\.so' | head -n 1)

# -- Their servers ---------------------------------------------------------------------------------------------------
for port in 1201 1202 1203; do serve $port; done
serve 1204 +4.5s
serve 1205 -2s
for port in 1201 1202 1203 1204 1205; do check "chronyd serves at $port" until_true 20 knows 127.0.0.1:$port; done
ports=(127.0.0.1:120{1,2,3,4,5})

"$program" ntp 127.0.0.1:1201 >"$work/out" 2>"$work/err"
check "a true server is asked" [ $? = 0 ]
check "and shown in a table" says "$work/out" '^127\.0\.0\.1:1201 +3 +127\.127\.1\.1 +.* true$'
check "without complaint" [ ! -s "$work/err" ]
within() { [ "${1#-}" -lt "$2" ]; } # NUMBER LIMIT: up to its sign
"$program" ntp 127.0.0.1:1201 --json --samples 8 >"$work/out"
check "its offset is small: it is this machine's clock" within "$(field offset_ns <"$work/out")" 5000000
right() { [ "$(field bound_ns <"$1")" -ge "$(field offset_ns <"$1" | tr -d -)" ]; }
check "and within the bound" right "$work/out"
check "the kernel stamped both ways" says "$work/out" '"kernel_stamps":true'
check "all samples were taken" [ "$(field exchanges <"$work/out")" = 8 ]

"$program" ntp "${ports[@]}" >"$work/out" 2>"$work/err"
check "two false ones against three" [ $? = 0 ]
check "three are none" [ "$(grep -cE ' (true|outlier)$' "$work/out")" = 3 ]
check "two of them at least are followed" [ "$(grep -c ' true$' "$work/out")" -ge 2 ]
check "4.5 s ahead is named" says "$work/out" '^127\.0\.0\.1:1204 .* \+4\.5 s .* falseticker$'
check "2 s behind is named" says "$work/out" '^127\.0\.0\.1:1205 .* -2 s .* falseticker$'
check "and left out" says "$work/out" "^this machine's clock is off by [-+][0-9.]+ [nu]s "
"$program" ntp 127.0.0.1:1201 127.0.0.1:1204 >"$work/out" 2>"$work/err"
check "of one against one nobody is right" [ "$(grep -c ' no majority$' "$work/out")" = 2 ]
check "and that is said" says "$work/out" '^no majority of them agrees'
"$program" ntp 127.0.0.1:1201 127.0.0.1:1299 >"$work/out" 2>"$work/err"
check "one answer of two is enough" [ $? = 0 ]
check "and true" says "$work/out" '^127\.0\.0\.1:1201 .* true$'
check "the other is told of" says "$work/err" '^orrery: ntp: 127\.0\.0\.1:1299: Connection refused: '

# The nodes of a cluster that names them.
echo 'node:on("x", function() end)' >"$work/node.lua"
cat >"$work/cluster.lua" <<'EOF'
local ntp, nodes = {}, {}
for i = 1, 5 do ntp[i] = "127.0.0.1:120" .. i end
for i, id in ipairs { "a", "b", "c" } do nodes[i] = { id = id, at = "127.0.0.1:741" .. i } end
return orrery.cluster { name = "timed", node = "node.lua", clock = { ntp = ntp }, nodes = nodes }
EOF
"$program" up "$work/cluster.lua" --data "$work/data" >"$work/up.log" 2>&1 &
up=$!
pids+=($up)
all_three() {                       # PATTERN: of what is known of servers
    "$program" clock watch 127.0.0.1:7411 --for 0.1 >"$work/out" 2>"$work/err" &&
        [ "$(grep -cE "^[abc] +sync .*$1" "$work/out")" = 3 ]
}
check "nodes take their time from them" until_true 30 all_three ' 127\.0\.0\.1:1201 [-+][0-9.]+ [num]?s, '
check "and all name the false ones" \
    until_true 30 all_three '127\.0\.0\.1:1204 \+4\.5 s OFF, 127\.0\.0\.1:1205 -2 s OFF'
"$program" clock watch 127.0.0.1:7411 --for 0.5 --every 0.1 --plot "$work/watch.svg" >/dev/null
check "what was watched is drawn" says "$work/watch.svg" '^<svg '
end $up

# A name with three addresses, one server on each.
for i in 1 2 3; do echo "127.0.1.$i servers.test"; done >"$work/hosts"
echo '127.0.0.1 one.test' >>"$work/hosts"
printf '%s second.test\n' 127.0.1.9 127.0.0.1 >>"$work/hosts"
mount --bind "$work/hosts" /etc/hosts || exit 1
"$program" ntp one.test:1201 >"$work/out" 2>"$work/err"
check "a name is looked up" says "$work/out" '^127\.0\.0\.1:1201 .* true$'
"$program" ntp second.test:1201 >"$work/out" 2>"$work/err"
check "of a name's addresses the one that answers is asked" says "$work/out" '^127\.0\.0\.1:1201 .* true$'
serve 1206 "" "bindaddress 0.0.0.0
local stratum 5"
check "chronyd serves on all addresses" until_true 20 knows 127.0.1.3:1206
"$program" ntp pool:servers.test:1206 >"$work/out" 2>"$work/err"
check "a pool is several servers" [ "$(grep -cE '^127\.0\.1\.[123]:1206 .* (true|outlier)$' "$work/out")" = 3 ]
"$program" ntp servers.test:1206 >"$work/out" 2>"$work/err"
check "a name alone is one" [ "$(grep -c '1206' "$work/out")" = 1 ]

serve 1207 "" "server 127.0.0.1 port 1298"
unsynchronised() {
    "$program" ntp 127.0.0.1:1207 --samples 1 --timeout 1 >"$work/out" 2>"$work/err"
    [ $? = 1 ] && says "$work/err" 'not synchronised'
}
check "chronyd that follows nobody is no source" until_true 20 unsynchronised

# -- Our server --------------------------------------------------------------------------------------------------------
ours() {                            # NAME ARGUMENT...: log in $work/NAME
    local name=$1
    shift
    "$program" ntp "$@" >"$work/$name" 2>&1 &
    pid=$!
    pids+=($pid)
    until_true 20 says "$work/$name" '^serving time at '
}
query() {                           # PORT: as chronyd's client; how wrong it finds the clock is in $work/query
    timeout 30 "$chronyd" -u root -Q -t 8 "server 127.0.0.1 port $1 iburst maxsamples ${2:-1} ${3:-}" 'cmdport 0' \
        'bindcmdaddress /' "pidfile $work/q.pid" >"$work/query" 2>&1
}
wrong_by() { sed -n 's/.*System clock wrong by -\{0,1\}\([0-9.]*\) seconds.*/\1/p' "$work/query"; }
small() { awk -v x="$1" -v limit="$2" 'BEGIN { exit !(x != "" && x < limit) }'; }
dig() { ntpdig -j -t 2 "$@" >"$work/dig" 2>&1; }

check "ours serves, following five" ours server --serve 127.0.0.1:123 --from "$(IFS=,; echo "${ports[*]}")"
server=$pid
refused_at_first() { dig 127.0.0.1; ! says "$work/dig" '"stratum"'; }
check "ntpdig takes nothing from it while it knows nothing" refused_at_first
check "it is synchronised then" until_true 30 says "$work/server" ' ntp: synchronised, '
names_two() { [ "$(grep -cE '127\.0\.0\.1:120[45] .* is a falseticker' "$work/server")" = 2 ]; }
check "it names the two false ones" until_true 30 names_two
check "and none of the true ones" [ "$(grep -cE '127\.0\.0\.1:120[123] .* is a falseticker' "$work/server")" = 0 ]
check "chronyd is its client" query 123
check "and finds this machine's clock right" small "$(wrong_by)" 0.005
check "ntpdig is its client" dig 127.0.0.1
check "and is told stratum 4" says "$work/dig" '"stratum": *4'
check "and finds the same" small "$(sed -n 's/.*"offset": *-\{0,1\}\([0-9.e-]*\).*/\1/p' "$work/dig")" 0.005
check "we are its client" knows 127.0.0.1

check "ours follows ours" ours second --serve 127.0.0.1:1310 --from 127.0.0.1
check "one step further" until_true 30 says "$work/second" ' ntp: synchronised, .* stratum 5$'
check "and says whom" says <(asks 127.0.0.1:1310) '^127\.0\.0\.1:1310 +5 +127\.0\.0\.1 '

# A server that dies while it is followed; and its successor.
disown $server                      # the shell would say that it was killed
kill -KILL $server
until_true 10 eval '! kill -0 $server 2>/dev/null'
still() { says <(asks 127.0.0.1:1310) '^127\.0\.0\.1:1310 +5 '; }
check "who followed it goes on" still
check "it is started anew" ours third --serve 127.0.0.1:123 --from 127.0.0.1:1201
third=$pid
check "and serves" until_true 30 knows 127.0.0.1
check "who followed it knows the time" still
check "chronyd asks it in interleaved mode" query 123 4 "xleave minpoll -2 maxpoll -2"
check "and finds this machine's clock right" small "$(wrong_by)" 0.005
kill -TERM $third
wait $third
check "SIGTERM ends it cleanly" [ $? = 0 ]
check "with a last word" says "$work/third" '^stopped: [0-9]+ answered '
check "and it has answered in that mode" says "$work/third" '\([1-9][0-9]* interleaved\)'

# The machine's own clock, of which the kernel says that nobody keeps it, or how right it is.
check "ours serves this machine's clock" ours machine --serve 127.0.0.1:1320
if python3 -c 'import ctypes; exit(ctypes.CDLL(None).adjtimex((ctypes.c_long * 64)()) != 5)'; then
    check "which nobody keeps in time, and it says so" says "$work/machine" 'is not synchronised'
    check "chronyd takes nothing from it" eval '! query 1320'
    asks 127.0.0.1:1320 >"$work/out"
    check "nor do we" [ $? = 1 ]
else
    check "which somebody keeps in time" query 1320
fi

# -- Strangers ---------------------------------------------------------------------------------------------------------
check "ours serves strangers" ours strangers --serve 127.0.0.1:1330 --from 127.0.0.1:1201
check "which it can" until_true 30 says "$work/strangers" ' ntp: synchronised, '
tally /usr/bin/python3 spec/live/ntp_strangers.py 1330
check "we are still answered" until_true 30 knows 127.0.0.1:1330
check "nothing was said on the way" [ "$(grep -c ' warn ' "$work/strangers")" = 0 ]
finish
