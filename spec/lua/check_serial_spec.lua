-- check_serial_spec.lua - transactions over lists: the dependencies' cycles against all serial orders, on random tiny
-- histories; and larger ones that a store took one at a time.
local check = require "orrery.check"

local random
local function below(n)
  random = (random * 6364136223846793005 + 1442695040888963407)
  return (random >> 33) % n
end

local function copy(list) return table.move(list, 1, #list, 1, {}) end

-- Clients' transactions on a store that takes them one at a time, between invocation and completion; now and then one
-- is of unknown fate, or has failed. `txns` has { process, ops, out, begins, ends, fate }, `entries` the history.
local function simulate(n, processes, keys)
  local store, open, txns, entries, value = {}, {}, {}, {}, 0
  for k = 1, keys do store[k] = {} end
  local function random_ops()
    local ops = {}
    for i = 1, 1 + below(3) do
      local k = 1 + below(keys)
      if below(2) == 0 then
        value = value + 1
        ops[i] = { "append", k, value }
      else
        ops[i] = { "r", k }
      end
    end
    return ops
  end
  local function take(t)
    for i, op in ipairs(t.ops) do
      if op[1] == "append" then
        t.out[i] = op
        table.insert(store[op[2]], op[3])
      else
        t.out[i] = { "r", op[2], copy(store[op[2]]) }
      end
    end
    t.taken = true
  end
  local over = 0
  while over < n do
    local p = 1 + below(processes)
    local t = open[p]
    if not t and #txns < n then
      t = { process = p, ops = random_ops(), out = {}, begins = #entries + 1, ends = math.huge }
      t.fate = ({ [0] = "info", "fail" })[below(10)] or "ok"
      entries[#entries + 1] = { process = p, type = "invoke", f = "txn", value = t.ops }
      open[p], txns[#txns + 1] = t, t
    elseif t and not t.taken and t.fate ~= "fail" and (t.fate == "ok" or below(2) == 0) then
      take(t)
    elseif t then
      open[p], over = nil, over + 1
      entries[#entries + 1] = { process = p, type = t.fate, f = "txn", value = t.fate == "ok" and t.out or t.ops }
      if t.fate == "ok" then t.ends = #entries end
    end
  end
  return entries, txns
end

-- Takes an element out of a list that was read, puts one in, or swaps two.
local function spoil(txns)
  for _ = 1, 20 do
    local t = txns[1 + below(#txns)]
    local op = t.fate == "ok" and t.out[1 + below(#t.out)]
    if op and op[1] == "r" then
      local list, how = op[3], below(4)
      if how == 0 and #list > 0 then return table.remove(list, 1 + below(#list)) end
      if how == 1 and #list > 1 then
        list[1], list[2] = list[2], list[1]
        return
      end
      if how == 2 then return table.insert(list, 1 + below(4)) end
      if how == 3 and #list > 0 then return table.remove(list) end
    end
  end
end

-- Is there a serial order of all that were done, and of some of unknown fate?
local function serial(txns, strict, placed, store)
  local all = true
  for i, t in ipairs(txns) do all = all and (placed[i] or t.fate ~= "ok") end
  if all then return true end
  for i, t in ipairs(txns) do
    local first = not placed[i] and t.fate ~= "fail"
    for j, other in ipairs(txns) do
      if strict and not placed[j] and other.fate == "ok" and other.ends < t.begins then first = false end
    end
    if first then
      local after, fits = {}, true
      for k, list in ipairs(store) do after[k] = copy(list) end
      for at, op in ipairs(t.ops) do
        local list = after[op[2]]
        if op[1] == "append" then
          list[#list + 1] = op[3]
        elseif t.fate == "ok" then
          fits = fits and table.concat(list, ",") == table.concat(t.out[at][3], ",")
        end
      end
      placed[i] = true
      if fits and serial(txns, strict, placed, after) then return true end
      placed[i] = nil
    end
  end
  return false
end

describe("transactions", function()
  it("are judged as trying all serial orders judges them", function()
    for _, strict in ipairs { false, true } do
      random = 4711
      local seen = { ok = 0, violated = 0 }
      for round = 1, 2500 do
        local entries, txns = simulate(2 + below(4), 3, 2)
        if round % 5 > 0 then spoil(txns) end
        local expected = serial(txns, strict, {}, { {}, {} }) and "ok" or "violated"
        local r = assert(check.history(entries, { model = "append", strict = strict }))
        if r.result ~= expected then
          local lines = {}
          for i, entry in ipairs(entries) do lines[i] = check.line(entry) end
          error(("round %d should be %s, is %s %s\n%s"):format(round, expected, r.result, r.property,
            table.concat(lines, "\n")))
        end
        seen[expected] = seen[expected] + 1
      end
      assert.is_true(seen.ok > 600 and seen.violated > 600)
    end
  end)

  it("pass when a store took them one at a time, by tens of thousands of reads", function()
    random = 42
    for _ = 1, 5 do
      local entries = simulate(800, 10, 6)
      assert.equal("ok", assert(check.history(entries, { model = "append", strict = true })).result)
    end
  end)

  it("that contradict each other are told as a cycle, whose every step has a reason", function()
    random = 99
    local seen = 0
    for _ = 1, 400 do
      local entries, txns = simulate(6, 3, 2)
      spoil(txns)
      local r = assert(check.history(entries, { model = "append", strict = true }))
      if r.property and r.property:find "^G[-%d]" and r.text:find("must come before the next", 1, true) then
        seen = seen + 1
        local steps = 0
        for from, to in r.text:gmatch "\n  T(%d+) before T(%d+): %C+  %([wr][wrt]%)" do
          steps = steps + 1
          assert.equal(steps, tonumber(from))
          assert.equal(steps == #r.lines and 1 or steps + 1, tonumber(to))
        end
        assert.equal(#r.lines, steps)
        local rw = select(2, r.text:gsub("%(rw%)\n", ""))
        if r.property:find "^G0" or r.property:find "^G1c" then assert.equal(0, rw) end
        if r.property:find "^G%-single" then assert.equal(1, rw) end
        if r.property:find "^G2" then assert.is_true(rw > 1) end
      end
    end
    assert.is_true(seen > 30)
  end)
end)
