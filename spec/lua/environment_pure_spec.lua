-- environment_pure_spec.lua - what scripts can't reach or change, and pure functions: which there are, how they run.
local core = require "orrery.core"
local environment = require "orrery.environment"
local view = require "orrery.view"
local pure = core.pure

-- Runs text in a closed environment, as a script: its results.
local function script(text, ...)
  local env = environment.script()
  env.node = setmetatable({ id = "a" }, { __name = "node" })
  env.config = view.of({ rate = 1 }, "config")
  env.print = function() return "printed" end
  env.channel = debug.setmetatable(io.tmpfile(), { __name = "orrery.channel" })
  environment.close(env, "a script")
  return assert(load(text, "=s", "t", env))(...)
end

local function complaint(text)
  local ok, message = pcall(script, text)
  assert.is_false(ok)
  return message
end

describe("a script", function()
  for text, expected in pairs {
    ["x = 1"] = "s:1: a script makes no globals: write local x",
    ["pairs = nil"] = "s:1: a script can't change pairs",
    ["return nothing"] = "s:1: a script has no global nothing",
    ["string.rep = nil"] = "s:1: string is read-only (assigning rep)",
    ["math.x = 1"] = "s:1: math is read-only (assigning x)",
    ["rawset(math, 'x', 1)"] = "rawset: this table is read-only",
    ["rawset(_G, 'x', 1)"] = "rawset: this table is read-only",
    ["rawset(config, 'x', 1)"] = "rawset: this table is read-only",
    ["rawset(node, 'x', 1)"] = "rawset: this table is read-only",
    ["setmetatable(node, {})"] = "cannot change a protected metatable",
    ["setmetatable(_G, {})"] = "cannot change a protected metatable",
    ["setmetatable({}, { __gc = 1 })"] = "setmetatable: __gc is not for scripts: when it acts depends on the collector",
    ["setmetatable({}, { __mode = 'k' })"] = "setmetatable: __mode is not for scripts",
    ["getmetatable('').__index = 1"] = "attempt to index a boolean value",
    ["load(string.dump(print))"] = "attempt to call a nil value (field 'dump')",
    ["load('return 1', 'x', 'b')"] = "s:1: load: only text can be loaded, mode must be \"t\"",
    ["return os.time()"] = "a script has no global os",
    ["return io.open 'x'"] = "a script has no global io",
    ["return debug.getinfo(1)"] = "a script has no global debug",
    ["return collectgarbage 'count'"] = "a script has no global collectgarbage",
    ["return require 'x'"] = "a script has no global require",
    ["return load('x = 1')()"] = "a script makes no globals: write local x",
    ["return load('return os')()"] = "a script has no global os",
  } do
    it("can't: " .. text, function() assert.matches(expected, complaint(text), 1, true) end)
  end

  it("sees no metatable but its own", function()
    assert.same({ false, false, false, false, false, false }, { script [[
      return getmetatable "", getmetatable(_G), getmetatable(math), getmetatable(config), getmetatable(node),
        getmetatable(channel)]] })
    assert.same({ true, "mine", nil }, { script [[
      local mt = {}
      return getmetatable(setmetatable({}, mt)) == mt, getmetatable(setmetatable({}, { __metatable = "mine" })),
        getmetatable {}]] })
    assert.is_true(script [[return rawget(rawset(setmetatable({}, {}), 1, true), 1)]])
  end)

  it("walks its globals and libraries in order", function()
    assert.equal("acos", script [[for key in pairs(math) do if key:find "^ac" then return key end end]])
    assert.equal("_G", script [[for key in pairs(_G) do return key end]])
  end)

  it("gives a metatable __mode after it was set, and fails where that is looked at", function()
    local ok, message = core.budget.run(100000, script, [[
      local mt = {}
      local t = setmetatable({}, mt)
      mt.__mode = "k"]])
    assert.is_false(ok)
    assert.matches("a metatable got __mode after setmetatable", message)
  end)

  it("has methods of strings that are counted, while it is loaded in another's state", function()
    local ok, message = environment.bounded(function() return ("a"):rep(60):find(("a*"):rep(30) .. "b") end, 1000000, 1)
    assert.is_false(ok)
    assert.matches("ran for more than 1000000 instructions", message)
    assert.equal(string.rep, ("").rep)
  end)
end)

-- -- Which are pure --------------------------------------------------------------------------------------------------
local function check(text, ...) return pure.check(script(text, ...), "apply") end
local function refusal(text)
  local f = script(text)
  local ok, message = pcall(pure.check, f, "apply")
  assert.is_false(ok)
  return message
end

describe("a pure function", function()
  it("may have constants, tables of them, pure functions, the library", function()
    for _, text in ipairs {
      "return function(s) return s end",
      "local a, b, c, d = nil, true, 1.5, 'x' return function() return a, b, c, d end",
      "local t = { 1, 2, x = { y = 'z' } } return function() return t end",
      "local function f(n) return n == 0 and 1 or n * 2 end local g = { h = f } return function() return g.h(f(1)) end",
      "local function f(n) return n == 0 and 1 or n * f(n - 1) end return function(s) return f(s.n) end",
      "local M = {} function M.a() return M.b() end function M.b() return 1 end return M.a",
      "local insert, s, G = table.insert, string, _G return function(t) insert(t, s.rep('x', G.math.floor(2.5))) end",
      "return function() return node and pairs end",
      "local f = load 'return 1' return function() return f() end",
    } do
      assert.matches("^%x+$", (check(text)))
    end
  end)

  for text, expected in pairs {
    ["local cache = channel return function() return cache end"] = "apply: upvalue `cache` is a channel",
    ["local n = node return function() return n.id end"] = "apply: upvalue `n` is node",
    ["local co = coroutine.create(print) return function() return co end"] = "apply: upvalue `co` is a coroutine",
    ["local t = { a = { channel } } return function() return t end"] = "apply: upvalue `t.a[1]` is a channel",
    ["local c = channel local function f() return c end return function() return f() end"] =
      "apply: upvalue `c` of `f` is a channel",
    ["local t = setmetatable({}, {}) return function() return t end"] =
      "apply: upvalue `t` is a table with a metatable",
    ["local c = config return function() return c.rate end"] = "apply: upvalue `c` is a table with a metatable",
    ["local f = coroutine.wrap(print) return function() return f() end"] =
      "apply: upvalue `f` is a function in C that is not of the pure library",
    ["local t = {} for i = 1, 200 do t = { t } end return function() return t end"] = "is too deep",
    ["local t = { [{}] = 1 } return function() return t end"] = "a key that is a table has no order",
    ["return print"] = "apply: a function written in Lua is expected",
  } do
    it("is refused: " .. text, function() assert.matches(expected, refusal(text), 1, true) end)
  end

  it("is known by code and constants, not by where they lie", function()
    local text = "local t, n = ... return function(s) return t, n, s end"
    local a = check(text, { x = 1, y = 2, z = { 1, 2 } }, 1)
    assert.equal(a, check(text, { z = { 1, 2 }, y = 2, x = 1 }, 1))
    local seen = { [a] = true }
    for _, other in ipairs {
      { check(text, { x = 1, y = 2, z = { 1, 3 } }, 1) }, { check(text, { x = 1, y = 2, z = { 1, 2 } }, 1.0) },
      { check(text, { x = 1, y = 2, z = { 1, 2, 3 } }, 1) }, { check(text, { x = 1, y = 2, z = { { 1 }, 2 } }, 1) },
      { check(text, { x = 1, y = 2, z = { { 1, 2 } } }, 1) }, { check(text, { x = 1, y = 2, z = "1" }, 1) },
      { check("local t, n = ... return function(s) return n, t, s end", { x = 1, y = 2, z = { 1, 2 } }, 1) },
      { check(text, { x = 1, y = 2, z = math.floor }, 1) }, { check(text, { x = 1, y = 2, z = false }, 1) },
    } do
      assert.is_nil(seen[other[1]])
      seen[other[1]] = true
    end
  end)

  it("that changed is told apart, by the upvalue that did", function()
    local f, set, deep = script [[
      local n, t, calls = 1, { limits = { 5 } }, 0
      local function helper() return t end
      return function() calls = calls + 1 return n, helper() end, function(v) n = v end,
        function() t.limits[1] = 6 end]]
    local _, parts = pure.check(f, "apply")
    assert.is_nil(pure.changed(f, "apply", parts))
    deep()
    assert.equal("apply: upvalue `helper` has changed since it was handed over", pure.changed(f, "apply", parts))
    _, parts = pure.check(f, "apply")
    set(2)
    assert.equal("apply: upvalue `n` has changed since it was handed over", pure.changed(f, "apply", parts))
    _, parts = pure.check(f, "apply")
    f()
    assert.equal("apply: upvalue `calls` has changed since it was handed over", pure.changed(f, "apply", parts))
    set(coroutine.create(print))
    assert.equal("apply: upvalue `n` is a coroutine", pure.changed(f, "apply", parts))
  end)
end)

-- -- How they run ----------------------------------------------------------------------------------------------------
local function call(text, ...) return pure.call(1000000, 7, script(text), ...) end

describe("a pure function at work", function()
  it("gets its arguments, gives its results or its error", function()
    assert.same({ true, 1, nil, 3 }, { call("return function(...) return ... end", 1, nil, 3) })
    assert.same({ false, "s:1: no" }, { call "return function() error 'no' end" })
    local ok, message = call "return function() while true do end end"
    assert.same({ false, "s:1: ran for more than 1000000 instructions" }, { ok, message })
    assert.is_false(pure.active())
  end)

  for text, expected in pairs {
    ["node.id"] = "s:1: a pure function has no node",
    ["#node"] = "a pure function has no node", ["tostring(node)"] = "a pure function has no node",
    ["node()"] = "a pure function has no node",
    ["print(1)"] = "print: not in a pure function", ["math.exp(1)"] = "math.exp: not in a pure function",
    ["math.sin(1)"] = "math.sin: not in a pure function", ["math.log(1)"] = "math.log: not in a pure function",
    ["math.atan(1)"] = "math.atan: not in a pure function", ["math.acos(1)"] = "math.acos: not in a pure function",
    ["coroutine.yield(1)"] = "attempt to yield",
    ["setmetatable({}, { __close = print })"] = "setmetatable: __close is not for pure functions",
  } do
    it("can't: " .. text, function()
      local ok, message = call("return function() return " .. text .. " end")
      assert.is_false(ok)
      assert.matches(expected, message, 1, true)
      assert.is_true(pcall(script, "return math.exp(1), math.sin(1), print(1), node.id"))
    end)
  end

  it("can't print through a local either", function()
    local ok, message = call "local p, e = print, math.exp return function() return p(1) end"
    assert.is_false(ok)
    assert.matches("print: not in a pure function", message)
  end)

  it("leaves nothing for the next one: names, chance and walks begin anew", function()
    local f = script "return function() return tostring {}, math.random(1 << 40), tostring(print) end"
    local first = { pure.call(1000, 7, f) }
    core.names.tostring {}
    script "math.random(9) return tostring {}"
    assert.same(first, { pure.call(1000, 7, f) })
    assert.equal("table: 1", first[2])
    assert.not_equal(first[3], select(3, pure.call(1000, 8, f)))
  end)

  it("overflows at one depth, wherever it is called from", function()
    local f = script [[return function()
      local depth = 0
      local function down() depth = depth + 1 return 1 + down() end
      pcall(down)
      local c = 0
      local function nested() c = c + 1 return (string.gsub("a", "a", nested)) end
      pcall(nested)
      return depth, c
    end]]
    local results = { pure.call(100000000, 1, f) }
    assert.is_true(results[1])
    local function deeper(n) if n == 0 then return { pure.call(100000000, 1, f) } end return (deeper(n - 1)) end
    assert.same(results, deeper(1000))
    assert.same(results, (coroutine.wrap(function() return (deeper(50)) end)()))
    local within
    ("a"):gsub("a", function() within = deeper(10) end)
    assert.same(results, within)
  end)

  it("doesn't catch it when memory runs out, a script else does", function()
    local eat = "local t = {} for i = 1, 1e7 do t[i] = ('x'):rep(10000) .. i end"
    local text = "return function() pcall(function() " .. eat .. " end) return 'caught' end"
    local f = script(text)
    assert.same({ true, false, "memory ran out in apply" },
      { core.memory.limit(20000000, pure.call, 100000000, 1, f) })
    assert.same({ true, "caught" }, { core.memory.limit(20000000, f) })
    for _, catcher in ipairs { "xpcall(function() %s end, print)",
      "coroutine.resume(coroutine.create(function() %s end))",
      "pcall(coroutine.wrap(function() %s end))" } do
      f = script("return function() " .. catcher:format(eat) .. " return 'caught' end")
      assert.same({ true, false, "memory ran out in apply" },
        { core.memory.limit(20000000, pure.call, 100000000, 1, f) })
    end
    assert.is_true(pure.call(1000, 1, script "return function() return 1 end"))
  end)

  it("runs no other in it", function()
    assert.same({ true, false }, { pure.call(10000, 1, function()
      return (pcall(pure.call, 1000, 1, function() end))
    end) })
  end)
end)
