-- lint_spec.lua - what orrery lint finds, each with its line; and that it finds nothing where nothing is.
local bytecode = require "orrery.bytecode"
local lint = require "orrery.lint"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local function lines_of(script, files)
  folder:write("n.lua", script)
  for path, text in pairs(files or {}) do folder:write(path, text) end
  local path = folder:write("c.lua", [[
    return orrery.cluster { name = "l", node = "n.lua", nodes = { { id = "a", at = "127.0.0.1:1" } } }]])
  local lines = assert(lint.cluster(path))
  for i, line in ipairs(lines) do lines[i] = line:sub(#folder.path + 2) end
  return lines
end

local function pure(body) return "node:replicate('g', { apply = function(s, op)\n" .. body .. "\nend })" end

describe("lint", function()
  it("reads what this Lua compiles", function() assert.is_true(bytecode.works()) end)

  for _, case in ipairs {
    { "local x = 1\nnode:on('x', function()\ny = x end)", "n.lua:3: makes a global, y: write local y" },
    { "node:on('x', function()\nreturn os.time() end)", "n.lua:2: scripts have no os" },
    { "node:on('x', function()\n\nreturn tonmber('1') end)",
      "n.lua:3: there is no global tonmber (nearest: 'tonumber')" },
    { "node:on('l', function()\nlocal a = 0\nwhile true do a = a + 1 end end)",
      "n.lua:3: this loop never ends, and nothing in it waits: its budget will" },
    { "\nnode:call('a', 'x')",
      "n.lua:2: node:call waits, and the top level can't: put it into node:spawn or a handler" },
    { pure "s.x = op.x ^ 2",
      "n.lua:2: the last bits of ^ may differ between replicas' C libraries: multiply, or shift" },
    { pure "s.x = math.sin(op.x)",
      "n.lua:2: math.sin raises in a pure function: last bits differ between C libraries" },
    { pure "print(s)", "n.lua:2: print raises in a pure function: each replica would do it" },
    { pure "return node.id", "n.lua:2: a pure function has no node: it depends on its arguments alone" },
    { "local c = node:channel()\n" .. pure "c:put(op)",
      "n.lua:2: node:replicate g: apply: upvalue `c` is a channel" },
    { "node:replicate('g', { aply = print })", "n.lua:1: node:replicate g: 'aply' is unknown (nearest: 'apply')" },
    { "local x = = 1", "n.lua:1: unexpected symbol near '='" },
  } do
    it("finds " .. case[2], function() assert.same({ case[2] }, lines_of(case[1])) end)
  end

  it("looks into what is required, and into functions within functions", function()
    local lines = lines_of("local m = require 'm'\nnode:on('x', m.x)", {
      ["m.lua"] = "return { x = function() return function() return function()\n return io end end end }",
    })
    assert.same({ "m.lua:2: scripts have no io" }, lines)
  end)

  it("has nothing against loops that end or wait, and what is sound", function()
    assert.same({}, lines_of [[
      local n, t = 0, {}
      node:every(1, function() for i = 1, 10 do t[i] = i end end)
      node:on("x", function() while true do n = n + 1 if n > 10 then break end end end)
      node:on("y", function() while true do node:sleep(1) end end)
      node:on("z", function() repeat n = n - 1 until n < 0 return math.sin(n) ^ 2 end)
      node:spawn(function() node:call("a", "x") end)
      node:replicate("g", { apply = function(s, op) for k, v in pairs(op) do s[k] = v end return #s end })]])
    for _, name in ipairs { "kv", "counter", "gossip", "shop", "election" } do
      assert.same({}, assert(lint.cluster("examples/" .. name .. "/cluster.lua")))
    end
  end)

  it("says why a cluster file can't be used", function()
    local lines, message = lint.cluster(folder.path .. "/none.lua")
    assert.is_nil(lines)
    assert.matches("none.lua: No such file or directory$", message)
  end)
end)
