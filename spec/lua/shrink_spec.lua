-- shrink_spec.lua - the fewest strikes that still fail, asked as seldom as may be.
local shrink = require "orrery.shrink"

-- n strikes, a second apart; each is named by its number.
local function strikes(n)
  local list = {}
  for i = 1, n do list[i] = { at = i + 0.123456, till = i + 0.9, name = i } end
  return list
end

local function names(list)
  local out = {}
  for i, item in ipairs(list) do out[i] = item.name end
  return out
end

-- Fails where all of those are among them.
local function needs(...)
  local needed = { ... }
  return function(list)
    local there = {}
    for _, item in ipairs(list) do there[item.name] = true end
    for _, name in ipairs(needed) do if not there[name] then return false end end
    return true
  end
end

describe("shrinking", function()
  it("finds the ones that are needed, wherever they are", function()
    for _, wanted in ipairs { {}, { 1 }, { 64 }, { 17 }, { 1, 64 }, { 3, 4, 5 }, { 9, 33, 40, 41 } } do
      local least, asked = shrink.strikes(strikes(64), needs(table.unpack(wanted)))
      assert.same(wanted, names(least))
      assert.is_true(asked < 200, "asked " .. asked)
    end
  end)

  it("finds a minimum by random tests: no one can be left out", function()
    local random = 12345
    local function draw(n)
      random = (random * 1103515245 + 12345) % 2147483648
      return random // 65536 % n + 1
    end
    for _ = 1, 200 do
      local n, pairs_of = draw(40), {}
      for i = 1, draw(3) do pairs_of[i] = { draw(n), draw(n) } end
      -- Any one pair is enough: there are several minima.
      local function fails(list)
        for _, pair in ipairs(pairs_of) do if needs(pair[1], pair[2])(list) then return true end end
        return false
      end
      local least = shrink.strikes(strikes(n), fails)
      assert.is_true(fails(least))
      for i = 1, #least do
        local fewer = table.move(least, 1, #least, 1, {})
        table.remove(fewer, i)
        assert.is_false(fails(fewer))
      end
    end
  end)

  it("makes what lasts shorter and times rounder, as far as it still fails", function()
    local function fails(list)
      return list[1] and list[1].at >= 3.1 and list[1].till - list[1].at > 0.2
    end
    local least = shrink.strikes({ { at = 3.14159, till = 9.1, name = 1 } }, fails)
    assert.is_true(least[1].till - least[1].at <= 0.5)
    assert.matches("^%d+%.?%d?$", tostring(least[1].at))
    assert.is_true(fails(least))
  end)

  it("leaves what it was given as it was", function()
    local list = strikes(8)
    shrink.strikes(list, needs(3))
    assert.same(strikes(8), list)
  end)

  it("stops asking where it may not ask more, with what it has", function()
    local asked = 0
    local least, said = shrink.strikes(strikes(64), function(list)
      asked = asked + 1
      return needs(17)(list)
    end, 5)
    assert.equal(5, asked)
    assert.equal(5, said)
    assert.is_true(needs(17)(least))
  end)

  it("finds the least number", function()
    local asked = {}
    assert.equal(3, shrink.number(1, 8, function(n)
      asked[#asked + 1] = n
      return n >= 3
    end))
    assert.same({ 1, 2, 3 }, asked)
    assert.equal(8, shrink.number(1, 8, function() return false end))
  end)
end)
