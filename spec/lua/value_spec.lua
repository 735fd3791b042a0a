-- value_spec.lua - orrery.pack and unpack: what travels, what it looks like as bytes, what is said of what doesn't.
local core = require "orrery.core"
local orrery = require "orrery"
local pack, unpack, show = orrery.pack, orrery.unpack, orrery.show

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function bytes_of(digits)
  return (digits:gsub("%s", ""):gsub("..", function(d) return string.char(tonumber(d, 16)) end))
end

-- Deeply equal, 1 and 1.0 apart, NaN like NaN.
local function same(a, b)
  if type(a) ~= type(b) or math.type(a) ~= math.type(b) then return false end
  if type(a) ~= "table" then
    return a == b and 1 / (a == 0 and a or 1) == 1 / (b == 0 and b or 1) or a ~= a and b ~= b
  end
  for key, v in pairs(a) do if not same(v, b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

describe("packed bytes", function()
  it("are MessagePack, in its shortest forms", function()
    for digits, v in pairs {
      c2 = false, c3 = true, ["00"] = 0, ["7f"] = 127, cc80 = 128, ccff = 255, cd0100 = 256, cdffff = 65535,
      ce00010000 = 65536, ceffffffff = 4294967295, cf0000000100000000 = 4294967296,
      cf7fffffffffffffff = math.maxinteger, ff = -1, e0 = -32, d0df = -33, d080 = -128, d1ff7f = -129, d18000 = -32768,
      d2ffff7fff = -32769, d280000000 = -2147483648, d3ffffffff7fffffff = -2147483649,
      d38000000000000000 = math.mininteger, cb3ff0000000000000 = 1.0, cb8000000000000000 = -0.0,
      cb7ff0000000000000 = 1 / 0, a0 = "", a161 = "a", ["90"] = {}, ["920102"] = { 1, 2 }, ["81a16101"] = { a = 1 },
    } do
      assert.equal(digits, hex(pack(v)))
      assert.is_true(same(v, unpack(bytes_of(digits))), digits)
    end
    assert.equal("c0", hex(pack(nil)))
    assert.equal("cb7ff8000000000000", hex(pack(0 / 0)))
    assert.equal("cb7ff8000000000000", hex(pack(-(0 / 0))))
    assert.equal("bf" .. ("61"):rep(31), hex(pack(("a"):rep(31))))
    assert.equal("d920", hex(pack(("a"):rep(32))):sub(1, 4))
    assert.equal("da0100", hex(pack(("a"):rep(256))):sub(1, 6))
    assert.equal("db00010000", hex(pack(("a"):rep(65536))):sub(1, 10))
  end)

  it("hold a table as an array exactly when its keys are 1..n, in whatever order they came", function()
    local t = {}
    for i = 40, 1, -1 do t[i] = i end
    assert.equal("dc0028", hex(pack(t)):sub(1, 6))
    t[20] = nil
    assert.equal("de0027", hex(pack(t)):sub(1, 6))
    assert.equal("82010a030a", hex(pack { 10, nil, 10 }))
    assert.equal("820001" .. "0102", hex(pack { [0] = 1, 2 }):gsub("^8201020001$", "8200010102"))
  end)

  it("have the keys of a map in order: positive integers, others, floats, strings, booleans", function()
    local keys = { 1, 2, 10, 300, math.maxinteger, math.mininteger, -300, -1, 0, -1 / 0, -1.5, 0.5, 1e300, 1 / 0, "",
      "a", "a\0", "aa", "abcdefgh", "abcdefgh1", "abcdefghi", "b", "\xff", false, true }
    local expected = { "de0019" }
    for i, key in ipairs(keys) do expected[#expected + 1] = hex(pack(key) .. pack(i)) end
    for seed = 1, 50 do
      math.randomseed(seed)
      local order, t = { table.unpack(keys) }, {}
      for i = #order, 2, -1 do
        local k = math.random(i)
        order[i], order[k] = order[k], order[i]
      end
      for _, key in ipairs(order) do t[key] = true end
      for i, key in ipairs(keys) do t[key] = i end
      assert.equal(table.concat(expected), hex(pack(t)))
    end
  end)

  it("are sorted in big tables, too", function()
    local t, names = {}, {}
    for i = 1, 5000 do names[i] = ("key:%04d"):format(i * 7919 % 5000) end
    for i, name in ipairs(names) do t[name] = i end
    local at, last, bytes = 4, "", pack(t)
    for _ = 1, 5000 do
      local key = bytes:match("^\xa8(key:%d%d%d%d)", at)
      assert.is_true(key > last)
      last, at = key, at + 9 + #pack(t[key])
    end
    assert.equal(#bytes + 1, at)
  end)
end)

-- -- Round trips ----------------------------------------------------------------------------------------------------
local function new_generator(seed, no_booleans)       -- as keys: in Python True is 1
  local state = seed
  local function chance(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n
  end
  local special = { 0, -1, 1, 127, 128, -32, -33, 255, 256, 65535, 65536, math.maxinteger, math.mininteger, 0.0, -0.0,
    1.0, 0.1, 1 / 0, -1 / 0, 2 ^ 53, 2.0 ^ 63, -2.0 ^ 63, 1e-310 }
  local function scalar()
    local kind = chance(6)
    if kind == 0 then return special[chance(#special) + 1] end
    if kind == 1 then return chance(1 << 20) - (1 << 19) end
    if kind == 2 then return (chance(1 << 20) - (1 << 19)) / 64 end
    if kind == 3 then return chance(2) == 0 end
    local text = {}
    for i = 1, chance(kind == 4 and 12 or 60) do text[i] = string.char(chance(256)) end
    return table.concat(text)
  end
  local function value(depth)
    local kind = chance(depth > 4 and 2 or 5)
    if kind < 2 then return scalar() end
    local t = {}
    for i = 1, chance(kind == 2 and 20 or 6) do
      local key = kind == 2 and i or scalar()
      if type(key) ~= "boolean" or not no_booleans then t[key] = value(depth + 1) end
    end
    return t
  end
  return function() return value(0) end
end

describe("a packed value", function()
  it("comes back, thousands of times, by the same bytes", function()
    local value = new_generator(1)
    for _ = 1, 5000 do
      local v = value()
      local bytes = pack(v)
      local back = unpack(bytes)
      assert.is_true(same(v, back), show(v))
      assert.equal(bytes, pack(back))
      assert.equal(bytes, pack(core.value.copy(v)))
      assert.equal(orrery.hash(bytes), core.value.hash(v))
    end
  end)

  it("has the same bytes in twelve processes", function()
    local text = [[package.path = %q
      local pack, hash, sum, gen = require "orrery".pack, require "orrery".hash, 0, {}
      for i = 1, 300 do
        local t, s = {}, i
        for k = 1, i %% 40 do
          s = (s * 69069 + 1) & 0xffffffff
          local key = s %% 5 == 0 and s or s %% 5 == 1 and s / 3 or ("k%%d"):format(s)
          t[key] = { s, [tostring(s)] = k, [k %% 2 == 0] = 1 }
        end
        local a = {}
        for key, v in pairs(t) do a[key] = v end
        sum = sum * 31 + hash(pack(t)) + hash(pack(a))
        assert(pack(t) == pack(a))
      end
      t = { x = print, y = print, a = { 1, 2, { [5] = print } }, b = print }
      print(sum, select(2, pcall(pack, t)))]]
    local seen
    for _ = 1, 12 do
      local name = os.tmpname()
      local file = assert(io.open(name, "w"))
      file:write(text:format(package.path))
      file:close()
      local pipe = assert(io.popen(("'%s' '%s' 2>&1"):format(core.process.program(), name)))
      local line = pipe:read "a"
      pipe:close()
      os.remove(name)
      assert.matches("^%-?%d+\tvalue%.a%[3%]%[5%] is a function\n$", line)
      assert.equal(seen or line, line)
      seen = line
    end
  end)

  it("is laid out anew by a copy, and shares nothing", function()
    local t = { 1, { 2 }, a = { b = "c" } }
    local copy = core.value.copy(t)
    assert.same(t, copy)
    assert.not_equal(t[2], copy[2])
    assert.not_equal(t.a, copy.a)
  end)
end)

-- -- Complaints -----------------------------------------------------------------------------------------------------
describe("what can't travel", function()
  local function complaint(v)
    local ok, message = pcall(pack, v)
    assert.is_false(ok)
    return message
  end

  it("is named by its path", function()
    assert.equal("value is a function", complaint(print))
    assert.equal("value.items[3].f is a function", complaint { items = { 1, 2, { f = print } } })
    assert.equal("value[2] is a thread", complaint { 1, coroutine.create(print) })
    assert.equal("value.file is a FILE*", complaint { file = io.stdout })
    assert.equal("value[-1].x has a metatable", complaint { [-1] = { x = setmetatable({}, {}) } })
    assert.equal("value has a metatable", complaint(setmetatable({}, { __len = print })))
    assert.equal("value.a has a table as a key", complaint { a = { [{}] = 1 } })
    assert.equal([[value["two words"][1.5][true]["\x00\"\\"] is a function]],
      complaint { ["two words"] = { [1.5] = { [true] = { ["\0\"\\"] = print } } } })
    assert.equal('value["' .. ("x"):rep(40) .. '..."] is a function', complaint { [("x"):rep(50)] = print })
  end)

  it("is the first in the order of keys", function()
    for _ = 1, 20 do
      assert.equal("value[7] is a function", complaint { z = print, a = print, [7] = print, [2] = 1, [-1] = print })
      assert.equal("value.b.c has a metatable",
        complaint { b = { c = setmetatable({}, {}), d = print }, c = print, [print] = 1 })
    end
  end)

  it("is a cycle, or too deep", function()
    local t = { a = { b = {} } }
    t.a.b.c = t.a
    assert.equal("value.a.b.c is a cycle", complaint(t))
    t.a.b.c = t
    assert.equal("value.a.b.c is a cycle", complaint(t))
    local twins = {}
    twins[1], twins[2] = twins, twins
    assert.equal("value[1] is a cycle", complaint(twins))
    local deep = {}
    for _ = 1, 63 do deep = { deep } end
    assert.is_true(same(deep, unpack(pack(deep))))
    assert.equal("value" .. ("[1]"):rep(64) .. " is more than 64 tables deep", complaint { deep })
  end)

  it("may be met twice: no cycle", function()
    local shared = { 1 }
    assert.same({ { 1 }, { 1 }, x = { { 1 } } }, (unpack(pack { shared, shared, x = { shared } })))
    local wide = { f = print }
    for _ = 1, 40 do wide = { wide, wide } end
    assert.equal("value" .. ("[1]"):rep(40) .. ".f is a function", complaint(wide))
  end)

  it("is told with the place of the call", function()
    local chunk = assert(load("local pack = ... \n\n local s = pack { f = print } return s", "=script"))
    assert.equal("script:3: value.f is a function", select(2, pcall(chunk, pack)))
    assert.has_error(function() pack() end, "bad argument #1 to 'pack' (value expected)")
    assert.has_error(function() unpack {} end, "bad argument #1 to 'unpack' (string expected, got table)")
  end)

  it("doesn't spoil what comes after", function()
    for _ = 1, 100 do
      complaint { 1, 2, { a = { [3] = 1, [5] = print } } }
      assert.equal("920102", hex(pack { 1, 2 }))
    end
  end)

  it("is too big, which is found before memory is", function()
    local bomb = {}
    for _ = 1, 60 do bomb = { bomb, bomb } end
    local ok, _, message = core.memory.limit(1 << 24, pcall, pack, bomb)
    assert.is_true(ok)
    assert.equal("not enough memory", message)
    assert.equal("920102", hex(pack { 1, 2 }))
  end)
end)

-- -- Others' bytes --------------------------------------------------------------------------------------------------
describe("unpack", function()
  local function refused(digits)
    local v, message, code = unpack(bytes_of(digits))
    assert.is_nil(v, digits)
    assert.equal("orrery.unpack: these are not the bytes of a packed value", message)
    assert.equal("invalid", code)
  end

  it("reads longer forms, float32, binaries", function()
    for digits, v in pairs {
      ["cc01"] = 1, ["cd0001"] = 1, ["ce00000001"] = 1, ["cf0000000000000001"] = 1, ["d001"] = 1, ["d1ffff"] = -1,
      ["d2ffffffff"] = -1, ["d3ffffffffffffffff"] = -1, ["ca3f800000"] = 1.0, ["c403616263"] = "abc",
      ["c50003616263"] = "abc", ["c600000003616263"] = "abc", ["d903616263"] = "abc", ["da0003616263"] = "abc",
      ["db00000003616263"] = "abc", ["dc00020102"] = { 1, 2 }, ["dd000000020102"] = { 1, 2 }, ["80"] = {},
      ["de0001a16101"] = { a = 1 }, ["df00000001a16101"] = { a = 1 }, ["8202010102"] = { 2, 1 },
      ["81cb40000000000000000a"] = { [2] = 10 },
    } do
      assert.is_true(same(v, unpack(bytes_of(digits))), digits)
    end
    local nan = unpack(bytes_of "ca7fc00001")
    assert.is_true(nan ~= nan)
    assert.equal("cb7ff8000000000000", hex(pack(unpack(bytes_of "cbfff0000000000001"))))
  end)

  it("refuses what is cut off at any byte, or goes on", function()
    local bytes = pack { "set", key = "k", value = { 1.5, 300, -70000, ("x"):rep(300), true, {} } }
    for i = 0, #bytes - 1 do assert.is_nil((unpack(bytes:sub(1, i)))) end
    assert.is_nil((unpack(bytes .. "\0")))
    assert.is_table((unpack(bytes)))
  end)

  it("refuses what Lua has no value for", function()
    refused "c1"
    refused "cf8000000000000000"
    refused "cfffffffffffffffff"
    refused "91c0"
    refused "81a161c0"
    refused "81c001"
    refused "819001"
    refused "81cb7ff800000000000001"
    refused "d50100"
    refused "d6ff00000000"
    refused "c70300616263"
  end)

  it("refuses a key that comes twice, in whatever form", function()
    refused "82a16101a16102"
    refused "8201010102"
    refused "83010102020103"
    refused "8201 01 cc01 02"
    refused "8201 01 cb3ff0000000000000 02"
    refused "82c301c301"
    refused "82a16101c4016102"
    assert.same({ [1] = 1, a = 2 }, (unpack(bytes_of "82a161020101")))
  end)

  it("believes no count that the bytes can't hold", function()
    refused "dd7fffffff01"
    refused "ddffffffff"
    refused "df7fffffff0101"
    refused "dbffffffff"
    local ok, v = core.memory.limit(1 << 22, unpack, ("\xdd\0\0\xff\xff"):rep(63) .. ("\1"):rep(65535))
    assert.is_true(ok)
    assert.is_nil(v)
  end)

  it("takes 64 tables in each other, not 65", function()
    assert.is_table((unpack(("\x91"):rep(63) .. "\x90")))
    assert.is_nil((unpack(("\x91"):rep(64) .. "\x90")))
    assert.is_table((unpack(("\x81\1"):rep(63) .. "\x80")))
    assert.is_nil((unpack(("\x81\1"):rep(100000))))
  end)

  it("does as much for any bytes", function()
    local state = 7
    for _ = 1, 20000 do
      local text = {}
      for i = 1, 12 do
        state = state * 6364136223846793005 + 1442695040888963407
        text[i] = string.char((state >> 40) % 5 == 0 and (state >> 33) & 0xff or 0x80 | (state >> 33) & 0x7f)
      end
      local v = unpack(table.concat(text))
      if v ~= nil then assert.is_true(same(v, unpack(pack(v)))) end
    end
  end)
end)

describe("Python's msgpack", function()
  local reads = io.popen "/usr/bin/python3 -c 'import msgpack; print(1)' 2>/dev/null":read "a" == "1\n"

  local function python(program, input)
    local name = os.tmpname()
    local file = assert(io.open(name, "wb"))
    file:write(input)
    file:close()
    local pipe = assert(io.popen(("/usr/bin/python3 -c '%s' '%s'"):format(program, name)))
    local output = pipe:read "a"
    pipe:close()
    os.remove(name)
    return output
  end

  it("reads what pack writes, writes what unpack reads", function()
    if not reads then return pending "python3-msgpack is not here" end
    local value, parts, values = new_generator(3, true), {}, {}
    for i = 1, 500 do
      values[i] = value()
      parts[i] = pack(values[i])
    end
    local again = [[import msgpack, sys
data = open(sys.argv[1], "rb").read()
un = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape", max_buffer_size=1<<28)
un.feed(data)
for v in un: sys.stdout.buffer.write(msgpack.packb(v, unicode_errors="surrogateescape"))]]
    assert.is_true(table.concat(parts) == python(again, table.concat(parts)))
    local written = python([[import msgpack, sys
v = {"a": [1, -2, 1.5, True, "\u00e9", b"\x00\xff"], 7: {"b": {}}, "c": 2**63 - 1, "d": -2**63}
sys.stdout.buffer.write(msgpack.packb(v))]], "")
    assert.is_true(same({ a = { 1, -2, 1.5, true, "é", "\0\xff" }, [7] = { b = {} }, c = math.maxinteger,
      d = math.mininteger }, unpack(written)))
  end)
end)
