#!/bin/sh
# tidy_planted.sh - tidy.sh sees what it is there for, and nothing else.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
mkdir -p core/base bindings lua/orrery spec/fuzz/corpus examples/kv

x120=$(printf '%0120d' 0)
printf '%s\n' "$x120" "1$x120" "${x120%00}→0" "${x120%0}→0" >core/base/wide.h      # of 120, 121, 120, 121 columns
printf 'a\tb\nc\n' >bindings/tab.c
printf 'a \n\nb\r\n' >lua/orrery/blank.lua
yes x | head -n 800 >core/base/long_enough.c
yes x | head -n 801 | tee core/base/long.c spec/long_test.c >lua/orrery/long.lua
printf '#!/bin/sh\nif\ttrue\n' >examples/kv/script
printf 'a\t\n' | tee spec/fuzz/corpus/input >spec/text                  # neither source
printf '\ta\n\t\n' >spec/tabs.go                                      # a tab is Go's way, at a line's end nobody's
cat >expected <<'END'
bindings/tab.c:1: a tab
core/base/long.c:801: the file is over 800 lines
core/base/wide.h:2: 121 columns
core/base/wide.h:4: 121 columns
examples/kv/script:2: a tab
lua/orrery/blank.lua:1: a trailing blank
lua/orrery/blank.lua:3: a trailing blank
spec/long_test.c:801: the file is over 800 lines
spec/tabs.go:2: a trailing blank
9 breaches
END
"$here/tidy.sh" . >seen && { echo "nothing was seen"; exit 1; }
diff expected seen
: >core/base/wide.h; : >bindings/tab.c; : >lua/orrery/blank.lua; : >core/base/long.c
: >spec/long_test.c; : >spec/tabs.go; : >examples/kv/script
"$here/tidy.sh" . >seen
