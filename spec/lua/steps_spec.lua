-- steps_spec.lua - what a budget of instructions is worth: no call takes long beside what it is charged, whatever it is
-- given, and nothing catches the end.
local core = require "orrery.core"
local orrery = require "orrery"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)

local big = "local big = {} for i = 1, 20000 do big[i] = i end "
local function len(call)
  return ([[local n = 0
    local t = setmetatable({}, { __len = function() n = n + 1 return n == 1 and 1 or 1 << 50 end }) ]]) .. call
end

-- Each goes on until its budget ends, or returns at once.
local bodies = {
  ["nothing, repeated"] = "return (''):rep(1 << 60), (''):rep(1 << 60, '')",
  ["insert, where __len says more the second time"] = len "table.insert(t, 1, 5)",
  ["remove, where __len says more the second time"] = len "table.remove(t, 1)",
  ["concat, where __len says more the second time"] = len "pcall(table.concat, t)",
  ["unpack, where __len says more the second time"] = len "pcall(table.unpack, t)",
  ["sort, where __len says more the second time"] = len "pcall(table.sort, t)",
  ["a long set"] = "local p = '[' .. ('a'):rep(1000000) .. ']' while true do (('b'):rep(1000)):find(p) end",
  ["a long set that is passed over"] =
    "local p = 'x?[' .. ('a'):rep(1000000) .. ']?y' while true do (('b'):rep(1000)):find(p) end",
  ["a long set at a frontier"] =
    "local p = '%f[' .. ('a'):rep(1000000) .. ']' while true do (('b'):rep(1000)):find(p) end",
  ["packing"] = big .. "while true do orrery.pack(big) end",
  ["what can't be packed"] = big .. "big[#big + 1] = print while true do pcall(orrery.pack, big) end",
  ["unpacking"] = big .. "local s = orrery.pack(big) while true do orrery.unpack(s) end",
  ["unpacking what is no value"] =
    big .. "local s = orrery.pack(big):sub(1, -2) while true do orrery.unpack(s) end",
  ["hashing"] = "local s = ('x'):rep(10000000) while true do orrery.hash(s) end",
  ["a map's values"] = big .. "local m = orrery.map() while true do m.x = big end",
  ["numbers in long texts"] = "local s = (' '):rep(10000000) .. '1' while true do tonumber(s) end",
  ["casting"] = big .. "while true do node:cast(node.id, 'nothing', big) end",
  ["looking at a state"] = "while true do group:peek() end",
  ["long formats"] = "local s = ('x'):rep(10000000) while true do pcall(string.format, s .. '%y') end",
  ["long results of unpack"] = "while true do table.unpack({}, 1, 900000) end",
  ["long chunks"] = "local s = ('x=1 '):rep(100000) while true do load(s) end",
}

describe("a budget", function()
  for name, body in pairs(bodies) do
    it("ends in time: " .. name, function()
      folder:write("n.lua", ([[
        local group = node:replicate("g", {
          init = function() local s = {} for i = 1, 20000 do s[i] = i end return s end, apply = function() end })
        node:on("nothing", function() end)
        node:on("go", function() %s end)]]):format(body))
      local sim <close> = orrery.sim(folder:write("c.lua", [[return orrery.cluster { name = "steps", node = "n.lua",
        limits = { steps = 500000 }, nodes = { { id = "a", at = "127.0.0.1:1" } } }]]))
      sim:run(1)
      local began = core.process.clock()
      local _, message = sim:call("a", "go")
      local took = core.process.clock() - began
      assert(took < 15, ("%.1f s: %s"):format(took, tostring(message)))
    end)
  end

  it("that ran out of memory in apply is no result, whatever puts another error in its place", function()
    folder:write("n.lua", [[
      local group = node:replicate("g", { init = function() return {} end, apply = function()
        local meta = {}
        local object = setmetatable({}, meta)
        meta.__close = function() error("mine", 0) end
        local held <close> = object
        local t = {}
        for i = 1, 1e9 do t[i] = ("x"):rep(100000) .. i end
      end })
      node:on("go", function() return group:propose {} end)]])
    for more = 0, 200000, 20000 do              -- so that it runs out in a table, in a string, in a buffer
      local sim <close> = orrery.sim(folder:write("c.lua", ([[return orrery.cluster { name = "steps", node = "n.lua",
        limits = { memory = (1 << 24) + %d }, nodes = { { id = "a", at = "127.0.0.1:1" } } }]]):format(more)))
      sim:run(1)
      local _, message = sim:call("a", "go")
      assert.is_nil(message:find "mine")
      sim:run(0.1)
      assert.matches("could not apply entry", sim.deaths.a.why)
    end
  end)
end)
