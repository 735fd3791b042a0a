-- faults.lua - the verbs that hurt and mend a simulation, and the moments that they hang on.
--
-- Who comes first, how much last. Who: an id, an array of ids, or a function of the simulation that gives one of these;
-- it is asked when the moment comes. Each verb is { what it takes..., act = f }; act(sim, temporary, ...) does it now
-- and returns true, or nil, message, code. What has a value (a cut, a delay, a slow disk) is *held*: who sets it
-- for a while (`temporary`, a list that undoes are put into) lays his value over the others', and takes it back.
local options = require "orrery.options"
local travel = require "orrery.travel"

local faults = {}
local ns = 1000000000

-- Raises where a method is called on something else than a simulation, or on a closed one.
function faults.opened(sim, name)
  local mt = getmetatable(sim)
  if type(mt) ~= "table" or mt.__name ~= "orrery.sim" then
    error(("sim.%s must be called as a method: sim:%s(...)"):format(name, name), 3)
  end
  if sim.closed then error(("sim:%s: the simulation is closed"):format(name), 3) end
end

-- -- What verbs take ------------------------------------------------------------------------------------------------
-- A rule is { name, kind, ... } as in options.lua; `optional` ones may be left out.
local function check_id(sim, v, clients)
  if type(v) == "string" and (sim.index[v] or clients and v == "clients") then return v end
  local known = table.move(sim.ids, 1, #sim.ids, 1, {})
  if clients then known[#known + 1] = "clients" end
  return nil, ("a node of the cluster (got %s%s)"):format(options.got(v), options.hint(v, known))
end

-- An array of ids, or nil and what was expected (and what came).
local function check_who(sim, v, clients)
  if type(v) ~= "table" then v = { v } end
  if #v == 0 then return nil, "an id or an array of ids (got none)" end
  for _, id in ipairs(v) do
    local ok, expected = check_id(sim, id, clients)
    if not ok then return nil, expected end
  end
  return v
end

local function raise(what, name, text, level)
  error(("%s: '%s' must be %s"):format(what, name, text), level + 1)
end

-- Ids of `who`, looked up now.
local function resolve(sim, who, what, rule, level)
  if type(who) == "function" then who = who(sim) end
  local ids, expected = check_who(sim, who, rule.clients)
  if not ids then raise(what, rule[1], expected, level + 1) end
  return ids
end

local function check_argument(sim, what, rule, v, level)
  if rule[2] == "who" then
    if type(v) == "function" then return v end
    local ids = resolve(sim, v, what, rule, level + 1)      -- no tail call: levels are counted
    return ids
  end
  if v == nil and rule.default ~= nil then return rule.default end
  local out, problem = options.value(v, { rule[2], of = rule.of, min = rule.min, max = rule.max })
  if problem then
    table.insert(problem.path, 1, rule[1])
    error(options.message(problem, what), level + 1)
  end
  return out
end

-- -- What is held ---------------------------------------------------------------------------------------------------
-- sim.held[key] = { put, normal, { value, token }, ... }: the last one counts.
local function put_last(held)
  local last = held[#held]
  local value = held.normal
  if last then value = last.value end
  held.put(value)
end

local function release(held, token)
  for i, entry in ipairs(held) do
    if entry.token == token then
      table.remove(held, i)
      return put_last(held)
    end
  end
end

local function hold(sim, temporary, key, normal, value, put)
  local held = sim.held[key]
  if not held then
    held = { put = put, normal = normal }
    sim.held[key] = held
  end
  local token = temporary or "now"
  for i, entry in ipairs(held) do if entry.token == token then table.remove(held, i) break end end
  held[#held + 1] = { value = value, token = token, since = sim.core:now() / ns }
  put_last(held)
  if temporary then temporary[#temporary + 1] = function() release(held, token) end end
end

-- An id as a pattern that finds it.
local function literally(id) return (id:gsub("%-", "%%-")) end

local function forget(sim, pattern)
  for _, key in ipairs(options.keys(sim.held)) do
    if key:find(pattern) then
      local held = sim.held[key]
      sim.held[key] = nil
      for i = #held, 1, -1 do held[i] = nil end
      put_last(held)
    end
  end
end

-- -- Links ----------------------------------------------------------------------------------------------------------
local function hold_link(sim, temporary, from, to, field, value)
  if from == to then return end
  local figures = sim.figures[from .. " " .. to] or sim.plain_link
  hold(sim, temporary, ("link %s %s %s"):format(from, to, field), figures[field], value, function(v)
    local link = sim.core:link(from, to)
    link[field] = v
    sim.core:set_link(from, to, link)
  end)
end

local function hold_links(sim, temporary, froms, tos, field, value)
  for _, from in ipairs(froms) do
    for _, to in ipairs(tos) do hold_link(sim, temporary, from, to, field, value) end
  end
  return true
end

local function both_ways(sim, temporary, a, b, field, value)
  hold_links(sim, temporary, a, b, field, value)
  return hold_links(sim, temporary, b, a, field, value)
end

local a_end, b_end = { "a", "who", clients = true }, { "b", "who", clients = true }
local from_end, to_end = { "from", "who", clients = true }, { "to", "who", clients = true }
local verbs = {}
faults.verbs = verbs

verbs.cut = { a_end, b_end, act = function(sim, temporary, a, b)
  return both_ways(sim, temporary, a, b, "cut", true)
end }
verbs.cut_way = { from_end, to_end, act = function(sim, temporary, from, to)
  return hold_links(sim, temporary, from, to, "cut", true)
end }

-- partition(set, set, ...): nodes that no set names stand together.
verbs.partition = { sets = true, act = function(sim, temporary, ...)
  local sets, named, rest = { ... }, {}, {}
  for _, set in ipairs(sets) do for _, id in ipairs(set) do named[id] = true end end
  for _, id in ipairs(sim.ids) do if not named[id] then rest[#rest + 1] = id end end
  sets[#sets + 1] = rest
  for i, a in ipairs(sets) do
    for k = i + 1, #sets do both_ways(sim, temporary, a, sets[k], "cut", true) end
  end
  return true
end }

-- As it was in the beginning, whoever changed it.
local function mend(sim, from, to)
  if from == to then return end
  forget(sim, ("^link %s %s "):format(literally(from), literally(to)))
  sim.core:set_link(from, to, sim.figures[from .. " " .. to] or sim.plain_link)
end

-- heal(a, b): cuts and figures of the links between them; heal(): of all. With faults = "default" heal() ends those.
verbs.heal = { a_end, b_end, none = true, act = function(sim, _, a, b)
  if not a and sim.raging then
    sim.raging, sim.held = false, {}
    sim.core:calm()
  end
  for _, x in ipairs(a or sim.ends) do
    for _, y in ipairs(b or sim.ends) do
      mend(sim, x, y)
      mend(sim, y, x)
    end
  end
  return true
end }

local function figure(field, kind, rule, convert)
  local amount = { "amount", kind, min = rule.min, max = rule.max }
  return { from_end, to_end, amount, all = { amount }, act = function(sim, temporary, from, to, value)
    if value == nil then from, to, value = sim.ends, sim.ends, from end
    return hold_links(sim, temporary, from, to, field, convert(value))
  end }
end

local function as_it_is(v) return v end
local function in_ns(v) return math.floor(v * ns + 0.5) end
local share, time = { min = 0, max = 1 }, { min = 0, max = 3600 }
verbs.delay = figure("delay", "number", time, in_ns)
verbs.jitter = figure("jitter", "number", time, in_ns)
verbs.bandwidth = figure("bandwidth", "integer", { min = 0, max = 1 << 40 }, as_it_is)
verbs.lose = figure("loss", "number", share, as_it_is)
verbs.duplicate = figure("duplicate", "number", share, as_it_is)
verbs.reorder = figure("reorder", "number", share, as_it_is)

-- reset(a, b), reset(): the streams between them break.
verbs.reset = { a_end, b_end, none = true, act = function(sim, _, a, b)
  for _, x in ipairs(a or sim.ends) do
    for _, y in ipairs(b or sim.ends) do if x < y or a and x ~= y then sim.core:reset(x, y) end end
  end
  return true
end }

-- -- Nodes ----------------------------------------------------------------------------------------------------------
local who = { "node", "who" }

-- f(id) for each; the first failure is the result.
local function each(ids, f)
  local ok, message, code = true, nil, nil
  for _, id in ipairs(ids) do
    local done, why, what = f(id)
    if done == nil and ok then ok, message, code = nil, why, what end
  end
  if ok then return true end
  return nil, message, code
end

local function start(sim, id, disk)
  local ok, message, code = sim.core:restart(id, disk)
  if ok then return true end
  return nil, ("%s: at %.3f: %s"):format(id, sim:now(), message), code
end

verbs.kill = { who, act = function(sim, temporary, ids)
  return each(ids, function(id)
    if sim.core:state(id) == "down" then return true end
    if temporary then
      temporary[#temporary + 1] = function()
        if sim.core:state(id) == "down" then return start(sim, id, "kept") end
      end
    end
    return sim.core:kill(id)
  end)
end }
verbs.restart = {
  who, { "disk", "choice", of = { "kept", "old", "empty" }, default = "kept" },
  act = function(sim, _, ids, disk)
    return each(ids, function(id) return start(sim, id, disk) end)
  end,
}
verbs.pause = { who, act = function(sim, temporary, ids)
  return each(ids, function(id)
    hold(sim, temporary, "pause " .. id, false, true, function(on)
      if on then sim.core:pause(id) else sim.core:resume(id) end
    end)
    return true
  end)
end }
verbs.resume = { who, act = function(sim, _, ids)
  return each(ids, function(id)
    forget(sim, "^pause " .. literally(id) .. "$")
    return sim.core:resume(id)
  end)
end }

-- Arms a fault for the k-th opportunity; taken back when its time is over.
local function arm(sim, temporary, ids, kind, k)
  return each(ids, function(id)
    if temporary then temporary[#temporary + 1] = function() sim.core:arm(id, kind, 0) end end
    return sim.core:arm(id, kind, k)
  end)
end

local count = { "k", "integer", min = 1, max = 1 << 53, default = 1 }
local effects = {
  event = "crash", submitted = "crash_submitted", written = "crash_written", synced = "crash_synced",
}
verbs.crash_at = {
  who, { "effect", "choice", of = { "event", "submitted", "written", "synced" } }, count,
  act = function(sim, temporary, ids, effect, k) return arm(sim, temporary, ids, effects[effect], k) end,
}
verbs.fail_alloc = { who, count, act = function(sim, temporary, ids, k)
  return arm(sim, temporary, ids, "alloc", k)
end }
verbs.fail_disk = { who, { "operation", "choice", of = { "read", "write", "sync" } }, count,
  act = function(sim, temporary, ids, operation, k) return arm(sim, temporary, ids, operation .. "_error", k) end,
}

-- -- Disks ----------------------------------------------------------------------------------------------------------
local function disk_speed(sim, temporary, ids, takes, syncs_only)
  return each(ids, function(id)
    hold(sim, temporary, "disk " .. id, false, { takes, syncs_only }, function(v)
      sim.core:disk_speed(id, v and v[1] or nil, v and v[2])
    end)
    return true
  end)
end

local amount = { "amount", "number", min = 0, max = 3600 }
verbs.slow_disk = { who, amount, act = function(sim, temporary, ids, takes)
  return disk_speed(sim, temporary, ids, in_ns(takes), false)
end }
-- A sync that hangs stays so until the node is restarted; those after the hang don't.
verbs.hang_disk = { who, act = function(sim, temporary, ids)
  return disk_speed(sim, temporary, ids, 86400 * ns, true)
end }
verbs.fill_disk = { who, { "bytes", "integer", min = 0, max = 1 << 53, default = 0 },
  act = function(sim, temporary, ids, bytes)
    return each(ids, function(id)
      hold(sim, temporary, "room " .. id, false, bytes, function(v) sim.core:disk_room(id, v or nil) end)
      return true
    end)
  end,
}

-- -- Clocks ---------------------------------------------------------------------------------------------------------
-- Wall clocks only jump; drift concerns the monotonic ones, too.
local function step_clock(sim, temporary, id, by)
  local _, ppb = sim.core:clock(id)
  if temporary then
    temporary[#temporary + 1] = function()
      local _, now_ppb = sim.core:clock(id)
      sim.core:set_clock(id, -by, now_ppb)
    end
  end
  return sim.core:set_clock(id, by, ppb)
end

local seconds = { "T", "number", min = -1e9, max = 9e9 }
verbs.step_clock = { who, seconds, act = function(sim, temporary, ids, by)
  return each(ids, function(id) return step_clock(sim, temporary, id, in_ns(by)) end)
end }
verbs.set_clock = { who, { "T", "number", min = 0, max = 9e9 }, act = function(sim, temporary, ids, to)
  return each(ids, function(id) return step_clock(sim, temporary, id, in_ns(to) - (sim.core:clock(id))) end)
end }
verbs.drift = { who, { "ppm", "number", min = -100000, max = 100000 }, act = function(sim, temporary, ids, ppm)
  return each(ids, function(id)
    local _, normal = sim.core:clock(id)
    hold(sim, temporary, "drift " .. id, normal, math.floor(ppm * 1000), function(ppb)
      sim.core:set_clock(id, 0, ppb)
    end)
    return true
  end)
end }

-- -- Doing ----------------------------------------------------------------------------------------------------------
local function rules_of(verb, n)
  if n == 0 and verb.none then return {} end
  if n == 1 and verb.all then return verb.all end
  return verb
end

-- The checked arguments, and their rules. A complaint points at the caller's line.
local function prepare(sim, name, level, ...)
  local verb, given, what = verbs[name], table.pack(...), "sim:" .. name
  local rules = rules_of(verb, given.n)
  if verb.sets then
    rules = {}
    for i = 1, math.max(given.n, 1) do rules[i] = { "set " .. i, "who" } end
  end
  if given.n > #rules then
    error(("%s: takes %d argument%s (got %d)"):format(what, #rules, #rules == 1 and "" or "s", given.n), level + 1)
  end
  local arguments = {}
  for i, rule in ipairs(rules) do arguments[i] = check_argument(sim, what, rule, given[i], level + 1) end
  return arguments, rules
end

local function act(sim, name, arguments, rules, temporary)
  local now = {}
  for i, rule in ipairs(rules) do
    local v = arguments[i]
    now[i] = rule[2] == "who" and resolve(sim, v, "sim:" .. name, rule, 1) or v
  end
  return verbs[name].act(sim, temporary, table.unpack(now, 1, #rules))
end

-- sim:VERB(...): now.
function faults.now(name)
  return function(sim, ...)
    faults.opened(sim, name)
    local arguments, rules = prepare(sim, name, 2, ...)
    return travel.perform(sim, act, name, arguments, rules)
  end
end

-- -- Moments --------------------------------------------------------------------------------------------------------
local moment = {}

-- Plans a verb: when from, till (or false) and kind say.
local function plan_verb(sim, kind, from, till, name, arguments, rules)
  local function strike(temporary)
    local ok, message = act(sim, name, arguments, rules, temporary)
    if ok == nil then sim:violated("crash", message) end
  end
  if kind == "every" then
    local function again(at)
      strike()
      sim:plan(at + from, again)
    end
    sim:plan(sim.core:now() + from, again)
  else
    local temporary = till and {} or nil
    sim:plan(from, function() strike(temporary) end)
    if temporary then
      sim:plan(till, function() for i = #temporary, 1, -1 do temporary[i]() end end)
    end
  end
end

-- moment:VERB(...): when it comes; the moment again, so verbs may follow each other.
local function later_verb(name)
  return function(self, ...)
    local sim = self.sim
    faults.opened(sim, name)
    local arguments, rules = prepare(sim, name, 2, ...)
    travel.perform(sim, plan_verb, self.kind, self.from, self.till, name, arguments, rules)
    return self
  end
end
for name in pairs(verbs) do moment[name] = later_verb(name) end

local meta = {
  __name = "orrery.moment",
  __index = function(_, key)
    if moment[key] then return moment[key] end
    local known = options.keys(moment)
    error(("moment:%s is unknown%s"):format(tostring(key), options.hint(key, known)), 2)
  end,
  __tostring = function(self)
    local from, till = self.from / ns, (self.till or 0) / ns
    if self.till then return ("orrery.moment(between %.3f and %.3f)"):format(from, till) end
    return ("orrery.moment(%s %.3f)"):format(self.kind, from)
  end,
}

-- kind: "at", "between" (with till) or "every" (from is its period); times in ns.
function faults.moment(sim, kind, from, till)
  return setmetatable({ sim = sim, kind = kind, from = from, till = till or false }, meta)
end

return faults
