-- swarm_spec.lua - `orrery sim --faults swarm`: damage to disks is drawn too, of a minority of each group's voters, so
-- whatever is violated is a bug; and a majority that is left alone is one of each group.
local core = require "orrery.core"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)
local program = assert(core.process.program())
local damages = { "rot", "restart_empty", "restart_old" }

-- All seeds hold. How many suffered each kind of damage, and any.
local function hold(arguments)
  local out = folder.path .. "/out"
  local command = ("'%s' sim %s --json > '%s' 2> '%s.err' </dev/null"):format(program, arguments, out, out)
  os.execute(command)
  local seeds, suffered = 0, { any = 0 }
  for line in folder:read("out"):gmatch "[^\n]+" do
    if line:find('"seed":', 1, true) then
      assert.matches('"ok":true', line)
      seeds = seeds + 1
      local any = 0
      for _, kind in ipairs(damages) do
        local some = line:find('"' .. kind .. '":', 1, true) and 1 or 0
        suffered[kind] = (suffered[kind] or 0) + some
        any = any | some
      end
      suffered.any = suffered.any + any
    end
  end
  assert.equal("", folder:read "out.err")
  return seeds, suffered
end

-- Five nodes, three of which bear the group.
local function three_of_five()
  folder:write("node.lua", [[
local kv = node:replicate("kv", { machine = "kv", on = "store" })
if node.id <= "c" then node:listen("resp", kv:resp()) end]])
  local nodes = {}
  for i, id in ipairs { "a", "b", "c", "d", "e" } do
    local store = ('resp = "127.0.0.1:75%d", roles = { "store" }'):format(10 + i)
    nodes[i] = ('{ id = "%s", at = "127.0.0.1:74%d", %s }'):format(id, 10 + i, i <= 3 and store or "")
  end
  return folder:write("five.lua", ('return orrery.cluster { name = "five", node = "node.lua", nodes = { %s } }'):format(
    table.concat(nodes, ", ")))
end

describe("the swarm", function()
  it("damages and loses disks, which those who acknowledged bear", function()
    local seeds, suffered = hold "examples/kv/cluster.lua --faults swarm --seeds 1:60 --for 15"
    assert.equal(60, seeds)
    assert.is_true(suffered.any >= 6 and suffered.any <= 30)
    for _, kind in ipairs(damages) do assert.is_true(suffered[kind] >= 1, kind) end
  end)

  -- A leader that could not read an entry, or its snapshot, for a follower tried for ever; the judge of disks knew no
  -- release.
  for _, seed in ipairs { 10041, 10254, 10274 } do
    it(("holds seed %d"):format(seed), function()
      local seeds = hold(("examples/kv/cluster.lua --faults swarm --seed %d --for 30"):format(seed))
      assert.equal(1, seeds)
    end)
  end

  it("leaves alone what a node keeps by itself", function()
    local seeds, suffered = hold("examples/workloads/unique-ids/cluster.lua --workload unique-ids --faults swarm " ..
      "--seeds 1:40 --for 5")
    assert.equal(40, seeds)
    assert.equal(0, suffered.any)
  end)

  -- Of these, 1 and 4 once waited for a damaged node's answer.
  it("wants no final read of a node whose disk is gone", function()
    local _, suffered = hold "examples/workloads/log/cluster.lua --workload log --faults swarm --seeds 1:4 --for 15"
    assert.is_true(suffered.any >= 2)
  end)

  -- Once, two of the three were taken away.
  for _, faults in ipairs { "default", "swarm" } do
    it("and " .. faults .. " faults leave each group a majority of its voters", function()
      assert.equal(15, (hold(("'%s' --faults %s --seeds 1:15 --for 8"):format(three_of_five(), faults))))
    end)
  end
end)
