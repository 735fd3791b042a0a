-- environment_ordered_spec.lua - core.ordered, core.sort, core.names: order and names that content alone defines.
local core = require "orrery.core"
local view = require "orrery.view"
local stock_pairs = pairs
local pairs, next = core.ordered.pairs, core.ordered.next

local function keys_by_pairs(t)
  local keys = {}
  for key, v in pairs(t) do
    assert.equal(t[key], v)
    keys[#keys + 1] = key
  end
  return keys
end

local function keys_by_next(t)
  local keys, key, v = {}, next(t)
  while key ~= nil do
    assert.equal(t[key], v)
    keys[#keys + 1] = key
    key, v = next(t, key)
  end
  return keys
end

local in_order = { 1, 2, 7, 1 << 40, math.maxinteger, math.mininteger, -2, -1, 0, -math.huge, -1e300, -2.5, -0.5, 2.5,
  1e300, math.huge, "", "\0", "\0\0", "A", "a", "a\0", "a\0b", "aa", "ab", "abcdefgh", "abcdefgh\0", "abcdefghi",
  "abcdefghj", "b", "\xff", false, true }

-- The same keys, put in by another history: shuffled, with others in between that go again.
local function built(keys, seed)
  local t, order = {}, {}
  for i, key in ipairs(keys) do order[i] = key end
  for i = #order, 2, -1 do
    seed = seed * 1103515245 + 12345 & 0x7fffffff
    local j = (seed >> 8) % i + 1
    order[i], order[j] = order[j], order[i]
  end
  for i, key in ipairs(order) do
    t["gone" .. i], t[1000 + i] = true, true
    t[key] = i
  end
  for i = 1, #order do t["gone" .. i], t[1000 + i] = nil, nil end
  return t
end

describe("pairs and next", function()
  it("go by key: positive integers, others, floats, strings, booleans", function()
    for seed = 1, 50 do
      local t = built(in_order, seed)
      assert.same(in_order, keys_by_pairs(t))
      assert.same(in_order, keys_by_next(t))
    end
  end)

  it("agree with a sort on many keys that begin alike", function()
    local keys = {}
    for i = 1, 3000 do keys[i] = ("user:%d:name"):format(i * 7919 % 3001) end
    local t = built(keys, 5)
    table.sort(keys)
    assert.same(keys, keys_by_pairs(t))
    assert.same(keys, keys_by_next(t))
  end)

  it("go through sequences, holes, and what is in the hash part", function()
    local holes = { 1, nil, 3, nil, nil, 6, nil }
    assert.same({ 1, 3, 6 }, keys_by_pairs(holes))
    assert.same({ 1, 3, 6 }, keys_by_next(holes))
    local mixed = { 1, 2, 3, 4, x = 1 }
    mixed[5], mixed[9] = 5, 9
    assert.same({ 1, 2, 3, 4, 5, 9, "x" }, keys_by_pairs(mixed))
    assert.same({ 1, 2, 3, 4, 5, 9, "x" }, keys_by_next(mixed))
    local reversed = {}
    for i = 40, 1, -1 do reversed[i] = i end
    assert.same(reversed, keys_by_pairs(reversed))
    assert.same({}, keys_by_pairs {})
    assert.same({}, keys_by_next {})
    local drained = { a = 1, 1, 2 }
    drained.a, drained[1], drained[2] = nil, nil, nil
    assert.is_nil(next(drained))
    assert.same({}, keys_by_pairs(drained))
  end)

  it("refuse keys without an order, naming their kind", function()
    for kind, key in stock_pairs { table = {}, ["function"] = print, thread = coroutine.create(print),
      userdata = io.stdout } do
      local message = "a key that is a " .. kind .. " has no order"
      for _, f in ipairs { pairs, next } do
        local ok, why = pcall(f, { [key] = true, a = 1 })
        assert.is_false(ok)
        assert.matches(message, why, 1, true)
      end
    end
    assert.is_false(pcall(pairs, nil))
    assert.is_false(pcall(next, 7))
  end)

  it("skip what is removed meanwhile, don't visit what is added", function()
    for _, walked in ipairs { { 1, 2, 3, 4 }, { a = 1, b = 2, c = 3, d = 4 } } do
      local seen, n = {}, 0
      for key in pairs(walked) do
        n = n + 1
        seen[n] = key
        if n == 1 then
          walked[#walked > 0 and 3 or "c"] = nil
          for i = 1, 50 do walked["z" .. i], walked[4 + i] = i, i end
        end
      end
      assert.equal(3, n)
      assert.is_nil(seen[4])
    end
    local t, n = { a = 1, b = 2, c = 3 }, 0
    local key = next(t)
    while key do
      n = n + 1
      if n == 2 then t["d" .. n] = n end
      t[key], key = nil, (next(t, key))
    end
    assert.equal(3, n)
  end)

  it("know what comes after any key, be it there or not", function()
    local t = { a = 1, c = 2, e = 3, [10] = 4, [0.5] = 5 }
    assert.same({ "c", 2 }, { next(t, "a") })
    assert.same({ "c", 2 }, { next(t, "b") })
    assert.same({ 0.5, 5 }, { next(t, 10) })
    assert.same({ 0.5, 5 }, { next(t, 77) })
    assert.same({ "a", 1 }, { next(t, 0.5) })
    assert.is_nil(next(t, "e"))
    assert.is_nil(next(t, true))
    t.b = 9
    assert.same({ "b", 9 }, { next(t, "aa") })
  end)

  it("allow twenty walks at once, of one table or of many", function()
    local tables, at = {}, {}
    for i = 1, 20 do tables[i] = i <= 10 and { a = 1, b = 2, c = 3 } or tables[1] end
    for _, expected in ipairs { "a", "b", "c" } do
      for i = 1, 20 do
        at[i] = next(tables[i], at[i])
        assert.equal(expected, at[i])
      end
    end
    for i = 1, 20 do assert.is_nil(next(tables[i], at[i])) end
  end)

  it("go on in an iterator that is called by hand", function()
    local f, t, none = pairs { a = 1, b = 2, c = 3 }
    assert.is_nil(none)
    assert.equal("a", f(t, nil))
    assert.equal("c", (f(t, "b")))
    assert.equal("b", (f(t, "a")))
    assert.equal("a", (f(t, nil)))
    assert.is_nil(f(t, "c"))
  end)

  it("honour __pairs, which may yield, and read views in order", function()
    local odd = setmetatable({}, { __pairs = function(self)
      coroutine.yield "waits"
      return function(_, key) return not key and 1 or nil end, self, nil
    end })
    local co = coroutine.wrap(function()
      for key in pairs(odd) do coroutine.yield(key) end
      return "end"
    end)
    assert.same({ "waits", 1, "end" }, { co(), co(), co() })
    local v, keys = view.of(built(in_order, 3), "v"), {}
    for key in pairs(v) do keys[#keys + 1] = key end
    assert.same(in_order, keys)
  end)

  it("don't allocate to see whether a table is empty", function()
    local t = {}
    for i = 1, 1000 do t["k" .. i] = i end
    next(t)
    collectgarbage() collectgarbage "stop"
    local before = collectgarbage "count"
    for _ = 1, 100 do next(t) end
    local after = collectgarbage "count"
    collectgarbage "restart"
    assert(after - before < 1, after - before .. " KiB")
  end)

  it("cost their budget a step a key", function()
    local t = {}
    for i = 1, 1000 do t["k" .. i] = i end
    local ok, message = core.budget.run(20000, function() for _ = 1, 30 do pairs(t) end end)
    assert.is_false(ok)
    assert.matches("ran for more than 20000 instructions", message)
  end)
end)

describe("table.sort", function()
  local sort = core.sort.sort

  it("is stable, and right", function()
    for n = 0, 300, 7 do
      local t = {}
      for i = 1, n do t[i] = { key = i * 7919 % 13, i = i } end
      sort(t, function(a, b) return a.key < b.key end)
      for i = 2, n do
        local a, b = t[i - 1], t[i]
        assert(a.key < b.key or a.key == b.key and a.i < b.i)
      end
      local numbers, expected = {}, {}
      for i = 1, n do numbers[i], expected[i] = i * 7919 % 301, i * 7919 % 301 end
      sort(numbers)
      table.sort(expected)
      assert.same(expected, numbers)
    end
  end)

  it("complains as Lua's own", function()
    for _, arguments in ipairs { { nil }, { 7 }, { { 1, 2 }, 7 }, { { 1, 2 }, {} }, { { 1, "a" } }, { { {}, {} } },
      { { 3, 1, nil, 4 } and setmetatable({}, { __len = function() return 3 end }) } } do
      local ok, message = pcall(sort, table.unpack(arguments, 1, 2))
      local expected_ok, expected = pcall(table.sort, table.unpack(arguments, 1, 2))
      assert.equal(expected_ok, ok)
      assert.equal((expected:gsub("'[%a.?]+' %(", "'f' (")), (message:gsub("'[%a.?]+' %(", "'f' (")))
    end
  end)

  it("leaves the table as it was where the comparison raises, and does not wait", function()
    local t, n = { 5, 4, 3, 2, 1, 9, 8, 7 }, 0
    local ok, message = pcall(sort, t, function(a, b)
      n = n + 1
      if n == 9 then error("enough", 0) end
      return a < b
    end)
    assert.same({ false, "enough" }, { ok, message })
    assert.same({ 5, 4, 3, 2, 1, 9, 8, 7 }, t)
    local co = coroutine.create(function() sort(t, function() coroutine.yield() end) end)
    assert.is_false(coroutine.resume(co))
  end)

  it("ends on any comparison, with the same elements", function()
    for _, f in ipairs { function() return true end, function() return false end,
      function(a, b) return a % 3 < b % 2 end } do
      local t, sum = {}, 0
      for i = 1, 500 do t[i] = i end
      sort(t, f)
      for i = 1, 500 do sum = sum + t[i] end
      assert.equal(125250, sum)
    end
    local t = {}
    for i = 1, 100 do t[i] = i end
    sort(t, function(a, b) t[#t + 1] = 1 t[1] = nil return a > b end)
    assert.equal(100, t[1])
  end)

  it("uses __index and __newindex, and is charged", function()
    local behind = { 3, 1, 2 }
    sort(setmetatable({}, { __index = behind, __newindex = behind, __len = function() return #behind end }))
    assert.same({ 1, 2, 3 }, behind)
    local t = {}
    for i = 1, 20000 do t[i] = -i end
    assert.is_false(core.budget.run(20000, sort, t))
    assert.is_true(core.budget.run(2000000, sort, t))
  end)

  it("has companions that are charged by the elements they touch", function()
    for _, f in ipairs {
      function() core.sort.move({}, 1, 1 << 62, 2) end,
      function() core.sort.concat(setmetatable({}, { __index = function() return "x" end }), "", 1, 1 << 40) end,
      function() local t = {} for i = 1, 1000000 do core.sort.insert(t, 1, i) end end,
      function() local t = {} for i = 1, 1000 do t[i] = i end for _ = 1, 999 do core.sort.remove(t, 1) end end,
      function() for _ = 1, 100000 do core.sort.unpack({}, 1, 1000) end end,
    } do
      local ok, message = core.budget.run(100000, f)
      assert.is_false(ok)
      assert.matches("ran for more than 100000 instructions", message)
    end
    local t = { 1, 2, 3 }
    core.sort.insert(t, 4)
    core.sort.insert(t, 1, 0)
    assert.same({ 0, 1, 2, 3, 4 }, t)
    assert.equal(4, core.sort.remove(t))
    assert.equal(0, core.sort.remove(t, 1))
    assert.equal("1,2,3", core.sort.concat(t, ","))
    assert.same({ 1, 2, 3, 1, 2, 3 }, core.sort.move(t, 1, 3, 4))
    assert.same({ 2, 3 }, { core.sort.unpack(t, 2, 3) })
  end)
end)

describe("names of references", function()
  local tostring, format = core.names.tostring, core.names.format

  it("are numbers, and stay", function()
    local a, b = {}, {}
    local name = tostring(a)
    assert.matches("^table: %d+$", name)
    assert.equal(tonumber(name:match "%d+") + 1, tonumber(tostring(b):match "%d+"))
    assert.equal(name, tostring(a))
    assert.equal(name .. "|" .. tostring(b), format("%s|%s", a, b))
    assert.matches("^function: %d+$", tostring(print))
    assert.matches("^thread: %d+$", tostring(coroutine.create(print)))
    assert.matches("^thing: %d+$", tostring(setmetatable({}, { __name = "thing" })))
    assert.equal("mine", tostring(setmetatable({}, { __tostring = function() return "mine" end })))
    assert.is_false(pcall(tostring, setmetatable({}, { __tostring = function() return {} end })))
    assert.is_false(pcall(tostring))
  end)

  it("keep nothing alive", function()
    local watch = setmetatable({ {} }, { __mode = "v" })
    tostring(watch[1])
    collectgarbage() collectgarbage()
    assert.is_nil(watch[1])
  end)

  it("are what %s and %p show, with all of format's widths", function()
    local t = {}
    local name, number = tostring(t), tostring(t):match "%d+"
    assert.equal(("%20s|%-20s|%.3s"):format(name, name, name), format("%20s|%-20s|%.3s", t, t, t))
    assert.equal("0x" .. number .. "|  0x" .. number, (format("%p|%" .. #number + 4 .. "p", t, t)))
    assert.equal("(null) (null)", format("%p %p", 1, "text"))
    assert.equal("nil true %", format("%s %s %%", nil, true))
    for _, case in ipairs { { "%d %5.2f %q %x %c %i %g %a %e", 1, 2.5, "q\n", 255, 65, 3, 0.1, 1, 1e100 },
      { "%s" }, { "%d", "x" }, { "%y", 1 }, { "%", 1 }, { "%10.123f", 1 }, { "%.3p", {} }, { "%s %s", 1 }, { {} },
      { "%5s|%-5s|%.1s", "abc", "abc", "abc" }, { "%s", "a\0b" }, { "%s %d", 1, {} }, { "%%%s", "x" } } do
      local ok, text = pcall(format, table.unpack(case, 1, 10))
      local expected_ok, expected = pcall(string.format, table.unpack(case, 1, 10))
      assert.equal(expected_ok, ok)
      assert.equal((tostring(expected):gsub("'[%a.?]+' ", "'f' ")), (tostring(text):gsub("'[%a.?]+' ", "'f' ")))
    end
  end)
end)
