-- timeline.lua - what happened in a simulation, as events with words: sim:timeline{}, sim:why(event). A live cluster's
-- (live.lua) has the same words.
--
-- An event is { at = seconds, kind, node or from and to, text, ... }; kinds are named as in `when` and `on`. What a
-- role came from is in the replica's own causes (why.lua); what they came from, in the trace: messages, cuts, lives.
-- Where a replica has no causes of that time any more (it was restarted, or too much has happened since), the run is
-- played again up to then, and it is asked there.
local facts = require "orrery.look.facts"
local faults = require "orrery.faults"
local options = require "orrery.options"
local why = require "orrery.why"

local timeline = {}
local ns = 1000000000
local causes_most = 32
local life_kinds = { down = "kill", paused = "pause" }
local kinds = { leader = true, snapshot = true, kill = true, restart = true, pause = true, resume = true, cut = true,
  heal = true, call = true, message = false, commit = false, apply = false }      -- true: shown by default

local function seconds(at) return at / ns end

-- -- Words ----------------------------------------------------------------------------------------------------------
local function in_group(sim, e)
  return e.group and #options.keys(sim.facts.roles) > 1 and " " .. e.group or ""
end

local role_texts = {
  leader = function() return "leads%s in term %d" end,
  candidate = function() return "stands%s in term %d" end,
  precandidate = function() return "asks%s whether it may stand; its term is %d" end,
  learner = function() return "learns%s in term %d" end,
  follower = function(e)
    return (e.leader and "follows " .. e.leader:gsub("%%", "%%%%") or "knows no leader") .. "%s in term %d"
  end,
}

local function message_text(e)
  local what = e.what:gsub("_", " ")
  local parts = { what .. (e.name and " " .. e.name or "") }
  if e.term then parts[#parts + 1] = ("term %d"):format(e.term) end
  if e.index then parts[#parts + 1] = ("index %d"):format(e.index) end
  if e.refused then parts[#parts + 1] = "says no" end
  parts[#parts + 1] = ("%d bytes"):format(e.size)
  if e.outcome == "delivered" then parts[#parts + 1] = ("there after %.3f ms"):format((e.till - e.at) / 1e6)
  else parts[#parts + 1] = e.outcome == "lost" and ("lost at %.3f"):format(seconds(e.till)) or "not there yet" end
  return ("to %s: %s"):format(e.to, table.concat(parts, ", "))
end

local texts = {}
function texts.status(sim, e) return role_texts[e.what](e):format(in_group(sim, e), e.term or 0) end
function texts.life(_, e)
  if e.what == "paused" then return "is paused" end
  if e.what == "up" then return e.why == "resume" and "goes on" or "starts" end
  return e.why == "kill" and "is killed" or "goes down: " .. e.why
end
function texts.message(_, e) return message_text(e) end
function texts.commit(sim, e) return ("knows%s index %d as committed"):format(in_group(sim, e), e.index) end
function texts.apply(sim, e) return ("has applied%s index %d"):format(in_group(sim, e), e.index) end
function texts.restore(sim, e) return ("loads the snapshot%s at index %d"):format(in_group(sim, e), e.index) end

-- Of an event of the trace. sim.facts.roles: by the groups that there are.
function timeline.words(sim, e) return texts[e.kind](sim, e) end

local function kind_of(e)
  if e.kind == "status" then return "leader" end
  if e.kind == "restore" then return "snapshot" end
  if e.kind == "cut" then return e.what == "cut" and "cut" or "heal" end
  if e.kind ~= "life" then return e.kind end
  return life_kinds[e.what] or (e.why == "resume" and "resume" or "restart")
end

-- -- Cuts of one instant are one event ------------------------------------------------------------------------------
local function pairs_text(ways)
  local parts, links = {}, {}
  for _, way in ipairs(ways) do
    local both = ways[way.to .. " " .. way.from]
    if not both then parts[#parts + 1] = ("%s to %s"):format(way.from, way.to)
    elseif way.from < way.to then links[#links + 1] = way end
  end
  table.sort(links, function(a, b) return a.from < b.from or a.from == b.from and a.to < b.to end)
  local side, other = nil, nil
  if #links > 1 then side, other = facts.sides(links) end
  if side then
    table.insert(parts, 1, ("%s from %s"):format(table.concat(side, ", "), table.concat(other, ", ")))
  else
    for i, way in ipairs(links) do table.insert(parts, i, ("%s-%s"):format(way.from, way.to)) end
  end
  return table.concat(parts, ", ")
end

local function add_way(list, e)
  local last, kind = list[#list], kind_of(e)
  if not last or last.kind ~= kind or last.ns ~= e.at then
    last = { ns = e.at, at = seconds(e.at), kind = kind, ways = {} }
    list[#list + 1] = last
  end
  last.ways[#last.ways + 1], last.ways[e.from .. " " .. e.to] = e, true
  last.text = (kind == "cut" and "cut: " or "whole again: ") .. pairs_text(last.ways)
end

-- -- Causes ---------------------------------------------------------------------------------------------------------
-- Which kinds of cause a role is explained by, the last one before it; `term`: only of its term.
local causes_of_role = {
  precandidate = { silence = true, alone = true, asked_to_lead = true, hands_over = true },
  candidate = { prevote = true, asked_to_lead = true, hands_over = true },
  leader = { vote = true },
  follower = { term = true, voted = true, alone = true },
}

-- The replica's causes, in the simulation's time; {} where it has none to tell.
local function causes_at(sim, id, group)
  local causes, now = sim.core:causes(id, group, causes_most)
  if not causes then return {} end
  local function hint(other, when) return facts.hint(sim.facts, id, other, math.floor(when * ns)) end
  return why.new(id, causes_most, causes, sim:now() - now, hint)
end

local drift = 1000000                                   -- ns that a node's clock may have gone astray since
local of_its_term = { prevote = true, vote = true, term = true, voted = true }

-- The cause of a change of role; nil: there is none to tell, or the replica doesn't know any more.
function timeline.cause_of(e, causes)
  local found
  for _, c in ipairs(causes) do
    local fits = (causes_of_role[e.what] or {})[c.kind] and math.floor(c.at * ns) <= e.ns + drift
    if fits and (not of_its_term[c.kind] or c.term == e.term) then found = c end
  end
  if e.leader and e.what == "follower" then return nil end      -- its text says why
  return found
end

local function add_causes(sim, list)
  local known = {}
  for _, e in ipairs(list) do
    if e.kind == "leader" and e.group then
      local key = e.group .. " " .. e.node
      known[key] = known[key] or causes_at(sim, e.node, e.group)
      local cause = timeline.cause_of(e, known[key])
      if cause and math.abs(cause.at - e.at) < 10 then e.cause = cause.text end
    end
  end
end

-- -- The timeline ---------------------------------------------------------------------------------------------------
local spec = {
  from = { "number", min = 0, default = 0 },
  till = { "number", min = 0 },
  nodes = { "table", each = { "string" }, expected = "an array of ids" },
  kinds = { "table", each = { "string" }, expected = "an array of kinds of events" },
}

local function set_of(what, list, known, name, level)
  local set = {}
  for _, key in ipairs(list) do
    if known[key] == nil then
      error(("%s: '%s' has %s, which is none%s"):format(what, name, options.got(key),
        options.hint(key, options.keys(known))), level + 1)
    end
    set[key] = true
  end
  return set
end

-- The options; a set of the kinds that are wanted, of `known`, which says of each whether it is shown by default; a set
-- of the nodes, of `ids`, or nil: all.
function timeline.select(what, opts, known, ids, level)
  local checked = options.check(opts == nil and {} or opts, spec, what, level + 1)
  local wanted, nodes = known, nil
  if checked.kinds then wanted = set_of(what, checked.kinds, known, "kinds", level + 1) end
  if checked.nodes then nodes = set_of(what, checked.nodes, ids, "nodes", level + 1) end
  return checked, wanted, nodes
end

function timeline.is_about(e, nodes)
  if not nodes then return true end
  if e.node then return nodes[e.node] ~= nil end
  if e.from then return nodes[e.from] ~= nil or nodes[e.to] ~= nil end
  for _, way in ipairs(e.ways or {}) do if nodes[way.from] or nodes[way.to] then return true end end
  return false
end

local function add_calls(sim, list, from, till)
  for _, call in ipairs(sim.calls) do
    if call.at <= till and (call.till or till) >= from then
      local took = call.till and ("%s after %.3f s"):format(call.code or "answered", (call.till - call.at) / ns)
        or "not answered yet"
      list[#list + 1] = { ns = call.at, at = seconds(call.at), till = call.till and seconds(call.till), kind = "call",
        node = call.node, text = ("is asked %s: %s"):format(call.text, took), call = call }
    end
  end
end

local function by_time(list)
  for i, e in ipairs(list) do e.order = i end
  table.sort(list, function(x, y)
    if x.ns ~= y.ns then return x.ns < y.ns end
    return x.order < y.order
  end)
end

-- A role that a node has already is no news.
local function is_news(e, before)
  if e.kind == "life" and e.what == "down" then before[e.node] = nil end
  if e.kind ~= "status" then return true end
  before[e.node] = before[e.node] or {}
  local group, state = e.group or "?", ("%s %s %s"):format(e.what, e.term, e.leader)
  local same = before[e.node][group] == state
  before[e.node][group] = state
  return not same
end

local function with_words(sim, e)
  local ready = { ns = e.at, at = seconds(e.at), kind = kind_of(e), text = timeline.words(sim, e) }
  for field, v in pairs(e) do if ready[field] == nil then ready[field] = v end end
  return ready
end

-- Events of the trace with words, in order of time; and whether older ones were forgotten.
local function collect(sim, from, till, wanted, nodes)
  local list, before = {}, {}
  sim.facts = facts.of(sim)
  local events, forgot = sim.core:trace(0, till, { life = true, cut = true, status = true, restore = true,
    message = wanted.message, commit = wanted.commit, apply = wanted.apply })
  for _, e in ipairs(events) do
    local shown = is_news(e, before) and e.at >= from and wanted[kind_of(e)]
    if shown and e.kind == "cut" then add_way(list, e) elseif shown then list[#list + 1] = with_words(sim, e) end
  end
  if wanted.call then add_calls(sim, list, from, till) end
  by_time(list)
  local kept = {}
  for _, e in ipairs(list) do if timeline.is_about(e, nodes) then kept[#kept + 1] = e end end
  return kept, forgot
end

local function line(e)
  local who = e.node or e.from or ""
  return ("  %.3f  %s%s%s"):format(e.at, who ~= "" and who .. "  " or "", e.text, e.cause and ": " .. e.cause or "")
end

local Timeline = { __name = "orrery.timeline" }
function Timeline.__tostring(self)
  local lines = {}
  if self.forgot then lines[1] = "  (what was before is forgotten: sim:seek goes there)" end
  for _, e in ipairs(self) do lines[#lines + 1] = line(e) end
  return table.concat(lines, "\n")
end

local function in_ns(T) return math.floor(T * ns + 0.5) end

local function is_known(sim)
  local ids = { clients = true }
  for _, id in ipairs(sim.ids) do ids[id] = true end
  return ids
end

-- sim:timeline{ from = 0, till = now, nodes, kinds } -> an array of events, which is their text as well.
function timeline.timeline(sim, opts)
  faults.opened(sim, "timeline")
  local checked, wanted, nodes = timeline.select("sim:timeline", opts, kinds, is_known(sim), 2)
  local list, forgot = collect(sim, in_ns(checked.from), in_ns(checked.till or sim:now()), wanted, nodes)
  add_causes(sim, list)
  list.forgot = forgot
  return setmetatable(list, Timeline)
end

-- -- Why ------------------------------------------------------------------------------------------------------------
-- "b sent it 5 messages meanwhile: 5 not there yet"; what became of what was sent from one to another in that time.
local function traffic(sim, from, to, since, till)
  local n, there, lost, waiting = 0, 0, 0, 0
  for _, e in ipairs((sim.core:trace(since, till, { message = true }))) do
    if e.from == from and e.to == to and e.at >= since then
      n = n + 1
      if not e.till or e.till > till then waiting = waiting + 1
      elseif e.outcome == "lost" then lost = lost + 1
      else there = there + 1 end
    end
  end
  if n == 0 then return ("%s sent %s nothing from %.3f to %.3f"):format(from, to, seconds(since), seconds(till)) end
  local parts = {}
  if there > 0 then parts[#parts + 1] = ("%d arrived"):format(there) end
  if lost > 0 then parts[#parts + 1] = ("%d were lost"):format(lost) end
  if waiting > 0 then parts[#parts + 1] = ("%d were not there by then"):format(waiting) end
  return ("%s sent %s %d message%s from %.3f to %.3f: %s"):format(from, to, n, n == 1 and "" or "s", seconds(since),
    seconds(till), table.concat(parts, ", "))
end

local function until_when(i) return i.till and ("until %.3f"):format(seconds(i.till)) or "still" end

-- The intervals of cuts, each { at, till, text }; both ways of a link as one where they are the same.
function timeline.cuts(sim)
  local list, cuts = {}, sim.facts.cuts
  for _, way in ipairs(options.keys(cuts)) do
    local from, to = way:match "^(%S+) (%S+)$"
    local back = {}
    for _, i in ipairs(cuts[to .. " " .. from] or {}) do back[("%d %s"):format(i.at, i.till)] = true end
    for _, i in ipairs(cuts[way]) do
      local both = back[("%d %s"):format(i.at, i.till)]
      local text = (both and "the link %s-%s is cut" or "the way from %s to %s is cut"):format(from, to)
      if not both or from < to then
        list[#list + 1] = { at = i.at, till = i.till, text = text, from = from, to = to, both = both }
      end
    end
  end
  return list
end

-- What held in that time: cuts, nodes that were down or paused.
local function circumstances(sim, since, till)
  local list = {}
  local function add(i, text)
    if i.at > till or i.till and i.till <= since then return end
    list[#list + 1] = { ns = i.at, at = seconds(i.at), text = ("%s, %s"):format(text, until_when(i)) }
  end
  for _, i in ipairs(timeline.cuts(sim)) do add(i, i.text) end
  for what, word in pairs { downs = "down", pauses = "paused" } do
    for _, id in ipairs(options.keys(sim.facts[what])) do
      for _, i in ipairs(sim.facts[what][id]) do add(i, ("%s is %s (%s)"):format(id, word, i.why)) end
    end
  end
  table.sort(list, function(x, y)
    if x.ns ~= y.ns then return x.ns < y.ns end
    return x.text < y.text
  end)
  return list
end

local Reasons = { __name = "orrery.reasons" }
function Reasons.__tostring(self)
  local lines = {}
  for _, r in ipairs(self) do
    lines[#lines + 1] = ("  %s%.3f  %s%s"):format(("  "):rep(r.depth), r.at, r.node and r.node .. "  " or "", r.text)
  end
  return table.concat(lines, "\n")
end

-- The replica's causes as they were at that time: played again where it doesn't know them any more.
local function causes_then(sim, e)
  local causes = causes_at(sim, e.node, e.group)
  if timeline.cause_of(e, causes) or not sim.tape.travels then return causes end
  local other <close> = sim:branch()
  if not other or not other:seek(seconds(e.ns)) then return {} end
  other.facts = facts.of(other)
  return causes_at(other, e.node, e.group)
end

local function add(reasons, depth, at, node, text)
  reasons[#reasons + 1] = { depth = depth, at = at, node = node, text = text }
end

-- The change that made a node a leader, candidate, ... at or before that time.
local function role_event(sim, group, node, when, role)
  local found
  for _, e in ipairs((sim.core:trace(0, when, { status = true }))) do
    if e.node == node and e.group == group and (not role or e.what == role) then found = e end
  end
  if found then
    found.ns, found.text = found.at, texts.status(sim, found)
    found.at = seconds(found.ns)
  end
  return found
end

local explain_role
local before_role = { leader = "candidate", candidate = "precandidate" }

local function explain_silence(sim, reasons, depth, e, cause)
  local till = math.floor(cause.at * ns)
  local since = till - math.floor((cause.waited or 0) * ns)
  if not cause.peer then return end
  add(reasons, depth, seconds(till), nil, traffic(sim, cause.peer, e.node, since, till))
  for _, c in ipairs(circumstances(sim, since, till)) do
    add(reasons, depth + 1, c.at, nil, c.text)
  end
end

function explain_role(sim, reasons, depth, e)
  add(reasons, depth, e.at, e.node, e.text)
  local cause = timeline.cause_of(e, causes_then(sim, e))
  if cause then
    add(reasons, depth + 1, cause.at, e.node, cause.text)
    if cause.kind == "silence" then explain_silence(sim, reasons, depth + 2, e, cause) end
    if cause.kind == "term" or cause.kind == "voted" then
      local other = role_event(sim, e.group, cause.peer, e.ns, "candidate")
      if other and (other.term or 0) == cause.term then explain_role(sim, reasons, depth + 2, other) end
    end
  elseif e.what == "follower" and e.leader then
    local other = role_event(sim, e.group, e.leader, e.ns, "leader")
    if other and other.term == e.term then explain_role(sim, reasons, depth + 1, other) end
  end
  local before = before_role[e.what] and role_event(sim, e.group, e.node, e.ns, before_role[e.what])
  if before and before.ns <= e.ns then explain_role(sim, reasons, depth + 1, before) end
end

-- Times at which no node led the group, within since..till.
local function leaderless(sim, group, since, till)
  local led = {}
  for _, roles in pairs(sim.facts.roles[group]) do
    for _, i in ipairs(roles) do
      if i.role == "leader" then led[#led + 1] = { at = i.at, till = i.till or math.maxinteger } end
    end
  end
  table.sort(led, function(x, y) return x.at < y.at end)
  local gaps, at = {}, since
  for _, i in ipairs(led) do
    if i.at > at and at < till then gaps[#gaps + 1] = { at = at, till = math.min(i.at, till) } end
    at = math.max(at, i.till)
  end
  if at < till then gaps[#gaps + 1] = { at = at, till = till } end
  return gaps
end

local steps_most = 16
local never_steps = { ping = true, heartbeat = true, hello = true }

-- What was sent, committed and applied in that time; of the followers' answers only those that say something new.
local function steps_of(sim, since, till)
  local steps, said = {}, {}
  local wanted = { message = true, commit = true, apply = true, status = true }
  for _, e in ipairs((sim.core:trace(math.max(0, since - ns), till, wanted))) do
    local key = e.kind == "message" and e.what == "append_reply" and e.from .. (e.group or "")
    local same = key and said[key] == e.index
    if key then said[key] = e.index end
    if e.at >= since and not never_steps[e.what] and not same then steps[#steps + 1] = e end
  end
  return steps
end

-- These steps, and the longest wait in them.
local function explain_steps(sim, reasons, depth, since, till)
  local steps = steps_of(sim, since, till)
  local longest, after = (steps[1] and steps[1].at or till) - since, 0
  for i = 1, #steps do
    local gap = (steps[i + 1] and steps[i + 1].at or till) - steps[i].at
    if gap > longest then longest, after = gap, i end
  end
  local function wait(at)
    if longest <= drift then return end
    add(reasons, depth + 1, seconds(at), nil, ("then nothing for %.3f s: the longest wait"):format(longest / ns))
  end
  if after == 0 then wait(since) end
  local first = math.max(1, math.min(#steps - steps_most + 1, after - steps_most // 2))
  if first > 1 then add(reasons, depth, seconds(since), nil, ("(%d steps before)"):format(first - 1)) end
  for i = first, math.min(#steps, first + steps_most - 1) do
    local e = steps[i]
    add(reasons, depth, seconds(e.at), e.node or e.from, texts[e.kind](sim, e))
    if i == after then wait(e.at) end
  end
end

-- Why the node that was asked knew no leader then, where it didn't.
local function explain_lost(sim, reasons, group, node, till)
  local own = role_event(sim, group, node, till)
  if own and own.what ~= "leader" and not own.leader then explain_role(sim, reasons, 1, own) end
end

-- Who led at last, and why, where nobody did for a time.
local function explain_gap(sim, reasons, group, gap)
  add(reasons, 1, seconds(gap.at), nil, ("nobody leads %s until %.3f"):format(group, seconds(gap.till)))
  for _, id in ipairs(sim.ids) do
    local next_leader = role_event(sim, group, id, gap.till, "leader")
    if next_leader and next_leader.ns >= gap.at then explain_role(sim, reasons, 2, next_leader) end
  end
end

local function explain_call(sim, reasons, e)
  local since, till = e.ns, e.till and math.floor(e.till * ns + 0.5) or sim.core:now()
  add(reasons, 0, e.at, e.node, e.text)
  for _, c in ipairs(circumstances(sim, since, till)) do add(reasons, 1, c.at, nil, c.text) end
  for _, group in ipairs(options.keys(sim.facts.roles)) do
    local gaps = leaderless(sim, group, since, till)
    for _, gap in ipairs(gaps) do explain_gap(sim, reasons, group, gap) end
    if #gaps == 0 then explain_lost(sim, reasons, group, e.node, till) end
  end
  explain_steps(sim, reasons, 1, since, till)
end

local function the_event(sim, event)
  if type(event) == "table" and event.kind and event.ns then return event end
  if type(event) ~= "string" or kinds[event] == nil then
    error(("sim:why: 'event' must be an event of sim:timeline or its kind (got %s%s)"):format(options.got(event),
      options.hint(event, options.keys(kinds))), 3)
  end
  local list = collect(sim, 0, sim.core:now(), { [event] = true })
  for i = #list, 1, -1 do
    if event ~= "leader" or list[i].what == "leader" then return list[i] end
  end
end

-- sim:why(event) -> reasons, which are their text as well; nil where there is no such event.
function timeline.why(sim, event)
  faults.opened(sim, "why")
  sim.facts = facts.of(sim)
  local e = the_event(sim, event)
  if not e then return nil, ("sim:why: there is no event %s"):format(event), "unavailable" end
  local reasons = setmetatable({}, Reasons)
  if e.kind == "leader" then explain_role(sim, reasons, 0, e)
  elseif e.kind == "call" then explain_call(sim, reasons, e)
  else
    add(reasons, 0, e.at, e.node or e.from, e.text)
    for _, c in ipairs(circumstances(sim, e.ns, e.ns)) do add(reasons, 1, c.at, nil, c.text) end
  end
  return reasons
end

return timeline
