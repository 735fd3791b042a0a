#!/bin/sh
# tidy.sh [TREE] - the form of the sources in core/, bindings/, lua/, spec/ and examples/: no line over 120 columns, no
# tab (but in Go), no trailing blank, no carriage return; no file of core/, bindings/ or spec/ over 800 lines.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 2
breaches=$(mktemp) || exit 2
trap 'rm -f "$breaches"' EXIT

# C, Lua, Python and Go by their names; scripts by those, or by how they begin.
sources() {
    find core bindings lua spec examples -path spec/fuzz/corpus -prune -o \
        \( -name '*.[ch]' -o -name '*.lua' -o -name '*.sh' -o -name '*.py' -o -name '*.go' \) -type f -print
    find spec examples -path spec/fuzz/corpus -prune -o -type f ! -name '*.*' -exec grep -l '^#!' {} +
}

# In bytes, so that every awk counts alike: what continues a UTF-8 character takes no column.
sources | sort -u | LC_ALL=C xargs awk '
    function breach(what) { print FILENAME ":" FNR ": " what }
    FNR == 801 && FILENAME !~ /^(lua|examples)\// { breach("the file is over 800 lines") }
    /\t/ && FILENAME !~ /\.go$/ { breach("a tab") }
    /[ \t\r]$/ { breach("a trailing blank") }
    { gsub(/[\200-\277]/, "") }
    length($0) > 120 { breach(length($0) " columns") }' >"$breaches" || exit 2
cat "$breaches"
echo "$(wc -l <"$breaches") breaches"
[ ! -s "$breaches" ]
