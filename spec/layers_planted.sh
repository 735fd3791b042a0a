#!/bin/sh
# layers_planted.sh - layers.sh sees what it is there for: each line of a small tree that breaks a rule, and no other.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
mkdir -p core/base core/consensus/raft core/storage core/loop core/sim core/attic build/lua/orrery

# A line that ends in BAD must be reported, the others must not.
cat >core/base/hash.h <<'C'
#include <orrery/base.h>
#include <orrery/order.h>           /* BAD: above */
C
cat >core/storage/storage.h <<'C'
#include <orrery/world.h>
#include <orrery/loop.h>            /* BAD: above */
C
cat >core/consensus/raft/raft.c <<'C'
#include <orrery/raft.h>
#include <orrery/check.h>
#include "raft.h"
#include "base/hash.h"
#include "../../base/hash.h"
#include "storage/storage.h"        /* BAD: above */
#include "../../storage/storage.h"  /* BAD: the same by another way */
#include <orrery/world.h>           /* BAD: a protocol has no world */
#include "check/inner.h"            /* BAD: another protocol's own */
#  include <lua.h>                  /* BAD: no Lua */
C
: >core/consensus/raft/raft.h
cat >core/loop/loop.c <<'C'
#include <event2/event.h>
#include <orrery/node.h>
#include "storage/storage.h"
#include <orrery/sim.h>             /* BAD: beside */
#include "sim/sim.h"                /* BAD: beside */
C
cat >core/sim/sim.c <<'C'
#include <stdio.h>
#include <event2/event.h>           /* BAD: the loop's */
#include "consensus/raft/raft.h"    /* BAD: a protocol's own */
#include <orrery/nowhere.h>         /* BAD: of no room */
C
echo "/* BAD: a folder without a floor */" >core/attic/attic.c

cat >state.c <<'C'
#include <stdlib.h>
#include <time.h>
int orri_x(void);
int orri_x(void) { return getenv("HOME") ? rand() : (int)time(NULL); }
__attribute__((visibility("default"))) int stray(void);
int stray(void) { return orri_x(); }
C
cc -fPIC -c state.c -o build/x.o
cc -shared build/x.o -o build/liborrery.so
echo "sim build/x.o" >build/objects.txt
for room in base consensus storage loop; do echo "$room /dev/null" >>build/objects.txt; done

"$here/layers.sh" build . >out 2>/dev/null && { echo "nothing was seen"; exit 1; }
grep -rn BAD core | cut -d: -f1,2 | sort >expected
grep -o '^core/[^:]*:[0-9]*' out | sort >seen
diff expected seen
for line in 'x.o: calls getenv' 'x.o: calls rand' 'x.o: calls time' 'liborrery.so: shows' \
    'liborrery.so: may be unloaded' 'core/attic is in no layer'; do
    grep -q "$line" out || { echo "not seen: $line"; cat out; exit 1; }
done
