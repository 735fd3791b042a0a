-- options_spec.lua - option tables: what they complain of, and the nearest word.
local options = require "orrery.options"

local spec = {
  timeout = { "seconds", default = 2 },
  size = { "integer", min = 1, max = 9 },
  rate = { "number", above = 0 },
  name = { "string", required = true },
  mode = { "choice", of = { "fast", "safe" } },
  list = { "table", each = { "integer" }, least = 1, most = 2, expected = "an array of integers" },
  flag = { "boolean" },
  inner = { "table", fields = { depth = { "integer", default = 3 } } },
}

-- What a user of f{...} is told, and on which line of the two it is told.
local function complaint(given)
  local function f(opts) return (options.check(opts, spec, "f")) end
  local ok, message = pcall(function()
    local result = f(given)
    return result
  end)
  assert.is_false(ok)
  return (message:gsub("^spec/lua/options_spec.lua:%d+: ", ""))
end

describe("options", function()
  it("get their defaults", function()
    assert.same({ timeout = 2, name = "x", inner = { depth = 3 } },
      options.check({ name = "x", inner = {} }, spec, "f"))
  end)

  it("take whole floats for integers", function()
    assert.equal("integer", math.type(options.check({ name = "x", size = 2.0 }, spec, "f").size))
  end)

  it("point at the caller", function()
    local function f(opts) return (options.check(opts, spec, "f")) end
    local ok, message = pcall(function() local x = f {} return x end)
    assert.is_false(ok)
    assert.matches("^spec/lua/options_spec.lua:" .. debug.getinfo(1, "l").currentline - 2 .. ": f: 'name' is missing",
      message)
  end)

  local cases = {
    { "no table", 7, "f: options must be a table (got 7)" },
    { "nothing", nil, "f: options must be a table (got nothing)" },
    { "an unknown key", { name = "x", timeoutt = 1 }, "f: 'timeoutt' is unknown (nearest: 'timeout')" },
    { "an unknown key that resembles none", { name = "x", zzzzzz = 1 }, "f: 'zzzzzz' is unknown" },
    { "a key that is no name", { name = "x", "y" }, "f: '[1]' is unknown" },
    { "a missing one", {}, "f: 'name' is missing, must be a string" },
    { "a wrong type", { name = 7 }, "f: 'name' must be a string (got 7)" },
    { "out of range", { name = "x", size = 10 }, "f: 'size' must be an integer from 1 to 9 (got 10)" },
    { "no integer", { name = "x", size = 1.5 }, "f: 'size' must be an integer from 1 to 9 (got 1.5)" },
    { "not above", { name = "x", rate = 0 }, "f: 'rate' must be a number above 0 (got 0)" },
    { "not a number", { name = "x", rate = 0 / 0 },
      "f: 'rate' must be a number above 0 (got " .. tostring(0 / 0) .. ")" },
    { "infinite", { name = "x", timeout = math.huge },
      "f: 'timeout' must be a number of seconds above 0 and at most 86400 (got inf)" },
    { "no choice", { name = "x", mode = "fsat" }, [[f: 'mode' must be "fast" or "safe" (got "fsat")]] },
    { "no boolean", { name = "x", flag = 1 }, "f: 'flag' must be true or false (got 1)" },
    { "an element", { name = "x", list = { 1, "b" } }, [[f: 'list[2]' must be an integer (got "b")]] },
    { "too many elements", { name = "x", list = { 1, 2, 3 } }, "f: 'list' must have 1 to 2 elements (got 3)" },
    { "an array with a name", { name = "x", list = { 1, a = 2 } },
      "f: 'list.a' is no index of an array (an array of integers)" },
    { "one inside", { name = "x", inner = { depht = 1 } }, "f: 'inner.depht' is unknown (nearest: 'depth')" },
    { "a table", { name = {} }, "f: 'name' must be a string (got a table)" },
  }
  for _, case in ipairs(cases) do
    it("complain: " .. case[1], function() assert.equal(case[3], complaint(case[2])) end)
  end
end)

describe("the nearest word", function()
  local words = { "up", "run", "sim", "bench", "check", "election", "heartbeat" }
  it("is one of few changes, a swap being one", function()
    assert.equal("run", options.nearest("rnu", words))
    assert.equal("election", options.nearest("eletcion", words))
    assert.equal("bench", options.nearest("bnech", words))
    assert.equal("heartbeat", options.nearest("heart", words))
  end)
  it("is none when all differ", function()
    assert.is_nil(options.nearest("transmogrify", words))
  end)
end)

describe("show", function()
  local show = require "orrery.show"

  it("fits a terminal: its width, so deep, so many", function()
    local function fit(v, width) return show.fit(v, { width = width, depth = 2, items = 12 }) end
    assert.equal("{\n  100, 101, 102,\n  103, 104, 105,\n  106, 107, 108,\n  109,\n}",
      fit({ 100, 101, 102, 103, 104, 105, 106, 107, 108, 109 }, 18))
    assert.equal("{ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ... 8 more }", fit({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
      13, 14, 15, 16, 17, 18, 19, 20 }, 80))
    assert.equal("{ a = { b = { c = {...} } } }", fit({ a = { b = { c = { d = 1 } } } }, 80))
    assert.equal('{ "gr\u{fc}\u{df}", "\\xff" }', fit({ "gr\u{fc}\u{df}", "\xff" }, 18))
  end)
  it("reads well and always the same", function()
    assert.equal('{ "set", by = 1, key = "a\\n" }', show.show { "set", key = "a\n", by = 1 })
    assert.equal("{}", show.show {})
    assert.equal('{ [0] = 1, [1.5] = 2, ["a b"] = 3, [true] = 4 }',
      show.show { [0] = 1, [true] = 4, ["a b"] = 3, [1.5] = 2 })
    local cyclic = {}
    cyclic.self = cyclic
    assert.equal("{ self = {...} }", show.show(cyclic))
    assert.equal("nil", show.show(nil))
    assert.equal("orrery.cluster", show.show(setmetatable({}, { __tostring = function() return "orrery.cluster" end })))
  end)
  it("breaks what is long", function()
    local text = show.show { ("x"):rep(60), ("y"):rep(60) }
    assert.equal(('{\n  "%s",\n  "%s",\n}'):format(("x"):rep(60), ("y"):rep(60)), text)
  end)
  it("has a form that loads back, integers and floats apart", function()
    local value = { 1, 1.0, -0.0, math.mininteger, math.maxinteger, 0.1, 1 / 0, -1 / 0, "a\0b\"\\\n\200", true,
      { x = { y = {} } }, [-1] = "m", [2^53] = "f", ["end"] = 1 }
    local back = load("return " .. show.literal(value))()
    assert.same(value, back)
    for key, v in pairs(value) do assert.equal(math.type(v), math.type(back[key])) end
    assert.equal(show.literal(value), show.literal(back))
    assert.has_error(function() show.literal { print } end, "a function has no literal")
  end)
end)
