-- faults.lua - the verbs that hurt and mend a simulation, and the moments that they hang on.
--
-- Who comes first, how much last. Who: an id, an array of ids, or a function of the simulation that gives one of these,
-- or nothing; it is asked when the moment comes (faults/select.lua has some). What the verbs do is in faults/verbs.lua,
-- files of them in faults/file.lua.
local file = require "orrery.faults.file"
local options = require "orrery.options"
local select = require "orrery.faults.select"
local travel = require "orrery.travel"
local verbs = require "orrery.faults.verbs"

local faults = {
  verbs = verbs, selectors = select.selectors, selector = select.selector, write = file.write, line = file.line,
}
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
local function check_id(sim, v, rule)
  local known, what = options.keys(sim.servers), "an NTP server of the cluster"
  if not rule.servers then
    known = table.move(rule.clients and sim.ends or sim.ids, 1, rule.clients and #sim.ends or #sim.ids, 1, {})
    what = "a node of the cluster"
  end
  if (rule.servers or rule.clients) and sim.servers[v] then return sim.servers[v] end
  for _, name in ipairs(known) do if v == name then return v end end
  return nil, ("%s (got %s%s)"):format(what, options.got(v), options.hint(v, known))
end

-- An array of ids, or nil and what was expected (and what came).
local function check_who(sim, v, rule)
  if type(v) ~= "table" then v = { v } end
  if #v == 0 then return nil, "an id or an array of ids (got none)" end
  local ids = {}
  for i, given in ipairs(v) do
    local id, expected = check_id(sim, given, rule)
    if not id then return nil, expected end
    ids[i] = id
  end
  return ids
end

local function raise(what, name, text, level)
  error(("%s: '%s' must be %s"):format(what, name, text), level + 1)
end

local no_place = -2                                  -- a level of resolve: its complaint bears no position

-- Ids of `who`, looked up now. A function may find nobody.
local function resolve(sim, who, what, rule, level)
  if type(who) == "function" then
    who = who(sim)
    if who == nil or type(who) == "table" and #who == 0 then return {} end
  end
  local ids, expected = check_who(sim, who, rule)
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
  local how = { rule[2], of = rule.of, min = rule.min, max = rule.max, expected = rule.expected }
  local out, problem = options.value(v, how)
  if problem then
    table.insert(problem.path, 1, rule[1])
    error(options.message(problem, what), level + 1)
  end
  return out
end

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
    now[i] = rule[2] == "who" and resolve(sim, v, "sim:" .. name, rule, no_place) or v
  end
  return verbs[name].act(sim, temporary, table.unpack(now, 1, #rules))
end

-- "FILE:LINE: " of whoever called the function that calls this.
local function caller()
  local at = debug.getinfo(3, "Sl")
  return at and at.currentline > 0 and ("%s:%d: "):format(at.short_src, at.currentline) or ""
end

-- Whom a verb finds may be a mistake of its line, be it found much later.
local function act_for(sim, line, ...)
  local result = table.pack(pcall(act, sim, ...))
  if result[1] then return table.unpack(result, 2, result.n) end
  error(type(result[2]) == "string" and line .. result[2] or result[2], 0)
end

-- sim:VERB(...): now.
function faults.now(name)
  return function(sim, ...)
    faults.opened(sim, name)
    local arguments, rules = prepare(sim, name, 2, ...)
    return travel.perform(sim, act_for, caller(), name, arguments, rules)
  end
end

-- -- Moments --------------------------------------------------------------------------------------------------------
local moment, plans = {}, {}

function plans.at(sim, self, strike, tag) sim:plan(self.from, function() strike() end, tag) end

function plans.between(sim, self, strike, tag)
  local undoes = {}
  sim:plan(self.from, function() strike(undoes) end, tag)
  sim:plan(self.till, function() for i = #undoes, 1, -1 do undoes[i]() end end, tag)
end

function plans.every(sim, self, strike, tag)
  local function again(at)
    strike()
    sim:plan(at + self.from, again, tag)
  end
  sim:plan(sim.core:now() + self.from, again, tag)
end

function plans.when(sim, self, strike, tag) sim:await(self.event, self.group, function() strike() end, tag) end

-- Plans a verb, under a tag by which it can be cancelled, or false.
local function plan_verb(sim, self, line, name, arguments, rules, tag)
  local function strike(temporary)
    local ok, message = act_for(sim, line, name, arguments, rules, temporary)
    if ok == nil then sim:violated("crash", message) end
  end
  plans[self.kind](sim, self, strike, tag)
end

-- moment:VERB(...): when it comes; the moment again, so verbs may follow each other.
local function later_verb(name)
  return function(self, ...)
    local sim = self.sim
    faults.opened(sim, name)
    local arguments, rules = prepare(sim, name, 2, ...)
    travel.perform(sim, plan_verb, self, caller(), name, arguments, rules, sim.planning)
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
    if self.kind == "when" then return ("orrery.moment(when %s)"):format(self.event) end
    if self.till then return ("orrery.moment(between %.3f and %.3f)"):format(from, till) end
    return ("orrery.moment(%s %.3f)"):format(self.kind, from)
  end,
}

-- kind: "at", "between" (with till) or "every" (from is its period); times in ns.
function faults.moment(sim, kind, from, till)
  return setmetatable({ sim = sim, kind = kind, from = from, till = till or false }, meta)
end

-- The next such event, of that group (nil: of any).
function faults.moment_of_event(sim, event, group)
  return setmetatable({ sim = sim, kind = "when", from = 0, till = false, event = event, group = group or false }, meta)
end

-- Plans a fault file, a path or the text itself: true; or nil and what is wrong, with its line.
function faults.file(sim, given)
  faults.opened(sim, "faults")
  return file.play(sim, given, getmetatable(sim).methods, verbs)
end

return faults
