#!/usr/bin/env bash
# The key-value service against its peers and the machine's limits, in one run: three nodes on loopback, fdatasync on.
#
#   spec/bench/kv.sh [redis] [etcd] [latency]       default: all
#
# Needs redis-server, redis-tools; for etcd: etcd-server, golang-go, golang-etcd-server-dev (left out, and said so,
# where they are missing). Prints a line for each comparison: medians of three runs, their ratio and the bar; exit 1
# when one is missed.
set -u
cd "$(dirname "$0")/../.." || exit 2
orrery=$PWD/build/release/orrery
[ -x "$orrery" ] || { echo "kv.sh: build/release/orrery is missing; run examples/quickstart first" >&2; exit 2; }
tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/orrery-bench.XXXXXX") pids=() missed=0
cleanup() {
    for p in "${pids[@]:-}"; do [ -n "$p" ] && kill "$p" 2>/dev/null; done
    for p in "${pids[@]:-}"; do [ -n "$p" ] && wait "$p" 2>/dev/null; done
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
median() { printf '%s\n' "$@" | sort -g | awk '{a[NR]=$1} END {print a[int((NR + 1) / 2)]}'; }
wait_port() {
    for _ in $(seq 400); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        sleep 0.05
    done
    echo "kv.sh: port $1 does not open" >&2
    exit 2
}
ticks=$(getconf CLK_TCK)
cpu_us() {
    local t=0 p f
    for p; do
        read -r -a f < <(sed 's/^.*) //' "/proc/$p/stat")
        t=$((t + f[11] + f[12]))
    done
    echo $((t * 1000000 / ticks))
}
run() { # port command clients pipeline requests: redis-benchmark's line of figures
    redis-benchmark -h 127.0.0.1 -p "$1" -t "$2" -c "$3" -P "$4" -d 64 -n "$5" -r 100000 --csv 2>/dev/null | tail -1 |
        tr -d '"'
}
rate() { run "$@" | cut -d, -f2; }
p50_us() { run "$1" "$2" 1 1 "$3" | awk -F, '{print $5 * 1000}'; } # port command requests
compare() { # name ours unit theirs-name theirs bar ("at least" or "at most")
    awk -v n="$1" -v a="$2" -v u="$3" -v pn="$4" -v b="$5" -v bar="$6" -v how="$7" 'BEGIN {
        r = b ? a / b : 0; ok = how == "least" ? r >= bar : r <= bar
        printf "%-28s %10.0f %s   %s %.0f   ratio %.2f (at %s %.2f: %s)\n", n, a, u, pn, b, r, how, bar,
            ok ? "met" : "MISSED"
        exit !ok }' || missed=1
}

what=("$@")
[ ${#what[@]} -gt 0 ] || what=(redis etcd latency)
wants() { local w; for w in "${what[@]}"; do [ "$w" = "$1" ] && return 0; done; return 1; }

cp -r examples/kv "$tmp/kv" &&                     # with ports of its own
    sed -i 's/:74\(0[0-9]\)/:174\1/; s/:75\(0[0-9]\)/:175\1/' "$tmp/kv/cluster.lua"
"$orrery" up "$tmp/kv/cluster.lua" --data "$tmp/data" > "$tmp/up" 2> "$tmp/log" & pids+=($!)
for _ in $(seq 400); do grep -q '^ready' "$tmp/up" && break; sleep 0.05; done
grep -q '^ready' "$tmp/up" || { cat "$tmp/up" "$tmp/log" >&2; exit 2; }
nodes=($(sed -n 's/^node [^ ]* pid \([0-9]*\) .*/\1/p' "$tmp/up")) ours=
for port in $(sed -n 's/^node .* resp [^ ]*:\([0-9]*\).*/\1/p' "$tmp/up"); do
    redis-cli -p "$port" info replication | grep -q '^orrery_role:leader' && ours=$port
done
[ -n "$ours" ] || { echo "kv.sh: no node says that it leads" >&2; exit 2; }

if wants redis; then
    redis-server --port 16379 --bind 127.0.0.1 --save '' --appendonly yes --appendfsync always \
        --auto-aof-rewrite-percentage 0 --dir "$tmp" --logfile "$tmp/redis.log" --daemonize no & redis=$!
    pids+=("$redis"); wait_port 16379
    # Every key is there before GET is measured.
    for port in "$ours" 16379; do rate "$port" set 50 16 400000 > /dev/null; done
    for op in set get; do
        a=() b=() cpu=()
        for _ in 1 2 3; do
            c0=$(cpu_us "${nodes[@]}"); a+=("$(rate "$ours" $op 50 16 800000)"); c1=$(cpu_us "${nodes[@]}")
            cpu+=("$(awk -v c=$((c1 - c0)) 'BEGIN {print c / 800000}')")
            b+=("$(rate 16379 $op 50 16 800000)")
        done
        [ $op = set ] && bar=0.5 || bar=0.3
        compare "$op -c 50 -P 16" "$(median "${a[@]}")" "op/s" "redis always" "$(median "${b[@]}")" $bar least
        printf '%-28s %10.2f us of CPU an operation over the three nodes\n' "" "$(median "${cpu[@]}")"
        [ $op = set ] && set_rate=$(median "${a[@]}")
    done
    kill "$redis"; wait "$redis" 2>/dev/null
fi

if wants etcd; then
    gopath=/usr/share/gocode
    if command -v etcd > /dev/null && command -v go > /dev/null && [ -d $gopath/src/go.etcd.io/etcd/clientv3 ]; then
        GO111MODULE=off GOFLAGS= GOPATH=$gopath GOCACHE=$tmp/go \
            go build -o "$tmp/etcd_puts" spec/bench/etcd_puts.go || exit 2
        all=n1=http://127.0.0.1:22391,n2=http://127.0.0.1:22392,n3=http://127.0.0.1:22393
        for i in 1 2 3; do
            client=http://127.0.0.1:2238$i peer=http://127.0.0.1:2239$i
            etcd --name n$i --data-dir "$tmp/etcd$i" --listen-client-urls $client --advertise-client-urls $client \
                --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster $all \
                --initial-cluster-token bench --initial-cluster-state new --log-level error \
                > "$tmp/etcd$i.log" 2>&1 & pids+=($!)
        done
        for i in 1 2 3; do wait_port 2238$i; done
        leader=
        for _ in $(seq 100); do
            for i in 1 2 3; do
                ETCDCTL_API=3 etcdctl --endpoints 127.0.0.1:2238$i endpoint status -w fields 2>/dev/null |
                    awk '/"MemberID"/ {m = $3} /"Leader"/ {l = $3} END {exit !(m != "" && m == l)}' &&
                    leader=127.0.0.1:2238$i
            done
            [ -n "$leader" ] && break
            sleep 0.1
        done
        "$tmp/etcd_puts" "$leader" 256 2 > /dev/null
        a=() b=()
        for _ in 1 2 3; do a+=("$(rate "$ours" set 50 16 800000)"); b+=("$("$tmp/etcd_puts" "$leader" 256 2)"); done
        compare "set -c 50 -P 16" "$(median "${a[@]}")" "op/s" "etcd puts, 256 in flight" "$(median "${b[@]}")" 8 least
    else
        echo "etcd: left out (etcd, go or its client library is not installed)"
    fi
fi

if wants latency; then
    cc -O2 -o "$tmp/limits" spec/bench/limits.c || exit 2
    a=() b=()
    for _ in 1 2 3; do
        a+=("$(p50_us "$ours" set 5000)")
        b+=("$("$tmp/limits" "$tmp/limits.file" |
            awk '/sync_us/ {s = $2} /round_trip_us/ {r = $2} END {print s + 2 * r}')")
    done
    compare "set -c 1 -P 1, median" "$(median "${a[@]}")" "us" "one sync and two round trips" "$(median "${b[@]}")" \
        2.5 most
fi
exit $missed
