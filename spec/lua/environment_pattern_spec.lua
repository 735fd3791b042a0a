-- environment_pattern_spec.lua - core.pattern against Lua's own functions, on many patterns; every step is counted.
local core = require "orrery.core"
local ours = core.pattern

local seed = 20240229
local function below(n)
  seed = (seed * 6364136223846793005 + 1442695040888963407) & math.maxinteger
  return (seed >> 20) % n + 1
end
local function pick(list) return list[below(#list)] end

local singles = { "a", "b", ".", "%a", "%d", "%s", "%w", "%x", "%p", "%c", "%l", "%u", "%g", "%A", "%D", "%S", "%W",
  "%%", "%.", "[ab]", "[^ab]", "[a-c]", "[%a_]", "[]]", "[^]]", "[%]a]", "[a-]", "[-a]", "[%d-z]", "[^%s]", " ", "(",
  ")", "1", "\0", "\xe4", "-", "]" }
local suffixes = { "", "", "", "*", "+", "-", "?" }
local others = { "()", "%b()", "%bab", "%f[%a]", "%f[^ab]", "%f[%z\0]", "%1", "%2", "^", "$", "[", "[a", "[^", "[%",
  "%", "%b", "%b(", "%f", "%f[", "%0", "(", ")" }

local function pattern_of(depth)
  local parts = {}
  for i = 1, below(4) do
    local choice = below(12)
    if choice == 1 and depth < 3 then parts[i] = "(" .. pattern_of(depth + 1) .. ")"
    elseif choice == 2 then parts[i] = pick(others)
    else parts[i] = pick(singles) .. pick(suffixes) end
  end
  return (below(8) == 1 and "^" or "") .. table.concat(parts) .. (below(8) == 1 and "$" or "")
end

local letters = { "a", "a", "b", "b", "c", "A", "1", "2", " ", "\n", "_", "(", ")", "]", "-", "%", ".", "\0", "\xe4",
  "x" }
local function subject_of()
  local parts = {}
  for i = 1, below(14) - 1 do parts[i] = pick(letters) end
  return table.concat(parts)
end

-- What a call gives, its error's text included; without the place where it was raised.
local function outcome(f, ...)
  local results = table.pack(pcall(f, ...))
  if not results[1] then results[2] = tostring(results[2]):gsub("^[^:]+:%d+: ", ""):gsub("'[%a.?]+' %(", "'f' (") end
  return results
end

local function all_of(gmatch)
  return function(...)
    local found, n = {}, 0
    for a, b, c in gmatch(...) do
      n = n + 1
      found[n] = { a, b, c }
    end
    return found
  end
end

local function compare(name, a, b, ...)
  local expected, got = outcome(b, ...), outcome(a, ...)
  local same = expected.n == got.n
  for i = 1, expected.n do
    same = same and (expected[i] == got[i] or type(got[i]) == "table" and pcall(assert.same, expected[i], got[i]))
  end
  if not same then
    error(("%s%s: expected %s, got %s"):format(name, require "orrery.show".show { ... },
      require "orrery.show".show(expected), require "orrery.show".show(got)), 0)
  end
  return expected[1]
end

describe("patterns", function()
  it("are matched as Lua does, errors included: 20,000 patterns and subjects", function()
    local valid = 0
    for _ = 1, 20000 do
      local pattern, subject = pattern_of(1), subject_of()
      if compare("match", ours.match, string.match, subject, pattern) then valid = valid + 1 end
      compare("find", ours.find, string.find, subject, pattern, below(20) - 8)
      compare("gmatch", all_of(ours.gmatch), all_of(string.gmatch), subject, pattern)
      compare("gsub", ours.gsub, string.gsub, subject, pattern, pick { "", "x", "<%0>", "%1", "%2%1", "%%", "%", "%9" },
        pick { 0, 1, 2, nil })
    end
    assert(valid > 10000, valid .. " were valid")
  end)

  it("are replaced by tables and functions, too", function()
    for _ = 1, 2000 do
      local pattern, subject = pattern_of(2), subject_of()
      compare("gsub", ours.gsub, string.gsub, subject, pattern, { a = "1", b = false, ab = 2, [1] = "one" })
      compare("gsub", ours.gsub, string.gsub, subject, pattern, function(a, b)
        if a == "a" then return nil elseif a == "b" then return false end
        return b or 7
      end)
    end
    compare("gsub", ours.gsub, string.gsub, "abc", "%w", function() return {} end)
    compare("gsub", ours.gsub, string.gsub, "abc", "%w", { a = {} })
    compare("gsub", ours.gsub, string.gsub, "abc", "%w", true)
    compare("gsub", ours.gsub, string.gsub, "abc", "%w", 7, 2)
  end)

  it("know plain searches, starts, and wrong arguments", function()
    for _, case in ipairs {
      { "a.b.c", ".", 3, true }, { "abc", "", 4 }, { "abc", "", 5 }, { "abc", "c", -1 }, { "abc", "a", -1 },
      { "abc", "b", -9 }, { "a\0b", "\0b" }, { "abc", "b", 1, true }, { "aXb", "X", math.mininteger }, { 123, 2 },
      { "abc", "b", math.maxinteger }, { "abc" }, { {}, "a" }, { "a", {} }, { "a", "a", "x" }, { "a+a", "a+", 1, 1 },
    } do
      compare("find", ours.find, string.find, table.unpack(case, 1, 4))
      compare("match", ours.match, string.match, table.unpack(case, 1, 3))
      compare("gmatch", all_of(ours.gmatch), all_of(string.gmatch), table.unpack(case, 1, 3))
    end
  end)

  it("end in Lua's own words where they are too complex", function()
    compare("find", ours.find, string.find, ("a"):rep(300), (".-"):rep(300) .. "b")
    compare("match", ours.match, string.match, ("x"):rep(40), ("()"):rep(33))
    compare("match", ours.match, string.match, "", ("(a"):rep(10))
    compare("match", ours.match, string.match, ("a"):rep(500), ("a?"):rep(250) .. ("a"):rep(250))
  end)

  it("are stopped by the budget in the middle of one call", function()
    local before = os.clock()
    for _, f in ipairs {
      function() return ours.find(("a"):rep(60), ("a*"):rep(30) .. "b") end,
      function() return ours.match(("a"):rep(60), ("a*"):rep(30) .. "b") end,
      function() return ours.gsub(("a"):rep(60), ("a*"):rep(30) .. "b", "") end,
      function() return ours.gmatch(("a"):rep(60), ("a*"):rep(30) .. "b")() end,
      function() return ours.find(("a"):rep(100000), ("[" .. ("b"):rep(1000) .. "]"):rep(10)) end,
      function() return ours.find(("("):rep(30000), "%b()") end,
    } do
      local ok, message = core.budget.run(1000000, f)
      assert.is_false(ok)
      assert.matches("environment_pattern_spec.lua:%d+: ran for more than 1000000 instructions$", message)
    end
    assert(os.clock() - before < 5)
  end)
end)

describe("rep, upper, lower", function()
  it("give what Lua's give", function()
    for _, case in ipairs { { "ab", 3 }, { "ab", 3, "," }, { "", 5 }, { "", 3, "x" }, { "x", 0 }, { "x", -1 }, { "x" },
      { "x", 1, "," }, { "ab", math.maxinteger }, { "", math.maxinteger // 2, "abc" } } do
      compare("rep", ours.rep, string.rep, table.unpack(case))
    end
    local all = {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    compare("upper", ours.upper, string.upper, table.concat(all))
    compare("lower", ours.lower, string.lower, table.concat(all))
    compare("upper", ours.upper, string.upper, {})
  end)

  it("are charged by the byte", function()
    local ok, message = core.budget.run(10000, function() for _ = 1, 8 do ours.rep("x", 100000) end end)
    assert.is_false(ok)
    assert.matches("ran for more than 10000 instructions", message)
    assert.is_true(core.budget.run(10000, function() for _ = 1, 8 do ours.rep("x", 1000) end end))
  end)
end)
