#!/bin/bash
# 35-quickstart.sh - examples/quickstart as a user runs it, and with --stay.
set -u
. spec/stages/common.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

quickstart() { timeout -k 5 300 examples/quickstart "$@" >"$work/out" 2>"$work/err"; }

quickstart
check "quickstart holds" [ $? = 0 ]
check "it says so" grep -q 'nothing that was acknowledged is lost' "$work/out"
check "each node has every acknowledged write" [ "$(grep -c '^node [abc] has all [0-9]*$' "$work/out")" = 3 ]
check "it says nothing on stderr" [ ! -s "$work/err" ]
[ ! -s "$work/err" ] || cat "$work/err"

quickstart --stay
check "quickstart --stay holds" [ $? = 0 ]
port=$(sed -n 's/.*redis-cli -p \([0-9]*\) .*/\1/p' "$work/out")
pids=$(sed -n 's/^stop it with:  kill \([0-9 ]*\);.*/\1/p' "$work/out")
folder=$(sed -n 's/.*its files are in //p' "$work/out")
exec 9<>"/dev/tcp/127.0.0.1/$port"
printf 'GET order:1\r\n' >&9
read -r -t 5 -u 9 _ && read -r -t 5 -u 9 value
check "what it said to try works" [ "${value%$'\r'}" = "value 1" ]
kill $pids
ended() { ! kill -0 $pids 2>/dev/null; }
for _ in $(seq 300); do
    ended && break
    sleep 0.05
done
check "what it said stops it" ended
rm -rf "$folder"

quickstart --sty
check "a wrong argument is 2" [ $? = 2 ]
finish
