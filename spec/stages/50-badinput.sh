#!/bin/sh
# 50-badinput.sh - strangers, greedy clients, silent nodes, full disks: what a live cluster has to bear.
set -u
. spec/stages/common.sh
. examples/packages.sh
packages_install iproute2 || exit 1
live badinput silence fulldisk
if [ "$(id -u)" = 0 ]; then root=; else root=r; fi          # who has no rights may be root in a namespace of his own
tally build/spec/live/badinput build/release/orrery
tally spec/asan build/spec/live/badinput build/asan/orrery protocol endless garbage byte strangers visitor both
tally unshare -${root}n build/spec/live/silence build/release/orrery
tally unshare -${root}m build/spec/live/fulldisk build/release/orrery
finish
