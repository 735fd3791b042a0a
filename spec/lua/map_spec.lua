-- map_spec.lua - orrery.map: an ordered map in C, against a plain table; loops over what changes; pieces of it.
local core = require "orrery.core"
local orrery = require "orrery"

local function filled(t)
  local m = orrery.map()
  for key, v in pairs(t) do m[key] = v end
  return m
end

local function keys_of(m, ...)
  local keys = {}
  for key in m:range(...) do keys[#keys + 1] = key end
  return keys
end

describe("a map", function()
  it("holds values by key, counts them, loses them", function()
    local m = orrery.map()
    assert.equal(0, #m)
    m.a, m[1], m[1.5], m[true], m[""] = "x", 2, { n = 1 }, false, "empty"
    assert.equal(5, #m)
    assert.same({ "x", 2, { n = 1 }, false, "empty" }, { m.a, m[1], m[1.5], m[true], m[""] })
    assert.equal(2, m[1.0])
    assert.is_nil(m.b)
    assert.is_nil(m[nil])
    assert.is_nil(m[{}])
    m.a, m.b = nil, nil
    assert.is_nil(m.a)
    assert.equal(4, #m)
    assert.equal("orrery.map(4)", tostring(m))
  end)

  it("copies in and out", function()
    local m, v = orrery.map(), { 1, { 2 } }
    m.v = v
    v[2][1] = 3
    assert.same({ 1, { 2 } }, m.v)
    m.v[1] = 7
    assert.same({ 1, { 2 } }, m.v)
  end)

  it("goes through its keys in order", function()
    local keys = { 1, 2, 256, math.maxinteger, math.mininteger, -256, -1, 0, -1 / 0, -0.5, 0.5, 1 / 0, "", "\0", "a",
      "a\0", "aa", "abcdefghi", "abcdefghij", "b", "\xff", false, true }
    local m = orrery.map()
    for i = #keys, 1, -1 do m[keys[i]] = i end
    local n = 0
    for key, i in pairs(m) do
      n = n + 1
      assert.equal(keys[n], key)
      assert.equal(math.type(keys[n]), math.type(key))
      assert.equal(n, i)
    end
    assert.equal(#keys, n)
    assert.same({ "a", "a\0", "aa", "abcdefghi" }, keys_of(m, "a", "abcdefghi"))
    assert.same({ 2, 256 }, keys_of(m, 2, 1000))
    assert.same({ "b", "\xff", false, true }, keys_of(m, "b"))
    assert.same({ 1, 2 }, keys_of(m, nil, 2))
    assert.same({}, keys_of(m, "b", "a"))
    assert.same({}, keys_of(m, "c", "d"))
    assert.equal(#keys, #keys_of(m))
    assert.same({}, keys_of(orrery.map()))
  end)

  it("may change under a loop: what is added ahead is visited, behind isn't", function()
    local m, seen = filled { [10] = 1, [20] = 1, [30] = 1 }, {}
    for key in pairs(m) do
      seen[#seen + 1] = key
      if key == 10 then m[5], m[15], m[20] = 1, 1, nil end
      if key == 15 then m[15] = nil end
      if key == 30 then m[30], m[40] = 2, 1 end
      m[key] = m[key] and 7
    end
    assert.same({ 10, 15, 30, 40 }, seen)
    for key in pairs(m) do m[key] = nil end
    assert.equal(0, #m)
    m[1] = 1
    for key in pairs(m) do if key < 5000 then m[key + 1] = key end end
    assert.equal(5000, #m)
  end)

  it("may be looped over twice at a time", function()
    local m, n = filled { 1, 2, 3, 4 }, 0
    for _ in pairs(m) do for _ in m:range(2, 3) do n = n + 1 end end
    assert.equal(8, n)
  end)

  it("agrees with a table", function()
    local m, t, state = orrery.map(), {}, 1
    local function chance(n)
      state = state * 6364136223846793005 + 1442695040888963407
      return (state >> 33) % n
    end
    for i = 1, 30000 do
      local key = chance(2) == 0 and ("user:%05d"):format(chance(2000)) or chance(2000) - 1000
      local v = chance(i < 20000 and 4 or 2) > 0 and { i, key } or nil
      m[key], t[key] = v, v
    end
    local n = 0
    for key, v in pairs(t) do
      n = n + 1
      assert.same(v, m[key])
    end
    assert.equal(n, #m)
    local state_of = { users = m, n = 1 }
    local again = assert(orrery.unpack(orrery.pack(state_of)))
    assert.equal(orrery.pack(state_of), orrery.pack(again))
    assert.equal(core.map.digest(m), core.map.digest(again.users))
    again.users[0] = "other"
    assert.not_equal(core.map.digest(m), core.map.digest(again.users))
  end)
end)

describe("a map's complaints", function()
  local function complaint(f)
    local ok, message = pcall(f)
    assert.is_false(ok)
    return (message:gsub("^[^:]*:%d+: ", ""))
  end

  it("name the value by its path, the key by its kind", function()
    local m = orrery.map()
    assert.equal("map.a.f is a function", complaint(function() m.a = { f = print } end))
    assert.equal('map["a b"] is a thread', complaint(function() m["a b"] = coroutine.create(print) end))
    assert.equal("map[1] is an orrery.map", complaint(function() m[1] = orrery.map() end))
    local key = "a map's key must be an integer, float, string or boolean (got %s)"
    assert.equal(key:format "table", complaint(function() m[{}] = 1 end))
    assert.equal(key:format "NaN", complaint(function() m[0 / 0] = 1 end))
    assert.equal(key:format "nil", complaint(function() m[nil] = 1 end))
    assert.equal([[a map's key can't be "range": that is its method]], complaint(function() m.range = 1 end))
    assert.equal("range: from must be an integer, float, string or boolean (got table)",
      complaint(function() m:range {} end))
    assert.equal("bad argument #1 to 'range' (orrery.map expected, got table)", complaint(function() m.range {} end))
    assert.equal(0, #m)
    assert.is_false(getmetatable(m))
  end)

  it("are of a state that holds one elsewhere than in a field", function()
    local m = orrery.map()
    assert.equal("value.a.m is an orrery.map", complaint(function() orrery.pack { a = { m = m } } end))
    assert.is_truthy(orrery.unpack(orrery.pack(m)))
    assert.is_nil((orrery.unpack("\x91\x91" .. orrery.pack(m))))
  end)
end)

describe("a packed map", function()
  it("is extension 1 over a MessagePack map, its keys in order", function()
    local bytes = orrery.pack { users = filled { b = 2, a = { 1 } } }
    assert.equal("\x81\xa5users\xc7\8\1\x82\xa1a\x91\1\xa1b\2", bytes)
    assert.equal("\xc7\1\1\x80", orrery.pack(orrery.map()))
    local m = assert(orrery.unpack "\xc7\8\1\x82\xa1b\xcc\5\xa1a\1")
    assert.equal("\xc7\7\1\x82\xa1a\1\xa1b\5", orrery.pack(m))
  end)

  it("is refused when it isn't one", function()
    for _, bytes in ipairs { "\xc7\0\1", "\xc7\1\1\x90", "\xc7\3\1\x82\1\1", "\xc7\3\1\x80\1\1", "\xc7\5\1\x82\1\1\1\2",
      "\xc7\3\1\x81\1\xc0", "\xc7\3\1\x81\xc0\1", "\xc7\4\1\x81\1\x91", "\xc7\3\2\x81\1\1" } do
      assert.is_nil((orrery.unpack(bytes)))
    end
  end)

  it("goes and comes in pieces", function()
    local m, n, size = orrery.map(), 0, 0
    for i = 1, 2000 do m[("key:%d"):format(i)] = { i } end
    local copy = orrery.map()
    for piece in core.map.pieces(m, 1000) do
      n, size = n + 1, math.max(size, #piece)
      assert.is_true(core.map.fill(copy, piece))
    end
    assert.is_true(n > 20 and size < 1100)
    assert.equal(core.map.digest(m), core.map.digest(copy))
    local pieces = core.map.pieces(m, 1000)
    local first = pieces()
    assert.same({ nil, "map.fill: not valid", "invalid" }, { core.map.fill(copy, first) })
    assert.is_nil((core.map.fill(orrery.map(), first:sub(1, -2))))
    m.later = 1
    assert.same({ nil, "map.pieces: somebody else was first", "conflict" }, { pieces() })
    core.map.clear(m)
    assert.equal(0, #m)
  end)
end)

describe("a map's memory", function()
  it("is the Lua state's: limited, and given back", function()
    local value = ("x"):rep(1000)
    local kept
    local ok, message = core.memory.limit(4 << 20, function()
      kept = orrery.map()
      for i = 1, 1000000 do kept[i] = value end
    end)
    assert.is_false(ok)
    assert.equal("not enough memory", message)
    assert.is_true(#kept > 1000 and #kept < 1000000)
    local n = 0
    for _, v in pairs(kept) do
      n = n + 1
      assert.equal(1000, #v)
    end
    assert.equal(#kept, n)
    kept = nil
    collectgarbage()
    assert.same({ true }, { core.memory.limit(4 << 20, function()
      for _ = 1, 20 do
        local m = orrery.map()
        for i = 1, 2000 do m[i] = value end
        core.map.clear(m)
      end
    end) })
  end)

  it("survives finalizers that change the map", function()
    local m = orrery.map()
    for i = 1, 200 do m[("k%d"):format(i)] = { ("v"):rep(50), i } end
    local mt = { __gc = function(self) m[self.key] = self.v end }
    for i = 1, 20000 do
      local key = ("k%d"):format(i % 200)
      setmetatable({ key = key, v = i % 3 > 0 and { ("w"):rep(50), i } or nil }, mt)
      local v = m[key]
      assert.is_true(v == nil or #v[1] == 50)
      if i % 1000 == 0 then for _, each in pairs(m) do assert.equal(50, #each[1]) end end
    end
  end)
end)
