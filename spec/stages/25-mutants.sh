#!/bin/sh
# 25-mutants.sh - the planted bugs still fit the tree; with ORR_LONG=1 each is planted, and caught by the simulator.
set -u
. spec/stages/common.sh
. examples/packages.sh
packages_install patch || exit 1

for mutant in spec/mutants/*.patch; do
    check "$(basename "$mutant" .patch) applies" patch -p1 -s -f --dry-run -i "$mutant"
done
for change in spec/mutants/harmless/*.patch; do
    check "$(basename "$change" .patch), which is harmless, applies" patch -p1 -s -f --dry-run -i "$change"
done
for part in spec/mutants/without/*.patch; do
    check "the laboratory without $(basename "$part" .patch) applies" patch -p1 -s -f --dry-run -i "$part"
done
if [ "${ORR_LONG:-0}" = 1 ]; then
    tally spec/mutants/run
    tally spec/mutants/run --harmless
fi
finish
