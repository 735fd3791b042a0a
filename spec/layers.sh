#!/bin/sh
# layers.sh [BUILD [TREE]] - the floors hold: includes run down, and what a room must not touch it does not call.
#
#     base <- protocols <- storage <- node <- loop, sim <- lab
#
# Of the sources: an include in core/ names a public header of a room that is not above, or a private header of the same
# room or of one below (never a protocol's). Only loop/ knows libevent, nobody knows Lua. With BUILD, of its objects and
# libraries: only loop/ reads clocks, the environment or libc's chance, starts threads or does I/O; a protocol calls
# nothing but what is listed here; the library shows its public names only. (That each room links with the floors below
# it alone is the build's proof: alone_ROOM in CMakeLists.txt.)
set -u
build=${1:-}
cd "${2:-$(dirname "$0")/..}" || exit 2
breaches=$(mktemp) || exit 2
trap 'rm -f "$breaches"' EXIT

includes() {
    find core -name '*.[ch]' | sort | xargs awk '
    BEGIN {
        floor["base"] = 0
        n = split("consensus replication transaction placement membership clock compute check", protocol, " ")
        for (i = 1; i <= n; i++) floor[protocol[i]] = 1
        floor["storage"] = 2; floor["node"] = 3; floor["loop"] = 4; floor["sim"] = 4; floor["lab"] = 5
        # Public headers that are not named after their room: the lowest floor that may include each.
        split("order raft trace ntp hlc mesh steer clock_replay ring", header, " ")
        for (i in header) public[header[i]] = 1
        split("world machine", header, " "); for (i in header) public[header[i]] = 2
        public["ntp_live"] = 4; public["kv"] = public["host"] = public["visit"] = public["service"] = public["resp"] = 3
        public["time"] = public["node_hlc"] = public["node_members"] = 3
    }
    function breach(what) { print FILENAME ":" FNR ": " what }
    function exists(path,   line, found) {
        found = (getline line < path) >= 0
        close(path)
        return found
    }
    # `to` is at or below our floor, and if beside us, then a protocol beside a protocol.
    function may_see(to) { return room == to || floor[to] < ours || (floor[to] == 1 && ours == 1) }

    function check_public(name,   at) {
        sub(/^orrery\//, "", name); sub(/\.h$/, "", name)
        at = name in public ? public[name] : name in floor ? floor[name] : -1
        if (at < 0) breach("orrery/" name ".h has no floor: give it one in spec/layers.sh")
        else if (at > ours) breach("orrery/" name ".h is above " room "/")
        else if (name in floor && !may_see(name)) breach("orrery/" name ".h is beside " room "/")
    }
    function check_private(name,   here, file, step, to) {
        here = FILENAME; sub(/[^\/]*$/, "", here)
        file = name
        while (sub(/^\.\.\//, "", file)) sub(/[^\/]*\/$/, "", here)
        if (!exists(here file)) { here = "core/"; file = name }
        split(here file, step, "/"); to = step[2]
        if (!(to in floor)) breach("\"" name "\" is in no room")
        else if (to != room && (!may_see(to) || floor[to] == 1))
            breach("\"" name "\" is private to " to "/, which is not below " room "/")
    }
    FNR == 1 {
        split(FILENAME, part, "/"); room = part[2]; ours = room in floor ? floor[room] : 9
        if (room == "include") {
            room = part[4]; sub(/\.h$/, "", room)
            ours = room in public ? public[room] : room in floor ? floor[room] : 9
            if (room == "ntp_live") room = "loop"
            if (room ~ /^(host|visit|service|resp|time|node_hlc|node_members)$/) room = "node"     # its other faces
        } else if (!(room in floor)) breach(room "/ has no floor: give it one in spec/layers.sh and CMakeLists.txt")
    }
    /^[ \t]*#[ \t]*include/ {
        name = $0; sub(/^[^<"]*[<"]/, "", name); sub(/[>"].*/, "", name)
        if (name ~ /^(event2\/|event\.h|evutil)/ && room != "loop") breach("only loop/ includes libevent")
        else if (name ~ /^(lua|lauxlib|lualib)/) breach("no Lua in core/")
        else if (name ~ /^orrery\//) check_public(name)
        else if ($0 ~ /"/) check_private(name)
    }'
}

# Lines "ROOM OBJECT" in, lines "OBJECT: what" out.
calls() {
    while read -r room object; do
        nm -u "$object" | awk -v room="$room" -v object="${object##*/core/}" '
        BEGIN {
            chance = "clock_gettime gettimeofday time ftime clock times timespec_get getenv secure_getenv rand srand " \
                "rand_r random srandom drand48 lrand48 mrand48 srand48 getrandom getentropy arc4random arc4random_buf"
            other = "exit _exit quick_exit pthread_create fork sleep usleep nanosleep poll select epoll_wait " \
                "open open64 openat read write pread pwrite fopen fopen64 fsync fdatasync socket connect send recv"
            split(chance " " other, list, " "); for (i in list) forbidden[list[i]]
        }
        {
            name = $NF; sub(/@.*/, "", name)
            if (room != "loop" && name in forbidden) print object ": calls " name
            if (name ~ /^(exit|_exit|quick_exit)$/ && room == "loop") print object ": calls " name
            if (room !~ /^(consensus|replication|transaction|placement|membership|clock|compute|check)$/) next
            if (name ~ /^(orri?_|mem|str|__(asan|ubsan|tsan|sanitizer|stack_chk|odr_asan)|_GLOBAL_OFFSET_TABLE_)/) next
            if (room == "membership" && name ~ /^(sodium_mem(cmp|zero)|crypto_generichash(_[a-z]+)?)$/) next
            if (name ~ /^(v?snprintf|qsort|bsearch|f?abs|floor|ceil|sqrt|exp|erfc|log|pow|l?l?round|isnan|isinf)$/) next
            print object ": a protocol may not call " name
        }'
    done
}

exports() {
    nm -D --defined-only "$build/liborrery.so" | awk '$NF !~ /^orr_/ { print "liborrery.so: shows " $NF }'
    nm -D --undefined-only "$build/liborrery.so" | awk '$NF ~ /^lua/ { print "liborrery.so: needs " $NF }'
    module=$build/lua/orrery/core.so
    if [ -e "$module" ]; then
        nm -D --defined-only "$module" | awk '$NF != "luaopen_orrery_core" { print "core.so: shows " $NF }'
        readelf -d "$module" | grep -q 'NEEDED.*liblua' && echo "core.so: brings a second Lua along"
    fi
    for file in "$build"/liborrery.so "$build"/lua/orrery/*.so; do
        [ ! -e "$file" ] || readelf -d "$file" | grep -q NODELETE || echo "${file##*/}: may be unloaded"
    done
}

{
    includes
    if [ -n "$build" ]; then
        calls <"$build/objects.txt"
        exports
        rooms=$(find core -name '*.c' | cut -d/ -f2 | sort -u)
        for room in $rooms; do
            grep -q "^$room " "$build/objects.txt" || echo "core/$room is in no layer of CMakeLists.txt"
        done
    fi
} >"$breaches"
cat "$breaches"
echo "$(wc -l <"$breaches") breaches"
[ ! -s "$breaches" ]
