#!/bin/sh
# 57-restart.sh - going and coming back: nodes leave soon, replay long logs, and fall back where a snapshot is damaged.
#
#   ORR_LONG=1      three million writes to replay
set -u
. spec/stages/common.sh
live restart
tally build/spec/live/restart build/release/orrery
finish
