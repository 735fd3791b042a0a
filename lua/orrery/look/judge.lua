-- judge.lua - what a run is measured by: sim:always and sim:eventually, sim:assert_linearizable(model),
-- sim:assert_converges(T), sim:rto(verb); and sim:check(), which says what came of it.
local arguments = require "orrery.sim.arguments"
local check = require "orrery.check"
local cluster = require "orrery.cluster"
local faults = require "orrery.faults"
local interrupt = require "orrery.interrupt"
local options = require "orrery.options"
local time = require "orrery.sim.time"
local travel = require "orrery.travel"

local judge = {}

-- -- What must hold -------------------------------------------------------------------------------------------------
local function check_name(what, name)
  arguments.check(what, "name", { "string", expected = "a sentence that names what must hold" }, name, 3)
end

local function add_property(sim, name, f)
  sim.properties[#sim.properties + 1] = { name = name, f = f }
end

-- f(sim) must be true after each event that touches a node; false, why: violated.
function judge.always(sim, name, f)
  faults.opened(sim, "always")
  check_name("sim:always", name)
  travel.perform(sim, add_property, name, arguments.callable("sim:always", "f", f, 2))
end

-- Goes on until f(sim) is true, at most T: true; or nil and what is violated now.
function judge.eventually(sim, name, T, f)
  faults.opened(sim, "eventually")
  check_name("sim:eventually", name)
  local until_ns = sim.core:now() + arguments.time("sim:eventually", "T", T, 2)
  arguments.callable("sim:eventually", "f", f, 2)
  local ok, why = f(sim)
  if ok then return true end
  local met = time.advance(sim, "eventually", until_ns, function()
    ok, why = f(sim)
    return ok
  end, "touch")
  if not met and not sim.fresh and not interrupt.pending() then
    sim:violated(name, ("not within %g s%s"):format(T, why and ": " .. tostring(why) or ""))
  end
  return time.told(sim)
end

-- A report where nothing was violated; or nil and what was first, with its seed and how to see it again.
function judge.check(sim)
  faults.opened(sim, "check")
  if sim.violation then return nil, sim.violation, "violated" end
  return {
    seed = sim.seed, virtual_s = sim:now(), events = sim.core:events(), digest = sim.core:digest(),
    faults = sim.core:counts(), properties = #sim.properties,
  }
end

-- -- What clients saw ----------------------------------------------------------------------------------------------
-- sim:assert_linearizable(model): the history of the simulation's workload so far is one of that model, the workload's
-- own unless another is named: the checker's report. Or it raises the calls that contradict each other, and check()
-- says so too.
function judge.assert_linearizable(sim, model)
  faults.opened(sim, "assert_linearizable")
  if not sim.runner then error("sim:assert_linearizable: no workload is attached to this simulation", 2) end
  local report, message = check.history(sim.runner.history, { model = model or sim.runner.workload.model })
  if not report then error("sim:assert_linearizable: " .. message, 2) end
  if report.result == "ok" then return report end
  if report.result == "violated" then sim:violated(report.property, report.text) end
  error(("sim:assert_linearizable: %s: %s"):format(report.result, report.text), 2)
end

-- -- Converging -----------------------------------------------------------------------------------------------------
-- f(id, name, status) for each replica that is up, by id and group.
local function each_replica(sim, f)
  for _, id in ipairs(sim.ids) do
    local groups = sim.core:state(id) == "up" and (sim.core:status(id) or {}).groups or {}
    for _, name in ipairs(options.keys(groups)) do f(id, name, groups[name]) end
  end
end

local function commits(sim)
  local most = {}
  each_replica(sim, function(_, name, g) most[name] = math.max(most[name] or 0, g.commit) end)
  return most
end

-- Nil; or who is behind, in words.
local function behind(sim, goals)
  local text
  each_replica(sim, function(id, name, g)
    if g.applied >= (goals[name] or 0) then return end
    text = text or ("%s has applied %s only up to %d, and %d was committed"):format(id, name, g.applied, goals[name])
  end)
  return text
end

-- sim:assert_converges(T): within T every replica that is up has applied all that was committed anywhere when this was
-- asked, the same index on all. True, or it raises what is behind, and check() says so too.
function judge.assert_converges(sim, T)
  faults.opened(sim, "assert_converges")
  if type(T) ~= "number" or not (T >= 0) then
    error(("sim:assert_converges: 'T' must be a number of seconds (got %s)"):format(options.got(T)), 2)
  end
  local goals = commits(sim)
  local ok, message = sim:run_until(function() return behind(sim, goals) == nil end, T)
  if ok then return true end
  local text = behind(sim, goals)
  if not text then error(message, 2) end               -- something else was violated on the way
  text = ("not within %g s: %s"):format(T, text)
  sim:violated("converges", text)
  error("sim:assert_converges: " .. text, 2)
end

-- -- How long nobody is answered ------------------------------------------------------------------------------------
local spec = {
  tries = { "integer", min = 1, max = 1000, default = 5 },
  limit = { "seconds", default = 30 },
  write = { "table", expected = "an array: a message's name and what goes with it" },
}
local again_after = 0.01

-- "kill leader", "cut a b" -> a function of a simulation that does it.
local function action(sim, verb)
  if type(verb) == "function" then return verb end
  local words = {}
  for word in (type(verb) == "string" and verb or ""):gmatch "%S+" do words[#words + 1] = word end
  if not faults.verbs[words[1] or ""] then
    error(("sim:rto: 'verb' must be a function or a text like \"kill leader\" (got %s%s)"):format(options.got(verb),
      options.hint(words[1], options.keys(faults.verbs))), 3)
  end
  for i = 2, #words do
    if words[i] ~= "leader" and not sim.index[words[i]] and not tonumber(words[i]) then
      error(("sim:rto: %s in %q must be leader, a node or a number%s"):format(options.got(words[i]), verb,
        options.hint(words[i], sim.ids)), 3)
    end
  end
  return function(s)
    local arguments = {}
    for i = 2, #words do
      arguments[i - 1] = words[i] == "leader" and (s:leader() or s.ids[1]) or tonumber(words[i]) or words[i]
    end
    return s[words[1]](s, table.unpack(arguments))
  end
end

-- A write that is under way at a node: { done() -> true | false | nil: not yet, close() }.
local function message_writer(sim, write)
  return function(s, id, T)
    local asked = s:ask("ask", id, write[1], math.floor(T * 1e9), table.unpack(write, 2))
    return asked and {
      done = function()
        if not asked:over() then return nil end
        local ok, value = asked:results()
        return ok and value ~= nil
      end,
      close = function() asked:close() end,
    }
  end, sim.ids
end

local function redis_writer(sim)
  local ids = {}
  for _, id in ipairs(sim.ids) do
    if cluster.node(sim.cluster, id).listen.resp then ids[#ids + 1] = id end
  end
  if #ids == 0 then
    error("sim:rto: no node has a resp listener: say what a write is, write = { NAME, ... }, a message of the nodes", 3)
  end
  return function(s, id, T)
    local client = s:client { to = id, timeout = T }
    client:start("SET", "orrery:rto", id)
    return {
      done = function()
        if not client:over() then return nil end
        return client:finish() == "OK"
      end,
      close = function() client:close() end,
    }
  end, ids
end

-- Writes at all nodes at once, again where they fail, until one is done: true, or false.
local function answered(s, begin, ids, limit)
  local till, tries, ok = s:now() + limit, {}, false
  repeat
    for _, id in ipairs(ids) do
      if not tries[id] and s.core:state(id) == "up" then tries[id] = begin(s, id, math.max(0.001, till - s:now())) end
    end
    local pause = s:now() + again_after
    s:wait(function()
      for _, id in ipairs(ids) do
        local how = tries[id] and tries[id].done()
        if how then ok = true end
        if how == false then
          tries[id].close()
          tries[id] = nil
        end
      end
      return ok or s:now() >= pause
    end, again_after)
  until ok or s:now() >= till
  for _, id in ipairs(ids) do if tries[id] then tries[id].close() end end
  return ok
end

-- What a verb may have left, undone: links, nodes that are down or paused.
local function mend(s)
  s:heal(s.ends, s.ends)
  for _, id in ipairs(s.ids) do
    local state = s.core:state(id)
    if state == "down" then s:restart(id) elseif state == "paused" then s:resume(id) end
  end
end

-- One try: how long it took; or nil and why not.
local function try(s, act, begin, ids, limit)
  if not answered(s, begin, ids, limit) then return nil, "nobody was answered before, either", "unavailable" end
  local at = s:now()
  act(s)
  if answered(s, begin, ids, limit) then return s:now() - at end
  return nil, ("nobody was answered within %g s"):format(limit), "timeout"
end

local settling, shift = 2, 0.0137                       -- each try comes at another moment of timers and heartbeats

-- All tries, one after the other on a branch; or nil, message, code.
local function all_tries(sim, n, ...)
  local s <close> = sim:branch()
  if not s then return nil, "interrupted", "cancelled" end
  local took = {}
  for i = 1, n do
    local T, message, code = try(s, ...)
    if not T then return nil, ("try %d: %s"):format(i, message), code end
    took[i] = T
    mend(s)
    s:run(settling + shift * i)
  end
  return took
end

-- sim:rto(verb, { tries = 5, limit = 30, write }) -> median, longest, all: the seconds until a write that was asked for
-- after the verb was answered, on a branch, so that the simulation stays where it is. nil, message, code.
function judge.rto(sim, verb, opts)
  faults.opened(sim, "rto")
  local checked = options.check(opts == nil and {} or opts, spec, "sim:rto", 2)
  local act = action(sim, verb)
  local begin, ids
  if checked.write then begin, ids = message_writer(sim, checked.write) else begin, ids = redis_writer(sim) end
  local took, message, code = all_tries(sim, checked.tries, act, begin, ids, checked.limit)
  if not took then return nil, "sim:rto: " .. message, code end
  local sorted = table.move(took, 1, #took, 1, {})
  table.sort(sorted)
  local middle = #sorted // 2
  local median = #sorted % 2 == 1 and sorted[middle + 1] or (sorted[middle] + sorted[middle + 1]) / 2
  return median, sorted[#sorted], took
end

return judge
