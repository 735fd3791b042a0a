#!/bin/sh
# 20-lua.sh - the Lua specs, by the program itself: it has Lua and the sanitizers' runtime inside, nothing to preload.
exec spec/asan timeout -k 5 900 build/asan/orrery /usr/bin/busted --output=spec/lines.lua --pattern=_spec spec
