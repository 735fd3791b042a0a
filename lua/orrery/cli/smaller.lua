-- smaller.lua - orrery sim --shrink: the smallest run that fails as one did, by strikes, time, clients and nodes.
--
-- A candidate counts if it fails by the same property. Nodes come last: a cluster of fewer nodes is another run, with
-- other draws, so each is tried with some seeds; and where the failure needs faults, the smaller cluster must hold
-- without any, for else it is its size that fails. Which clusters may be made smaller, cluster.without says.
local cluster = require "orrery.cluster"
local faults = require "orrery.faults"
local lab = require "orrery.lab"
local shrink = require "orrery.shrink"

local smaller = {}
local seeds = 4                     -- that a cluster of fewer nodes is tried with

local function copy(run, fields)
  local out = {}
  for name, v in pairs(run) do out[name] = v end
  for name, v in pairs(fields or {}) do out[name] = v end
  return out
end

-- The run's result where it fails in the same way.
local function fails_alike(run, property, fields)
  local r = lab.run(copy(run, fields))
  return r and not r.ok and r.property == property and r or nil
end

local function with(strikes) return { text = faults.write(strikes) } end

-- The run, if it fails as well when it ends after so many seconds.
local function shorter(run, property, seconds)
  seconds = math.ceil(seconds)
  if seconds < run.seconds and fails_alike(run, property, { seconds = seconds }) then run.seconds = seconds end
end

-- The time of the last strike's end, in seconds.
local function last_of(strikes)
  local last = 0
  for _, strike in ipairs(strikes) do last = math.max(last, strike.till or strike.at) end
  return last / 1e9
end

-- The fewest strikes of the list with which the run fails; how many runs that took.
local function fewer_strikes(run, property, list)
  local least, asked = shrink.strikes(list, function(some)
    local fails = fails_alike(run, property, { faults = with(some) })
    if fails then io.stderr:write(("\r%d strikes   "):format(#some)) end
    return fails
  end)
  run.faults = with(least)
  shorter(run, property, last_of(least) + 1)
  return least, asked
end

-- The fewest clients with which the run fails, of the kv workload or of another.
local function fewer_clients(run, property)
  local load = run.workload
  local n = load and load.clients or run.clients
  local function set(k)
    if load then load.clients = k else run.clients = k end
  end
  if n == 0 then return end
  set(shrink.number(1, n, function(k)
    set(k)
    return fails_alike(run, property)
  end))
end

-- The run without those nodes, and its strikes, with a seed with which it fails; nil: there is none.
local function run_without(run, property, strikes, gone, without)
  local list = shrink.strikes_without(strikes, gone)
  local part = list and without(gone)
  if not part or run.clients > 0 and not part.served then return nil end
  for seed = run.seed, run.seed + seeds - 1 do
    local tried = copy(run, { value = part.value, nodes = part.nodes, faults = with(list), seed = seed })
    if fails_alike(tried, property) then
      local unhurt = #list > 0 and lab.run(copy(tried, { faults = with {} }))
      if not unhurt or unhurt.ok then return tried, list end
    end
  end
end

-- The run with the fewest nodes with which it fails, its strikes, and the ids of those that are left out.
local function fewer_nodes(run, property, strikes, without)
  local best, least = run, strikes
  local gone = shrink.nodes(cluster.ids(run.value), function(ids)
    local tried, list = run_without(run, property, strikes, ids, without)
    if tried then best, least = tried, list end
    return tried ~= nil
  end)
  if #gone == 0 then return run, strikes, gone end
  io.stderr:write(("\r%d nodes   "):format(#best.nodes))
  least = fewer_strikes(best, property, least)
  fewer_clients(best, property)
  return best, least, gone
end

local function joined(a, b)
  return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {}))
end

-- Writes the smallest run found that fails as `run` did with the result r, as a fault file whose comment says what it
-- violates and how to play it. how: opts; replay(opts, seed), the command; without(gone), the cluster without those
-- nodes: { value, nodes, served }, or nil. True, or nil and why not.
function smaller.write(file, run, r, how)
  local played = lab.run(copy(run, { record = true }))
  local strikes, property, nodes = played.strikes, r.property, #run.nodes
  run = copy(run, { faults = with(strikes) })
  if not fails_alike(run, property) then
    return nil, ("its %d strikes, played from a file, don't make it fail"):format(#strikes)
  end
  shorter(run, property, r.virtual_s + 0.001)
  local least, asked = fewer_strikes(run, property, strikes)
  fewer_clients(run, property)
  local gone
  run, least, gone = fewer_nodes(run, property, least, how.without)
  local last = lab.run(run)
  io.stderr:write(("\r%d of %d strikes, in %d runs; %d of %d nodes\n"):format(#least, #strikes, asked, #run.nodes,
    nodes))
  local clients = run.workload and run.workload.clients or run.clients
  local without = joined(how.opts.without or {}, gone)
  local again = copy(how.opts, { faults = file, clients = clients > 0 and clients or nil, ["for"] = run.seconds,
    without = #without > 0 and without or nil })
  local out, message = io.open(file, "w")
  if not out then return nil, message end
  local what = (last.property .. ": " .. last.violation):gsub("\n+$", "")
  out:write(("%s\n-- again: %s\n%s"):format(shrink.comment(what), how.replay(again, run.seed), run.faults.text))
  return out:close()
end

return smaller
