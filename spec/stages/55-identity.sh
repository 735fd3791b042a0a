#!/bin/sh
# 55-identity.sh - who may be what: locks, founding, voters that lost their memory, drift, orphans, damaged logs.
set -u
. spec/stages/common.sh
live identity
tally build/spec/live/identity build/release/orrery
finish
