#!/bin/bash
# 22-module.sh - the Lua module under plain lua5.4, and what is installed: it finds its files wherever that is.
set -u
. spec/stages/common.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

module=build/release/lua/orrery/core.so
check "the module shows luaopen_orrery_core only" \
    [ "$(nm -D --defined-only $module | awk '{print $3}')" = luaopen_orrery_core ]
check "it stays when its host unloads it" sh -c "readelf -d $module | grep -q NODELETE"
check "it brings no Lua of its own" sh -c "! readelf -d $module | grep -q liblua"
check "neither does the library know of any" sh -c "! nm -D build/release/liborrery.so | grep -q ' lua'"

plain() {
    local at=$PWD/build/release/lua
    LUA_PATH="$at/?.lua;$at/?/init.lua" LUA_CPATH="$at/?.so" lua5.4 "$@"
}
cat >"$work/try.lua" <<'END'
local orrery = require "orrery"
local cluster = orrery.cluster { name = "x", node = "n.lua", nodes = { { id = "a", at = "127.0.0.1:1" } } }
print(orrery.version, cluster, orrery.topology.ring():list { "a", "b" }[1][2])
END
check "plain lua5.4 loads it" [ "$(plain "$work/try.lua")" = "$(printf '0.1.0\torrery.cluster(x 1 node)\tb')" ]
check "the program runs the same script" [ "$(build/release/orrery "$work/try.lua")" = "$(plain "$work/try.lua")" ]

cat >"$work/raft.lua" <<'END'
orrery = require "orrery"
dofile "examples/raft-by-hand/raft-by-hand.lua"
END
check "plain lua5.4 plays Raft by hand" \
    [ "$(plain "$work/raft.lua" | tail -n 3 | head -n 1)" = "orrery.raft(n1 follower term=2 commit=3)" ]
check "as the program does" \
    [ "$(plain "$work/raft.lua")" = "$(build/release/orrery examples/raft-by-hand/raft-by-hand.lua)" ]

cat >"$work/embed.lua" <<'END'
local orrery = require "orrery"
local folder, number = ...
local f = assert(io.open(folder .. "/n.lua", "w"))
f:write 'node:on("double", function(x) return 2 * x end)'
f:close()
f = assert(io.open(folder .. "/c.lua", "w"))
f:write(([[return orrery.cluster { name = "x", node = "n.lua",
  nodes = { { id = "a", at = "127.0.0.1:%d" } } }]]):format(20000 + number % 10000))
f:close()
local a = assert(orrery.start(folder .. "/c.lua", { id = "a", data = folder .. "/data" }))
print(a:call("double", 21))
END
check "a node runs inside plain lua5.4, and ends with it" [ "$(plain "$work/embed.lua" "$work" $$)" = 42 ]

cat >"$work/connect.lua" <<'END'
print(select(3, require "orrery".connect("127.0.0.1:1", { timeout = 5 })))
END
check "it tells where nobody is to be connected to" [ "$(plain "$work/connect.lua")" = unavailable ]

# A node on a thread of its own, in hosts that leave in every way.
live posix
host() {
    local way=$1 at=$PWD/build/release/lua
    mkdir "$work/$way"
    said=$(LUA_PATH="$at/?.lua;$at/?/init.lua" LUA_CPATH="$at/?.so;$PWD/build/spec/live/?.so" \
        timeout -k 1 60 lua5.4 spec/live/host.lua "$work/$way" $((20001 + $$ % 10000)) "$way" 2>"$work/$way/err")
    status=$?
    rm -rf "$work/$way/data"
    [ "$said" = ok ] && [ $status = "$2" ] || { cat "$work/$way/err"; return 1; }
}
for way in close return exit exit-closed; do
    check "a node has a thread in a host that ends by $way" host $way 0
done
check "and in one that fails" host error 1

for prefix in /usr /usr/local /opt/orrery; do
    DESTDIR="$work/$prefix" cmake --install build/release --prefix $prefix >"$work/log" 2>&1
    check "it installs below $prefix" [ $? = 0 ]
    installed=$work/$prefix$prefix/bin/orrery
    check "and runs from there" [ "$(cd / && "$installed" "$work/try.lua")" = "$(plain "$work/try.lua")" ]
    check "with its commands" sh -c "cd / && '$installed' up --help | grep -q '^usage: orrery up'"
done
finish
