#!/bin/sh
# tidy_planted.sh - tidy.sh sees what it is there for, and nothing else.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"
mkdir -p core/base bindings lua/orrery

x120=$(printf '%0120d' 0)
printf '%s\n' "$x120" "1$x120" "${x120%00}→0" "${x120%0}→0" >core/base/wide.h      # of 120, 121, 120, 121 columns
printf 'a\tb\nc\n' >bindings/tab.c
printf 'a \n\nb\r\n' >lua/orrery/blank.lua
yes x | head -n 800 >core/base/long_enough.c
yes x | head -n 801 | tee core/base/long.c >lua/orrery/long.lua
cat >expected <<'END'
bindings/tab.c:1: a tab
core/base/long.c:801: the file is over 800 lines
core/base/wide.h:2: 121 columns
core/base/wide.h:4: 121 columns
lua/orrery/blank.lua:1: a trailing blank
lua/orrery/blank.lua:3: a trailing blank
6 breaches
END
"$here/tidy.sh" . >seen && { echo "nothing was seen"; exit 1; }
diff expected seen
: >core/base/wide.h; : >bindings/tab.c; : >lua/orrery/blank.lua; : >core/base/long.c
"$here/tidy.sh" . >seen
