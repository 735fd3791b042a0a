#!/bin/sh
# tidy.sh [TREE] - the form of the sources in core/, bindings/ and lua/: no line over 120 columns, no tab, no trailing
# blank, no carriage return; no file of core/ or bindings/ over 800 lines.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 2
breaches=$(mktemp) || exit 2
trap 'rm -f "$breaches"' EXIT

# In bytes, so that every awk counts alike: what continues a UTF-8 character takes no column.
find core bindings lua \( -name '*.[ch]' -o -name '*.lua' \) -type f | sort | LC_ALL=C xargs awk '
    function breach(what) { print FILENAME ":" FNR ": " what }
    FNR == 801 && FILENAME !~ /^lua\// { breach("the file is over 800 lines") }
    /\t/ { breach("a tab") }
    /[ \t\r]$/ { breach("a trailing blank") }
    { gsub(/[\200-\277]/, "") }
    length($0) > 120 { breach(length($0) " columns") }' >"$breaches" || exit 2
cat "$breaches"
echo "$(wc -l <"$breaches") breaches"
[ ! -s "$breaches" ]
