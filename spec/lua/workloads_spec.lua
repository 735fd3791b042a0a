-- workloads_spec.lua - the workloads that come with Orrery: each holds on its service under faults, and finds what is
-- wrong with one that is nearly right.
local orrery = require "orrery"
local workload = require "orrery.workload"

local folder = dofile "spec/lua/folder.lua"()
teardown(function() folder:remove() end)
local held, tried = 4, 30           -- seeds for which it must hold; within so many a bug must be found

local function judged(path, name, seed)
  local sim <close> = orrery.sim(path, { seed = seed, faults = "default", workload = name })
  local runner = workload.of(sim)
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

-- A fault's message may have many lines: the last ones say why.
local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
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

-- name -> its service, what is wrong with it in the end, and how that is done; what is violated, where it isn't the
-- workload's own check.
local services = {
  kv = { "examples/luakv", "readers are given the copy that is here", 'kv:read    { "get"', 'kv:peek    { "get"',
    "linearizable" },
  register = { "examples/workloads/register", "readers are given the copy that is here",
    'registers:read { "read"',
    'registers:peek { "read"', "linearizable" },
  counter = { "examples/counter", "readers are given the copy that is here", "counter:read(function(s) return s.n end)",
    "counter:peek().n", "linearizable" },
  queue = { "examples/workloads/queue", "elements are taken from the wrong end",
    'local element = queue.elements[queue.first]\n      queue.elements[queue.first] = nil\n' ..
    '      queue.first = queue.first + 1', "local element = queue.elements[queue.last]\n" ..
    "      queue.elements[queue.last] = nil\n      queue.last = queue.last - 1", "linearizable" },
  echo = { "examples/workloads/echo", "two callers share a variable",
    "function(text) return text end",
    "function(text) node.state.last = text node:sleep(0.001) return node.state.last end" },
  ["unique-ids"] = { "examples/workloads/unique-ids", "a life isn't counted on the disk",
    "if not durable then", "if false then" },
  broadcast = { "examples/workloads/broadcast", "messages are taken in memory",
    'local ok, message = node:save("taken", taken)',
    "local ok, message = true" },
  ["g-set"] = { "examples/workloads/g-set", "elements are added in memory",
    'local ok, message = node:save("set", set)',
    "local ok, message = true" },
  ["pn-counter"] = { "examples/workloads/pn-counter", "a node's numbers are in memory",
    'local ok, message = node:save("own", own)',
    "local ok, message = true" },
  log = { "examples/workloads/log", "readers are given the copy that is here",
    'logs:read { "poll"', 'logs:peek { "poll"' },
  lock = { "examples/workloads/lock", "old tokens are good for writing",
    'if not lock or op.token < lock.token then return nil, "the', 'if not lock then return nil, "the' },
}

for _, name in ipairs(workload.names) do
  local service, what, right, wrong, violated = table.unpack(services[name])
  describe("the workload " .. name, function()
    it("holds on its service, whatever strikes", function()
      for seed = 1, held do
        local ok, property, message = judged(service .. "/cluster.lua", name, seed)
        assert.is_true(ok, ("seed %d: %s: %s"):format(seed, property, message))
      end
    end)

    it("finds that " .. what, function()
      local seed, property = found(planted(service, right, wrong), name)
      assert.is_truthy(seed)
      assert.equal(violated or name, property)
    end)
  end)
end

it("the workload kv holds on the machine written in C, too", function()
  for seed = 1, held do assert.is_true(judged("examples/kv/cluster.lua", "kv", seed)) end
end)

describe("services that are wrong are found:", function()
  it("a lock without fencing", function()
    local seed, property, message = found("examples/unfenced-lock/cluster.lua", "lock")
    assert.is_true(seed <= 5)
    assert.equal("lock", property)
    assert.matches("took a write to l%d with token %d+, though one with token %d+ was taken before it began$", message)
  end)

  it("a counter that loses updates", function()
    local seed, property, message = found("examples/lost-update/cluster.lua", "counter")
    assert.is_true(seed <= 5)
    assert.equal("linearizable", property)
    assert.matches("^these 2 calls fit into no order:", lines_of(message)[1])
  end)
end)
