#!/bin/bash
# 38-prompt.sh - orrery repl in a real terminal: typing, editing, Tab, history, Ctrl-C, Ctrl-Z, Ctrl-D.
#
# tmux is the terminal: keys go in, the screen comes out. Nothing is waited for but what must appear on it.
set -u
. spec/stages/common.sh
. examples/packages.sh
packages_install tmux || exit 1

program=${ORR_PROGRAM:-$PWD/build/asan/orrery}
under=$PWD/spec/asan
work=$(mktemp -d)
socket=orrery-prompt-$$
mux() { tmux -L "$socket" -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; rm -rf "$work"' EXIT

# terminal COMMAND: in a shell of its own that has jobs, 80 columns by 24, with a home of its own and no locale.
terminal() {
    mux new-session -d -x 80 -y 24 "env -u XDG_STATE_HOME -u LANG -u LC_CTYPE LC_ALL=C HISTFILE= HOME='$work' \
        PS1='shell: ' bash --norc --noprofile -i"
    typed "$1"
}
keys() { mux send-keys "$@"; }
# typed TEXT: and Enter.
typed() { keys -l "$1" && keys Enter; }
screen() { mux capture-pane -p; }
# shows PATTERN: within 15 s some line of the screen matches all of it.
shows() {
    local i
    for i in $(seq 300); do
        screen | grep -qxE -- "$1" && return
        sleep 0.05
    done
    echo "no line '$1' on:"
    screen | sed 's/^/    /'
    return 1
}
clear_screen() { keys C-l && shows "${1:->.*}"; }

terminal "'$under' '$program' repl"
check "it greets, and has a prompt" shows '>'
check "and says what helps" shows 'orrery .*help\(\) lists what there is; Ctrl-D leaves\.'

# -- Typing, editing --------------------------------------------------------------------------------------------------
typed '20 + 22'
check "an expression is shown" shows '42'
keys -l '"grüß'
keys Left Left
keys -l 'o'
keys End
typed '"'
check "a line is edited, beyond ASCII too, in a C locale" shows '"groüß"|"gro_+"'
typed 'nil, "a knows no leader", "no_leader"'
check "a failure is one line" shows 'nil   a knows no leader   no_leader'
typed 'for i = 1, 2 do'
check "an open block goes on with another prompt" shows '>>'
typed 'print("line " .. i)'
typed 'end'
check "and runs when it is closed" shows 'line 2'
typed 'error "boom"'
check "an error is told" shows 'prompt:1: boom'
typed 'x = 5'
typed 'x * 1000'
check "and not the end; variables stay" shows '5000'

# -- Tab --------------------------------------------------------------------------------------------------------------
clear_screen
keys -l 'orrery.topo'
keys Tab
keys -l '.ri'
keys Tab
typed '():draw { "a", "b" }'
check "Tab completes fields, and text is shown as it is" shows '  b o \.'
clear_screen
keys -l 'orrery.topology.'
keys Tab
check "it lists where several fit" shows '.*line +links +mesh.*'
check "and gives the line back" shows '> orrery\.topology\.'
keys C-u
keys -l 'orrery.topology.mesh():l'
keys Tab C-u
keys -l 'm = orrery.topology.mesh()'
keys Enter
keys -l 'type(m:li'
keys Tab
typed ')'
check "methods" shows '.*m:list\)'
keys -l 'dofile("exa'
keys Tab
keys -l 'pack'
keys Tab
check "file names in strings" shows '> dofile\("examples/packages\.sh"'
keys C-c
clear_screen
keys -l 'help "orrery.sh'
keys Tab Enter
check "topics of help" shows 'orrery\.show\(value\) -> text'

# -- Ctrl-C -----------------------------------------------------------------------------------------------------------
clear_screen
typed 'print "on it" while true do end'
shows 'on it' && keys C-c
check "Ctrl-C ends a computation" shows 'prompt:1: interrupted'
clear_screen
typed 'print "on it" coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()'
shows 'on it' && keys C-c
check "in a coroutine, with pcall around it" shows '.*interrupted'
typed 'x * 1001'
check "and keeps the state" shows '5005'
clear_screen
typed 'print "on it" io.read()'
shows 'on it' && keys C-c
check "it ends a read" shows 'prompt:1: interrupted'
clear_screen
keys -l 'some of a line'
shows '> some of a line' && keys C-c
check "it drops a line" shows '> some of a line\^C'
typed 'f('
shows '>>'
keys C-c
typed 'x * 1002'
check "and a block" shows '5010'

# -- A cluster --------------------------------------------------------------------------------------------------------
keys C-c
keys C-d
shows 'shell:'
typed "clear; '$under' '$program' repl examples/kv/cluster.lua --seed 3"
check "a cluster has a greeting" shows 'kv: 3 nodes, seed 3\. sim is the simulation; a, b, c are .*'
check "and its time for a prompt" shows '0\.000>'
typed 'sim:run(1); sim'
check "runs it" shows 'kv  seed 3  t 1\.000 .*'
check "which goes on" shows '1\.000>'
keys -l 'sim:cut("a", "b'
keys Tab
typed '); sim:matrix()'
check "cuts it" shows '  a  \. x o'
clear_screen '1\.0.*>'
keys -l 'b:stat'
keys Tab
typed '().state'
check "each node is a variable" shows '"up"'
keys -l 'sim:pa'
keys Tab
keys -l 'r'
keys Tab
check "Tab knows its verbs" shows '1\.000> sim:partition'
keys C-c
clear_screen '1\.0.*>'
typed 'print "on it" sim:run(1e6)'
shows 'on it' && keys C-c
check "Ctrl-C ends a run" shows 'prompt:1: interrupted'
typed '"kept " .. tostring(sim:now() > 1 and sim:now() < 1e6)'
check "and keeps the state" shows '"kept true"'
typed 'sim:run(0.5); "on"'
check "which goes on from there" shows '"on"'
keys C-d
shows 'shell:'
typed "clear; '$under' '$program' repl"
shows '>'
typed 'x = 5'

# -- Jobs -------------------------------------------------------------------------------------------------------------
clear_screen
keys -l 'x * 10'
shows '> x \* 10'                                          # what the terminal has not handed over is lost then
keys C-z
check "Ctrl-Z gives the terminal back" shows '.*Stopped.*'
typed 'fg'
check "coming back, the line is there" shows '> x \* 10'
typed '03'
check "and goes on" shows '5015'
mux resize-window -x 60 -y 20
typed 'orrery.show(x)'
check "another size is no matter" shows '"5"'

# -- History ----------------------------------------------------------------------------------------------------------
clear_screen
keys Up Up
check "Up brings back what was typed" shows '> x \* 1003'
keys C-c C-u
keys C-d
check "Ctrl-D leaves" shows 'shell:'
typed 'echo "status $?"'
check "with status 0" shows 'status 0'
typed "clear; '$under' '$program' repl"
check "it comes up again" shows '>'
keys Up Up
check "with the lines of the last time" shows '> x \* 1003'
keys C-c
keys C-c
check "Ctrl-C on nothing asks" shows '.*again, or Ctrl-D, to leave.*'
keys C-c
check "and twice leaves" shows 'shell:'
history=$work/.local/state/orrery/history
check "a block is one line of the history" grep -qx 'for i = 1, 2 do print("line " .. i) end' "$history"
check "what was edited is there as it was shown" grep -qx '"groüß"' "$history"
check "it is its owner's alone" [ "$(stat -c %a "$history")" = 600 ]
check "as is its folder" [ "$(stat -c %a "${history%/*}")" = 700 ]
typed "clear; '$under' '$program' repl; echo ended \$?"
shows '>'
typed '"pid " .. require "orrery.core".process.pid()'
shows '"pid [0-9]+"'
keys -l 'half a line'
kill -TERM "$(screen | sed -n 's/^"pid \([0-9]*\)"$/\1/p')"
check "SIGTERM ends it" shows 'ended 143'
typed 'stty -a | tr " ;" "\n\n" | grep -x icanon'
check "and the terminal is as it was" shows 'icanon'

# -- A live cluster ---------------------------------------------------------------------------------------------------
ports=$((230 + $$ % 20))
cat >"$work/live.lua" <<END
return orrery.cluster { name = "live", node = "node.lua", timing = { call = 60 }, nodes = {
  { id = "a", at = "127.0.0.1:${ports}01" }, { id = "b", at = "127.0.0.1:${ports}02" } } }
END
cat >"$work/node.lua" <<'END'
local answer = 42
node:on("slow", function() node:channel():get() end)
node:on("answer", function() return answer end)
node:on("later", function() node:sleep(2) node.state.x = 7 end)
END
"$under" "$program" up "$work/live.lua" --data "$work/data" >"$work/up" 2>&1 &
up=$!
trap 'mux kill-server 2>/dev/null; kill $up 2>/dev/null; wait $up; rm -rf "$work"' EXIT
for _ in $(seq 1200); do
    grep -qx ready "$work/up" && break
    sleep 0.05
done
mux resize-window -x 100 -y 24
typed "clear; '$under' '$program' repl --connect 127.0.0.1:${ports}01"
check "a live cluster has a greeting" \
    shows "live: connected to a at 127\.0\.0\.1:${ports}01, which is live; a, b are its .*"
check "and its name for a prompt" shows 'live>'
keys -l 'b:ev'
keys Tab
typed ' "answer, node.id"'
check "Tab knows the verbs, the node what its handlers see" shows '42   "b"'
clear_screen 'live>'
typed 'print "on it" a:call "slow"'
shows 'on it' && keys C-c
check "Ctrl-C ends a wait" shows '.*interrupted'
clear_screen 'live>'
typed 'a:watch "b.state.x"'
check "what is watched is named" shows 'orrery\.watch\(b\.state\.x = nil\)'
typed 'b:cast "later"'
keys -l '"half a'
check "its changes are told above the line" shows '[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}  b\.state\.x  nil -> 7'
check "which stays as it was" shows 'live> "half a'
typed ' line"'
check "and goes on" shows '"half a line"'
typed 'a:call "answer"'
check "and the connection is usable" shows '42'
keys C-d
check "Ctrl-D leaves it" shows 'shell:'
check "and the cluster runs" kill -0 $up
finish
