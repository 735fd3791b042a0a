-- script_fuzz.lua - random node scripts, made from a grammar: the same seed gives the same script in every process.
--
-- A template's $names are expanded by the grammar's rules; where an expansion is deep, by each rule's first choice,
-- which is a leaf. All code is built so that it compiles: its variables are the ones that `prelude` declares.
local grammar = {
  block = { "$note", "$stat\n$stat", "$stat\n$stat\n$stat", "$stat\n$note" },
  note = { "note($e)", "note($e)", "note($e, $e)", "note($op)", "note(pcall(function() $block return $e end))" },
  stat = {
    "$v = $e", "t[$k] = $e", "u[#u + 1] = $e", "s[$k] = $plain", "s[$k] = $plain", "s[$word] = $plain", "$note",
    "pcall(function() $block end)", "pcall(function() $block end)", "if $e then $block else $block end",
    "for i = $int, $int, $int do $note if count() then break end end",
    "for k, v in pairs($t) do $block if count() then break end end",
    "for k, v in next, $t do $note if count() then break end end",
    "for k, v in pairs(t) do t[$k] = $plain note(k) if count() then break end end",
    "for k, v in pairs(t) do t[k] = nil t[$k] = v note(k, v) if count() then break end end",
    "for i, v in ipairs($t) do $block if count() then break end end",
    "for w, x in ($s):gmatch($p) do note(w, x) if count() then break end end",
    "while $e do $block if count() then break end end", "repeat $block until count() or $e",
    "do for i = 1, 3 do if $e then goto l# end $block ::l#:: end end",
    "do local i = 0 ::l#:: i = i + 1 $note if i < 3 then goto l# end end",
    "local r <const> = $e note(r)", "$closing", "$escape", "$escape", "$hog", "$smuggle", "$weird",
    "table.sort(t, function(x, y) return $compare end) note(t)", "table.sort(u) note(u)", "table.insert(t, $e)",
    "table.insert(t, $int, $e)", "note(table.remove(t, $int))", "table.move(t, $int, $int, $int, u)",
    "f = function(...) $block return $e, ... end", "f = function(n) return n == 0 and $e or f(n - 1) end",
    "co = coroutine.create(function(...) $block note(coroutine.yield($e)) $block return $e end)",
    "note(coroutine.resume(co, $e))", "note(coroutine.close(co))", "note(coroutine.status(co))",
    "setmetatable($table, $meta)", "t = setmetatable({ $fields }, $meta)", "u = setmetatable($table, $meta)",
    "note(t $binary u)", "note(#t)", "note(t($e))", "note(xpcall(f, function(m) $block return m end, $e))",
    "error($e)", "error($e, $small)", "error(setmetatable({}, $meta))", "assert($e, $e)", "do return $e end",
    "local ok, m = pcall(error, $e) note(ok, m)", "note(select($int, $e, $e, $e))", "s[$k] = nil",
    "s.list = s.list or {}",
    "if s.list then s.list[#s.list + 1] = $plain end", "m[$key] = $plain",
    "for k, v in pairs(m) do note(k) m[$key] = v"
      .. " if count() then break end end", "for k, v in m:range($key, $key) do note(k, v) m[k] = nil end",
  },
  closing = {
    "do local x <close> = setmetatable({}, { __close = function(_, e) note(e) $block end }) $block end",
    "for k, v in next, t, nil, setmetatable({}, { __close = function() note(1) end }) do break end",
  },
  e = {
    "a", "$v", "$v", "$int", "$number", "$s", "$table", "$f", "nil", "true", "false", "s[$k]", "t[$k]", "op[$k]",
    "($e $binary $e)", "($e $binary $e)", "not $e", "- $e", "~ $e", "#$t", "f($e)", "t.x", "t:x($e)", "$call",
    "$call", "$call",
    "(function(...) $block return $e end)($e)", "$e == $e", "$e and $e", "$e or $e", "m[$key]", "#m",
  },
  call = {
    "tostring($e)", "tonumber($s)", "tonumber($s, $small)", "type($e)", "math.type($e)", "next($t)", "next($t, $k)",
    "rawget($t, $k)", "rawlen($t)", "rawequal($e, $e)", "select('#', $e, $e)", "pcall($f, $e)",
    "pcall(pcall, $f, $e)",
    "($s):find($p)", "($s):find($p, $int)", "($s):match($p)", "($s):gsub($p, $s)", "($s):gsub($p, $f)",
    "($s):gsub($p, $table)", "($s):rep($small)", "($s):rep($small, $s)", "($s):sub($int, $int)",
    "($s):byte($int, $int)",
    "($s):upper()", "($s):reverse()", "#($s)", "string.char($small, $small)", "string.format($format, $e, $e, $e)",
    "string.pack($pack, $e, $e)", "string.unpack($pack, $s)", "string.packsize($pack)", "table.concat($t, $s)",
    "table.concat($t, $s, $int, $int)", "table.unpack($t)", "table.unpack($t, $int, $small)", "table.pack($e, $e)",
    "utf8.char($small, $small)", "utf8.len($s)", "utf8.codepoint($s, $int, $int)", "utf8.offset($s, $int)",
    "math.floor($number)", "math.tointeger($e)", "math.fmod($e, $e)", "math.max($number, $number)",
    "math.ult($int, $int)", "math.modf($number)", "math.sqrt($number)", "math.abs($int)", "math.random()",
    "math.random($small)", "math.random($int, $int)", "load($code)", "load($code, $s)",
    "load($code, $s, 't', $table)",
    "coroutine.wrap(function() $block return $e end)()", "coroutine.wrap($f)($e)", "coroutine.isyieldable()",
    "getmetatable($e)", "setmetatable($table, $meta)", "orrery.pack($e)", "orrery.unpack(orrery.pack($plain))",
    "orrery.unpack($s)", "orrery.hash($plain)", "orrery.hash($e)", "orrery.show($e)", "helper($e, $e)",
    "constants[$k]",
    "load('return function(...) return ... end')()($e)", "coroutine.running()", "#table.pack(pcall($f, $e))",
  },
  t = { "t", "t", "u", "s", "op", "$table", "constants", "string", "_G", "_ENV", "math", "orrery" },
  table = {
    "{}", "{ $e, $e, $e }", "{ $fields }", "{ $fields, $e }", "{ 1, 2, nil, 4 }", "{ n = $e }", "t", "u",
    "{ [1] = 1, [2] = 2, [4] = 4 }", "{ 3, 1, 2, 'x' }", "{ $call }",
  },
  fields = { "x = 1", "[$k] = $e", "[$k] = $e, [$k] = $e", "x = $e, [$k] = $e", "a = $plain, b = $plain, $fields" },
  plain = { "1", "$int", "$number", "$s", "true", "{}", "{ $plain, $plain }", "{ x = $plain, [$int] = $plain }", "$s" },
  k = { "1", "$int", "$small", "$word", "$word", "$word", "$number", "true", "false", "$s", "t", "$e", "2^53",
    "0/0", "nil" },
  key = { "1", "$int", "$word", "$word", "$s", "$number", "true" },
  word = { "'x'", "'y'", "'z'", "'n'", "'list'", "'name'", "'__index'", "'__call'", "'__newindex'", "'k' .. $small" },
  s = {
    "'x'", "'abc'", "''", "('ab'):rep($small)", "'hello, world 42'", "'\\0\\1\\255'", "tostring($e)", "'%d+'",
    "op[1]",
    "'k=v; k2=v2'", "($s .. $s)", "'10'", "'0x10'", "'1e1'", "'  7  '", "'nan'", "string.format('%q', $number)",
    "op.name",
  },
  int = {
    "1", "0", "-1", "2", "3", "$small", "math.maxinteger", "math.mininteger", "- $small", "1 << $small", "#t", "op.n",
    "2147483648", "9007199254740993", "$small // 3",
  },
  small = { "1", "2", "3", "5", "8", "13", "21", "40", "100", "0" },
  number = {
    "1.5", "$int", "0.1", "-0.0", "1e300", "1e-300", "1/0", "-1/0", "0/0", "2^53", "2^63", "-2^63", "1.0", "3.0",
    "$number * $number", "$number + $int", "$int // $number", "$int % $number", "$int / $int", "0x1p-1074", "1e15",
    "123456.789",
  },
  binary = {
    "+", "-", "*", "/", "//", "%", "^", "..", "..", "==", "~=", "<", "<=", ">", ">=", "&", "|", "~", "<<", ">>",
    "and", "or",
  },
  f = {
    "f", "function(...) return ... end", "function(x, y) $block return $e end", "function() error($e) end",
    "tostring",
    "type", "error", "pairs", "next", "string.rep", "string.format", "math.floor", "table.unpack", "setmetatable",
    "pcall",
    "coroutine.yield", "coroutine.running", "rawset", "load", "select", "helper", "coroutine.wrap($f)",
    "table.concat",
    "function() return f() end", "table.sort", "string.gsub", "orrery.pack", "orrery.show",
  },
  v = { "a", "b", "c", "d", "t", "u", "f", "a", "b", "c" },
  compare = { "x < y", "tostring(x) < tostring(y)", "true", "$e", "note(x) or #tostring(x) > #tostring(y)", "x ~= y",
    "(t or s)[x] == nil" },
  p = {
    "'.'", "'%w+'", "'(%w+)=(%w*)'", "'^%s*(.-)%s*$'", "'[^,]*'", "'%b()'", "'%f[%w]%w+'", "'()'", "'(.)%1'", "'.-b'",
    "'[a-'", "'%'", "'('", "'%g*'", "'[%a_][%w_]*'", "'a*a*a*a*a*b'", "'(.-)(.-)(.-)(.-)x'", "$s", "'^'", "'$'",
    "'x?y?'",
    "'[]]'", "'[^]'", "'%z'", "'\\0'", "('a*'):rep($small)", "('(a'):rep($small)", "'%' .. $s",
  },
  format = {
    "'%s'", "'%s %s %s'", "'%d'", "'%5.2f'", "'%g'", "'%q'", "'%x'", "'%p'", "'%p %p'", "'%c'", "'%a'", "'%i %s'",
    "'%10.3s'", "'%%'",
    "'%-5s|'", "'%y'", "'%'", "$s", "'%99.99f'", "'%s%p%s'", "'%.14g'", "'%20p'",
  },
  pack = {
    "'i4'", "'<i8'", "'z'", "'s1'", "'!8i1i8'", "'d'", "'f'", "'j'", "'I16'", "'Xi4'", "'c5'", "'>s2'", "'b'", "$s",
    "'i17'",
    "'c9999999999'", "'c' .. $int", "'n'", "'<!3i3'",
  },
  code = {
    "'return 1'", "'return ...'", "'x = 1'", "'return x'", "'return os'", "'return function() return _ENV end'",
    "'while true do end'", "'syntax ! error'", "'return {' .. ('{'):rep($small) .. ('}'):rep($small) .. '}'",
    "'local x <close> = 1'", "'return debug, io, os'", "'\\27Lua'", "function() return nil end",
    "function() return $s end",
    "'goto x'", "('('):rep(1000)", "'return ' .. ('-'):rep(1000) .. '1'", "('x='):rep(99)",
    "function() $block return nil end",
    "'return ' .. ('a.'):rep(300) .. 'b'", "'return ' .. ('1 .. '):rep(300) .. '1'",
  },
  meta = {
    "{}", "{ $event }", "{ $event, $event }", "{ $event, $event, $event }", "t", "{ __index = $table, $event }",
  },
  event = {
    "__index = function(_, k) $block return $e end", "__newindex = function(x, k, v) rawset(x, k, v) note(k) end",
    "__eq = function(x, y) $block return $e end", "__lt = function(x, y) $block return $e end",
    "__le = function() return $e end",
    "__concat = function(x, y) $block return $e end", "__call = function(x, ...) $block return ... end",
    "__len = function() return $e end", "__tostring = function() return $s end",
    "__tostring = function() $block return $e end",
    "__name = $e", "__metatable = $e", "__pairs = function(x) $block return next, x, nil end",
    "__add = function() return $e end",
    "__unm = function() return $e end", "__close = function() $block end", "__mode = 'k'", "__gc = function() end",
    "__index = t", "__newindex = u", "__idiv = f", "__shl = f", "__tostring = function() while true do end end",
    "__index = function(x, k) return x[k] end", "__call = t", "__tostring = function() return t end", "__name = 'x'",
  },
  escape = {
    "note(getmetatable(''))", "note(('').dump)", "note(type(('').dump))",
    "note(pcall(function() return ('').dump(f) end))",
    "note(pcall(function() return os end))", "note(pcall(function() return debug.getregistry() end))",
    "note(pcall(function() return io.open('/etc/passwd') end))", "note(rawget(_G, 'os'), rawget(_G, 'node'))",
    "note(pcall(require, 'os'))", "note(pcall(require, 'orrery.core'))", "note(pcall(require, '../secret'))",
    "note(pcall(require, 'orrery'))", "note(pcall(setmetatable, _G, {}))", "note(pcall(rawset, _G, 'leak', 1))",
    "note(pcall(rawset, string, 'rep', print))", "note(pcall(rawset, _ENV, 'pairs', next))",
    "note(getmetatable(_ENV))",
    "note(pcall(function() return node.state end))", "note(pcall(function() return node.id end))",
    "note(pcall(print, $e))",
    "note(pcall(function() return orrery.sim end))",
    "note(pcall(function() return orrery.raft { id = 'a', voters = { 'a' } } end))",
    "note(pcall(function() return orrery.cluster { name = 'x' } end))",
    "note(pcall(function() return orrery.topology end))",
    "note(pcall(function() return collectgarbage 'count' end))",
    "note(pcall(function() local _ENV = { note = note } return pairs end))",
    "note(pcall(load, '\\27LuaS', 'x', 'b'))",
    "note(pcall(coroutine.wrap(coroutine.yield)))", "note(pcall(coroutine.close, coroutine.running()))",
    "note(pcall(coroutine.resume, coroutine.running()))", "note(pcall(coroutine.yield, 1))",
    "note(pcall(setmetatable, orrery, {}))",
    "note(pcall(table.insert, string, 1))", "note(pcall(table.move, { 1 }, 1, 1, 1, math))", "note(next(_G))",
    "note(next(string))",
    "note(pcall(getmetatable(orrery.map()) and f or type))", "note(tostring(node))", "note(pcall(math.sin, 1))",
    "note(pcall(function() for k, v in pairs(_G) do note(k) end end))", "note(reach())", "note(reach())",
    "note(reach($e))",
    "note(pcall(function() return package.loaded end))", "note(pcall(dofile, 'x'))",
    "note(pcall(function() return m.x end))",
    "note(pcall(function() return group end))", "note(orrery.version)",
    "note(pcall(orrery.unpack, ('\\xdd'):rep(99)))",
    "note(pcall(function() return orrery.resp end))", "note(pcall(node.spawn, node, print))",
    "note(tostring(note), ('%p'):format(f))",
  },
  hog = {
    "while true do $note end", "repeat until false", "pcall(function() while true do end end)",
    "local function r() return r() + 1 end note(pcall(r))",
    "local function r() return pcall(r) end note(r())", "local x = 'x' for i = 1, 40 do x = x .. x end",
    "note(pcall(string.rep, 'x', 1 << 40))", "note(pcall(string.rep, 'abc', 1 << 22))",
    "for i = 1, 1e9 do t[i] = i end",
    "for i = 1, 1e9 do u['k' .. i] = i end",
    "note(pcall(function() local x = {} for i = 1, 1e9 do x = { x } end end))",
    "note(pcall(string.find, ('a'):rep(60), ('a*'):rep(30) .. 'b'))",
    "note(pcall(table.concat, t, ('x'):rep(1 << 20)))",
    "local w w = coroutine.wrap(function() return w() end) note(pcall(w))",
    "local function w() return coroutine.wrap(w)() end note(pcall(w))",
    "for i = 1, 1e6 do coroutine.wrap(coroutine.yield)() end", "while true do pcall(string.rep, 'x', -1) end",
    "setmetatable(t, { __index = function(x, k) return x[k .. 'x'] end }) note(pcall(function() return t.y end))",
    "while next(t) do t[next(t)] = nil end",
    "local x = {} for i = 1, 3e4 do x['k' .. i] = i end for i = 1, 3e4 do x[next(x)] = nil end",
    "note(pcall(table.unpack, {}, 1, 1e7))", "note(pcall(string.format, '%99999d', 1))",
    "note(pcall(table.move, t, 1, 1 << 60, 2))",
    "xpcall(function() while true do end end, function() while true do end end)",
    "note(pcall(load, function() while true do end end))",
    "do local x <close> = setmetatable({}, { __close = function() while true do end end }) end",
    "note(pcall(table.sort, { 3, 2, 1 }, function() while true do end end))",
    "note(pcall(string.rep, 'x', 3e6)) note(pcall(string.rep, 'x', 6e6))",
    "note(pcall(load, 'return ' .. ('{'):rep(190) .. ('}'):rep(190)))", "note(pcall(xpcall, error, error))",
    "note(xpcall(error, function(e) error(e) end, 'x'))",
    "note(pcall(string.gsub, ('x'):rep(1e5), '.', ('y'):rep(100)))",
    "note(pcall(error, 'not enough memory', 0))",
    "local x = {} setmetatable(x, x) x.__call = x note(pcall(x))", "note(pcall(string.rep, '', 1 << 60))",
    "note(pcall(table.insert, setmetatable({}, { __len = function() return 1 << $small end }), 1, 2))",
    "local x = 0 local y = setmetatable({}, { __len = function() x = x + 1 return x << $small end }) "
      .. "note(pcall(table.remove, y, 1))",
    "note(pcall(string.find, ('b'):rep(1000), '%f[' .. ('a'):rep(1 << 18) .. ']'))",
    "note(pcall(orrery.pack, { ('x'):rep(1 << 20), t }))", "note(pcall(orrery.unpack, ('\\x91'):rep(1 << 20)))",
    "local x = setmetatable({}, t) t.__close = function(_, e) note(e) error(e) end "
      .. "pcall(function() local y <close> = x $block end)",
    "local x = {} for i = 1, 3000 do x = setmetatable({}, { __index = x }) end note(pcall(function() return x.y end))",
    "note(coroutine.wrap(function() return pcall(string.rep, 'x', 7e6) end)())",
  },
  weird = {
    "note(1 < 1.5, 1 == 1.0, math.maxinteger + 0.0 == math.maxinteger, math.maxinteger < math.maxinteger + 0.0)",
    "note(pcall(function() return 1 // 0 end), 1 // 0.0, -1 // 0.0, 5 % -3, -5 % 3, 5.5 % "
      .. "-2, -0.0, 1 % (1/0), -1 % (1/0))",
    "note(math.mininteger // -1, math.mininteger % -1, 1 << 63, 1 << 64, 1 >> -1, -1 >> "
      .. "1, '10' + 5, '0x10' * 1, 10 .. 20)",
    "note(pcall(function() return 2^53 | 0, 2^64 | 0 end), pcall(function() return '1.5' | 0 end))",
    "note(tostring(1e15), tostring(1e16), 1e100, 0.1, 1/3, -(0/0) ~= -(0/0), 3 | 0.0, math.tointeger('8'))",
    "local x = {} x[1.0] = 'a' x[2^53] = 'b' note(x, x[1], next(x))", "local x = { 1, 2, 3 } x[2] = nil note(x)",
    "note(string.format('%q', 1/3), string.format('%q', math.mininteger), string.format('%5s|%-5s|', 'a', 'b'))",
    "note(tostring(print), tostring(print), tostring({}), tostring(function() end), tostring(co))",
    "local x = {} for i = 1, 20 do x[#x + 1] = { i % 3, i } end table.sort(x, function(p, "
      .. "q) return p[1] < q[1] end) note(x)",
    "local x = {} for i = 10, 1, -1 do x[i] = i x[-i] = i x['s' .. i] = i x[i + 0.5] = i end x[true] = 1 note(x)",
    "local x = {} for i = 1, 10 do x[i] = i end for k in pairs(x) do x[k + 1] = nil x[k + 20] = 1 note(k) end",
    "local k, v = next(t) while k ~= nil do t[k] = nil k, v = next(t, k) if count() then break end end",
    "note(select(-1, 1, 2, 3), pcall(select, 0), #'\\u{7FFFFFFF}', '\\x41\\65\\z  B', "
      .. "[[\nx]], 0x.8p1, 0xffffffffffffffffff)",
  },
  smuggle = {
    "note(pcall(function() string.leak = 1 end))", "note(pcall(function() leak = 1 end))",
    "note(leaked and leaked.n)",
    "note(pcall(function() orrery.leak = 1 end))", "note(pcall(function() getmetatable('').leak = 1 end))",
    "note(('').leak)", "note(pcall(function() return string.leak end))",
    "note(pcall(setmetatable, string, { leak = 1 }))",
    "note(pcall(function() node.state.x = 1 end))", "note(pcall(rawset, _G, 'leak', 1))",
    "note(pcall(math.randomseed or type, 1))",
    "$smuggled", "$smuggled",
  },
  smuggled = { "note(1)" },
  op = { "op", "op[1]", "op.n", "op.name", "at.index", "at.time", "op.list" },
}

-- What leaves something behind where replicas are rebuilt without it: allowed to be caught, never to go unnoticed.
local planted = {
  "hidden.n = hidden.n + 1 note(hidden.n)", "counter = counter + 1 note(counter)",
    "s.f = function() counter = counter + 1 return counter end",
  "s.co = coroutine.create(function() for i = 1, 99 do coroutine.yield(i) end end)", "if s.f then note(pcall(s.f)) end",
  "s.meta = setmetatable({}, { __index = hidden })", "hidden[#hidden + 1] = s", "hidden.s = s", "s.cycle = s",
    "s[t] = 1",
  "note(pcall(function() _ENV = {} return pairs end))", "constants.x = $e", "constants.deep = s",
}

local Random = {}
Random.__index = Random

function Random:next(n)
  self.state = self.state + 0x9E3779B97F4A7C15
  local z = self.state
  z = (z ~ z >> 30) * 0xBF58476D1CE4E5B9
  z = (z ~ z >> 27) * 0x94D049BB133111EB
  return ((z ~ z >> 31) >> 1) % n + 1
end
function Random:of(list) return list[self:next(#list)] end
function Random:odds(n) return self:next(n) == 1 end

local expand
function expand(self, rule, depth)
  local choices = rule == "smuggled" and self.plants and planted or grammar[rule]
  self.size = self.size + 1
  local template = (depth > 7 or self.size > self.most) and choices[1] or self.random:of(choices)
  if template:find "l#" then
    self.labels = self.labels + 1
    template = template:gsub("l#", "l" .. self.labels)
  end
  return (template:gsub("%$(%l+)", function(name) return expand(self, name, depth + 1) end))
end

local function code(self, rule, most)
  self.size, self.most = 0, most
  return expand(self, rule, 0)
end

-- In every body: what it may use, set anew each time.
local function body(self, most)
  local lines = { [[
    local notes, turns = {}, 0
    local function note(...) tell(notes, 0, ...) end
    local function count() turns = turns + 1 return turns % 20 == 0 end
    local a, b, c, d, f, i, k, v = 1, "b", 2.5, nil, function(...) return ... end
    local t, u, m = { 3, 1, 2, x = 1, y = { 1 } }, { "q", "p" }, orrery.map()
    local co = coroutine.create(function(x) while true do x = coroutine.yield(x) end end)]] }
  for _ = 1, self.random:next(5) do
    lines[#lines + 1] = ("    note(pcall(function(...)\n%s\n    end, a, b))"):format(code(self, "block", most))
  end
  if self.plants and self.random:odds(3) then lines[#lines + 1] = code(self, "stat", most) end
  lines[#lines + 1] = "    return digest(notes)"
  return table.concat(lines, "\n")
end

local head = [[
local constants = { 1, 2, x = "x", deep = { { 1.5 } }, [true] = false }
local hidden, counter, leaked = { n = 0 }, 0, { n = 0 }
local shadowed = { "os", "io", "debug", "package", "dump", "execute", "getenv", "popen", "getregistry",
  "sethook", "loadlib",
  "searchers", "collectgarbage", "dofile", "loadfile", "getupvalue", "upvaluejoin", "exit" }

-- Whatever can be reached by reading that no script should have: "" or its name.
local function reach(...)
  local seen, found, n = {}, {}, 0
  local function visit(v, depth)
    n = n + 1
    if n > 400 or depth > 6 then return end
    local kind = type(v)
    if kind ~= "table" and kind ~= "string" then return end
    if kind == "table" and seen[v] then return end
    if kind == "table" then seen[v] = true end
    for _, name in ipairs(shadowed) do
      local ok, x = pcall(function() return v[name] end)
      if ok and (type(x) == "function" or type(x) == "table" and not seen[x]) then found[#found + 1] = name end
    end
    local ok, meta = pcall(getmetatable, v)
    if ok and type(meta) == "table" then visit(meta, depth + 1) end
    if kind == "table" then pcall(function() for _, x in pairs(v) do visit(x, depth + 1) end end) end
  end
  visit("", 0) visit(_G, 0) visit(_ENV, 0) visit(orrery, 0)
  for i = 1, select("#", ...) do visit((select(i, ...)), 0) end
  return #found == 0 and "" or "ESCAPED " .. table.concat(found, " ")
end

-- Everything that can be seen of values, as text.
local function tell(notes, depth, ...)
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    if #notes > 300 then return end
    notes[#notes + 1] = math.type(v) or type(v)
    local ok, text = pcall(tostring, v)
    notes[#notes + 1] = type(text) == "string" and text:sub(1, 300) or type(text)
    if type(v) == "table" and depth < 2 then
      pcall(function()
        for k, x in pairs(v) do tell(notes, depth + 1, k, x) if #notes > 300 then break end end
      end)
    end
  end
end
local function digest(notes)
  local text = table.concat(notes, " ")
  return #text > 4000 and text:sub(1, 4000) .. orrery.hash(text) or text
end
]]

local script = [[
%s
local function helper(s, op, at) s = type(s) == "table" and s or {} op = type(op) == "table" and op or {} at = {}
  local function run(...)
%s
  end
  return run(s, op)
end
local group = node:replicate("g", {
  init = function() return { n = 0 } end,
  apply = function(s, op, at, ...)
%s
  end,
  query = function(s, op, at, ...)
    s = %s
%s
  end,
})
node.state.secret = "can" .. "ary"
node:on("do", function(op) return group:propose(op) end)
node:on("query", function(op) return group:read(op) end)
node:on("read", function(...) return group:read(function(s, ...) local op, at = {}, {}
    s = %s
%s
  end) end)
node:on("look", function()
  local text = orrery.pack(group:peek())
  local status = group:status()
  return status.applied, status.digest, text
end)
node:on("noise", function(op, ...)
  local s, at = {}, {}
%s
end)
]]

local function value(random, depth)
  local n = random:next(depth > 2 and 6 or 8)
  if n == 1 then return random:next(100) end
  if n == 2 then return random:next(100) / 8 end
  if n == 3 then return ("abc=d, "):rep(random:next(5)) end
  if n == 4 then return random:odds(2) end
  if n == 5 then return -random:next(1 << 40) end
  if n == 6 then return "x" end
  local t = {}
  for i = 1, random:next(4) do
    local key = random:odds(2) and i or "k" .. random:next(5)
    t[key] = value(random, depth + 1)
  end
  return t
end

local function op(random)
  return { value(random, 0), n = random:next(9), name = "op" .. random:next(4), list = { value(random, 0),
    value(random, 1) },
    pad = random:odds(3) and ("p"):rep(random:next(9000)) or nil }
end

-- { text =, ops = { { node, kind, op }, ... }, plants = whether it tries what may be caught }
local function generate(seed)
  local self = { random = setmetatable({ state = seed * 0x5851F42D4C957F2D }, Random), labels = 0, size = 0 }
  self.plants = self.random:odds(6)
  local sizes = { 20, 60, 150 }
  local function part(extra) return extra .. body(self, self.random:of(sizes)) end
  -- "leaked" is what no replica should share; a read of it is harmless.
  local asked = self.plants and "s" or "{ x = 1, list = { 1 } }"      -- a question must not change what it is asked
  local text = script:format(head, part "", part "", asked, part "", asked, part "", part "")
  local ops, kinds = {}, { "do", "do", "do", "do", "do", "query", "read", "noise", "kill", "restart" }
  for i = 1, 8 + self.random:next(30) do
    ops[i] = { self.random:of { "a", "b", "c" }, self.random:of(kinds), op(self.random) }
  end
  return { text = text, ops = ops, plants = self.plants, seed = seed }
end

return { generate = generate }
