-- workload.lua - clients that do operations on a simulated cluster, what they saw, and whether that was right.
--
--     local sim <close> = orrery.sim("examples/kv/cluster.lua", { seed = 17, faults = "default", workload = "kv" })
--     local runner = workload.of(sim)
--     sim:run(10)                                     -- faults strike, clients are at work
--     sim:heal()
--     runner:quiet()                                  -- no new operations; final reads, if the workload has any
--     sim:run_until(function() return runner:settled() end, 60)
--     print(runner:judge())                           --> true; or nil, property, message
--
-- A workload is its functions; all that a run needs to remember is in the run's own tables (client.state and
-- client.shared), so one workload serves any number of runs. The ones that come with Orrery are in workloads/.
local check = require "orrery.check"
local environment = require "orrery.environment"
local history = require "orrery.history"
local later = require "orrery.later"
local options = require "orrery.options"
local reach = require "orrery.reach"
local show = require "orrery.show"
local travel = require "orrery.travel"
local workload_client = require "orrery.workload_client"

local workload = {}
local values = setmetatable({}, { __mode = "k" })       -- all workloads
local patience, again = 15, 0.25                        -- s: for a final read to be answered, between two tries

workload.names = { "broadcast", "counter", "echo", "g-set", "kv", "lock", "log", "pn-counter", "queue", "register",
  "unique-ids" }

-- -- Making one -----------------------------------------------------------------------------------------------------
local function a_function(v)
  if type(v) == "function" then return v end
  return nil, "a function"
end

local function a_model(v)
  local names = check.models()
  local known = type(v) == "table" and type(v.step) == "function"
  for _, name in ipairs(names) do known = known or v == name end
  if known then return v end
  return nil, options.either(names) .. ", or { init, step }"
end

local spec = {
  clients = { "integer", min = 1, max = 1000, default = 4 },
  rate = { "number", above = 0, max = 1e6, default = 50 },
  generate = { a_function, required = true },
  invoke = { a_function, required = true },
  final = { a_function },
  timeout = { "seconds" },
  settle = { "number", min = 0, max = 3600, default = 15 },
  model = { a_model },
  check = { a_function },
  floor = { "integer", min = 0, default = 100 },
  most = { "integer", min = 1, max = 10000000, default = 100000 },
}

local meta = {
  __name = "orrery.workload",
  __tostring = function(self) return ("orrery.workload(%s)"):format(self.name) end,
}

-- orrery.workload{...}: checked; raises where something is wrong.
function workload.new(given)
  local value = options.check(given, spec, "orrery.workload", 2)
  if not value.model and not value.check then
    error("orrery.workload: 'model' or 'check' is missing: nothing would be judged", 2)
  end
  value.name = "workload"
  values[value] = true
  return setmetatable(value, meta)
end

function workload.is(v) return values[v] == true end

-- -- Files ----------------------------------------------------------------------------------------------------------
-- What a workload file sees: what has the same result in every process, as a cluster file does.
local function file_environment()
  local env = environment.script()
  env.math.random, env.math.randomseed = nil, nil         -- chance is `random`, which generate is given
  env.coroutine, env.print = nil, print
  env.orrery = later.guard("orrery", { workload = workload.new, show = show.show }, later.orrery)
  return environment.close(env, "a workload file")
end

local function with_path(path, message)
  message = type(message) == "string" and message or "raised " .. options.got(message)
  return message:find(path .. ":", 1, true) == 1 and message or path .. ": " .. message
end

local function load_file(path, name)
  local file, why = io.open(path)
  if not file then return nil, why end
  local text = file:read "a"
  file:close()
  local chunk, message = load((text or ""):gsub("^#[^\n]*", "", 1), "@" .. path, "t", file_environment())
  if not chunk then return nil, with_path(path, message) end
  local ok, value = pcall(chunk)
  if not ok then return nil, with_path(path, value) end
  if not workload.is(value) then
    return nil, ("%s: must return orrery.workload{...} (got %s)"):format(path, options.got(value))
  end
  value.name = name
  return value
end

-- The workload of a name ("kv") or a file ("my/workload.lua"); or nil and one line for people.
function workload.load(what)
  if type(what) ~= "string" then
    error(("workload.load: a name or the path of a file is expected (got %s)"):format(options.got(what)), 2)
  end
  if what:find "/" or what:find "%.lua$" then return load_file(what, what:match "([^/]+)%.lua$" or what) end
  local path = package.searchpath("orrery.workloads." .. what, package.path)
  if path then return load_file(path, what) end
  return nil, ("there is no workload %s%s; there are %s, and your own files (FILE.lua)"):format(options.got(what),
    options.hint(what, workload.names), table.concat(workload.names, ", "))
end

-- -- A run ----------------------------------------------------------------------------------------------------------
-- sim.runner is what the run has now: begun anew on the way back, as all that a simulation has besides its core. What
-- users have (below) looks it up.

local function record(self, entry)
  self.history[#self.history + 1] = entry
  return entry
end

-- Only these two leave open whether something happened.
local open_codes = { unknown = true, failed = true }

local function outcome_of(result, message, code)
  if result ~= nil or message == nil then return "ok" end
  return open_codes[code] and "info" or "fail"
end

-- A process does one thing after the other: one whose last operation may still happen does no more.
local function next_process(self)
  self.processes = self.processes + 1
  return self.processes - 1
end

-- One operation: its outcome, and why it failed.
local function perform(self, client, op, final)
  if type(op) ~= "table" or type(op.f) ~= "string" then
    error(("workload %s: an operation must be { f = , key = , value = } (got %s)"):format(self.workload.name,
      show.show(op)), 0)
  end
  local process, sim = client.process, self.sim
  record(self, { process = process, type = "invoke", f = op.f, key = op.key, value = op.value, time = sim.core:now(),
    final = final })
  local node = client.node
  local result, message, code = self.workload.invoke(client, op)
  local outcome = outcome_of(result, message, code)
  local entry = record(self, { process = process, type = outcome, f = op.f, key = op.key, value = result,
    time = sim.core:now(), node = node, final = final })
  self.totals[outcome] = self.totals[outcome] + 1
  if outcome == "ok" then
    self.by_f[op.f] = (self.by_f[op.f] or 0) + 1
    return "ok"
  end
  entry.value, entry.error = op.value, code or "failed"
  if outcome == "info" then client.process = next_process(self) end
  return outcome, message
end

local function full(self)
  local totals = self.totals
  return totals.ok + totals.fail + totals.info >= self.workload.most
end

-- A client's life: operations that begin, on average, so often that all clients together come to `rate`; later where
-- the one before took longer.
local function work(self, client)
  local sim, load = self.sim, self.workload
  local interval = 2 * load.clients / load.rate
  local due = sim.core:now() + reach.in_ns(client.chance() * interval)
  local function stopped() return self.stopped end
  while not stopped() and not full(self) do
    if sim.outside:wait(stopped, due) then break end
    local op = load.generate(client, client.random)
    if op and not stopped() and perform(self, client, op) ~= "ok" then client:move() end
    due = math.max(sim.core:now(), due + reach.in_ns(client.chance() * interval))
  end
  client:close()
  self.active = self.active - 1
end

-- What the node answers at the end, asked until it does; once, where its disk was lost or damaged: it owes nothing.
local function read_at_last(self, client)
  local sim = self.sim
  local ends = sim.core:now() + reach.in_ns(patience)
  local op = self.workload.final(client)
  local outcome, message = perform(self, client, op, true)
  local owes = not sim.core:damaged(client.node)
  while outcome ~= "ok" and owes and sim.core:now() < ends do
    client:sleep(again)
    outcome, message = perform(self, client, op, true)
  end
  client:close()
  if outcome ~= "ok" and owes then self.silent = self.silent or message end
  self.active = self.active - 1
end

local function new_client(self, node)
  self.clients = self.clients + 1
  local client = workload_client.new(self.sim, self.clients, self.common, self.workload.timeout or
    self.sim.cluster.timing.call)
  client.process = next_process(self)
  if node then client.node = node end
  self.active = self.active + 1
  return client
end

local function begin(self, f, node)
  local client = new_client(self, node)
  self.sim.outside:spawn(function() f(self, client) end)
end

-- Behind the last operation: time for the nodes to tell each other, then all are read.
local function finish(self)
  local sim = self.sim
  sim.outside:wait(function() return self.active == 0 end, math.maxinteger)
  if self.workload.final then
    sim.outside:sleep_until(sim.core:now() + reach.in_ns(self.workload.settle))
    for _, id in ipairs(sim.ids) do begin(self, read_at_last, id) end
    sim.outside:wait(function() return self.active == 0 end, math.maxinteger)
  end
  self.over = true
end

local function set_to_work(sim, value)
  local self = {
    sim = sim, workload = value, history = history.new(), totals = { ok = 0, fail = 0, info = 0 }, by_f = {},
    common = { unique = 0, shared = {} }, clients = 0, processes = 0, active = 0,
    stopped = false, over = false, silent = nil, report = nil,
  }
  sim.runner = self
  for _ = 1, value.clients do begin(self, work) end
end

local function stop(sim)
  local self = sim.runner
  self.stopped = true
  sim.outside:spawn(function() finish(self) end)
end

-- -- Judging --------------------------------------------------------------------------------------------------------
local function judge_model(self)
  local model = self.workload.model
  if not model then return true end
  local report, message = check.history(self.history, { model = model })
  if not report then error(("workload %s: %s"):format(self.workload.name, message), 0) end
  self.report = report
  if report.result == "violated" then return nil, report.property, report.text end
  return true
end

local function judge_check(self)
  if not self.workload.check then return true end
  local ok, message = self.workload.check(self.history, self.sim)
  if ok then return true end
  return nil, self.workload.name, message or "its check says no"
end

local function judge_rest(self)
  if self.silent then return nil, "liveness", "a final read has no answer: " .. self.silent end
  if self.report and self.report.result == "undecided" then
    return nil, "undecided", self.report.text
  end
  if self.totals.ok >= self.workload.floor then return true end
  return nil, "floor", ("only %d operations were done, at least %d prove something"):format(self.totals.ok,
    self.workload.floor)
end

-- -- What users have ------------------------------------------------------------------------------------------------
local methods = {}
local meta_of_runner = { __name = "orrery.workload_runner" }

local function now(self)
  return self.sim.runner or error("the workload is not at work at this time of the run", 3)
end

-- No new operations from now on: those under way end, and the final reads are made. To be called once the cluster is
-- left alone (sim:heal), and followed by virtual time until settled().
function methods:quiet()
  if not now(self).stopped then travel.perform(self.sim, stop) end
end

-- Has all ended that quiet() lets end?
function methods:settled() return now(self).over end

-- { operations, ok, fail, info, by = { [f] = how many were ok } }: those that ended.
function methods:counts()
  local run, by = now(self), {}
  local totals = run.totals
  for f, n in pairs(run.by_f) do by[f] = n end
  return { operations = totals.ok + totals.fail + totals.info, ok = totals.ok, fail = totals.fail, info = totals.info,
    by = by }
end

-- true; or nil, which property was violated, and how: "linearizable" or what else the model claims; the workload's name
-- (its check); "liveness"; "undecided"; "floor".
function methods:judge()
  local run = now(self)
  for _, judge in ipairs { judge_model, judge_check, judge_rest } do
    local ok, property, message = judge(run)
    if not ok then return nil, property, message end
  end
  return true
end

function meta_of_runner:__index(key)
  if methods[key] then return methods[key] end
  if key == "history" or key == "workload" or key == "report" then return now(self)[key] end
end

function meta_of_runner:__tostring()
  local c = self:counts()
  return ("orrery.workload_runner(%s: %d ok, %d failed, %d unknown)"):format(self.workload.name, c.ok, c.fail, c.info)
end

-- The runner of the workload that is attached to the simulation (of a branch, say); nil: none is.
function workload.of(sim)
  return sim.runner and setmetatable({ sim = sim }, meta_of_runner) or nil
end

-- The workload's clients are at work in this simulation from now on: its runner.
function workload.attach(sim, value)
  if not workload.is(value) then
    error(("workload.attach: a workload is expected (got %s)"):format(options.got(value)), 2)
  elseif sim.runner then
    error("workload.attach: the simulation has a workload already: " .. sim.runner.workload.name, 2)
  end
  travel.perform(sim, set_to_work, value)
  return workload.of(sim)
end

return workload
