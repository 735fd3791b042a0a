-- workloads_spec.lua - the workloads that come with Orrery: each holds on its service under faults, and finds what is
-- wrong with one that is nearly right.
local orrery = require "orrery"
local workload = require "orrery.workload"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)
local held, tried = 4, 30           -- seeds for which it must hold; within so many a bug must be found

local function judged(path, name, seed)
  local sim <close> = orrery.sim(path, { seed = seed, faults = "default" })
  local runner = workload.attach(sim, assert(workload.load(name)))
  assert(sim:run(10))
  sim:heal()
  runner:quiet()
  assert(sim:run_until(function() return runner:settled() end, 60))
  return runner:judge()
end

-- The first seed for which something is violated, what, and how.
local function found(path, name)
  for seed = 1, tried do
    local ok, property, message = judged(path, name, seed)
    if not ok then return seed, property, message end
  end
end

-- A copy of the service, with `right` in its script replaced by `wrong`.
local function planted(service, right, wrong)
  os.execute(("cp -r '%s' '%s/%s'"):format(service, folder.path, service:match "[^/]+$"))
  local path = service:match "[^/]+$" .. "/node.lua"
  local text = folder:read(path)
  local from, to = text:find(right, 1, true)
  assert.is_truthy(from, "the script has no " .. right)
  folder:write(path, text:sub(1, from - 1) .. wrong .. text:sub(to + 1))
  return folder.path .. "/" .. service:match "[^/]+$" .. "/cluster.lua"
end

local services = {
  echo = { "echo", "two callers share a variable", "function(text) return text end",
    "function(text) node.state.last = text node:sleep(0.001) return node.state.last end" },
  ["unique-ids"] = { "unique-ids", "a life isn't counted on the disk", "if not durable then", "if false then" },
  broadcast = { "broadcast", "messages are taken in memory", 'local ok, message = node:save("taken", taken)',
    "local ok, message = true" },
  ["g-set"] = { "g-set", "elements are added in memory", 'local ok, message = node:save("set", set)',
    "local ok, message = true" },
  ["pn-counter"] = { "pn-counter", "a node's numbers are in memory", 'local ok, message = node:save("own", own)',
    "local ok, message = true" },
  log = { "log", "readers are given the copy that is here", 'logs:read { "poll"', 'logs:peek { "poll"' },
  lock = { "lock", "old tokens are good for writing",
    'if not lock or op.token < lock.token then return nil, "the', 'if not lock then return nil, "the' },
}

for _, name in ipairs(workload.names) do
  local service = services[name]
  if service then
    describe("the workload " .. name, function()
      it("holds on its service, whatever strikes", function()
        for seed = 1, held do
          local ok, property, message = judged(("examples/workloads/%s/cluster.lua"):format(name), name, seed)
          assert.is_true(ok, ("seed %d: %s: %s"):format(seed, property, message))
        end
      end)

      it("finds that " .. service[2], function()
        local seed, property = found(planted("examples/workloads/" .. service[1], service[3], service[4]), name)
        assert.is_truthy(seed)
        assert.equal(name, property)
      end)
    end)
  end
end

describe("services that are wrong", function()
  it("are found: a lock without fencing", function()
    local seed, property, message = found("examples/unfenced-lock/cluster.lua", "lock")
    assert.is_true(seed <= 5)
    assert.equal("lock", property)
    assert.matches("took a write to l%d with token %d+, though one with token %d+ was taken before it began$", message)
  end)
end)
