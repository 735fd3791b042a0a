-- balance.lua - whom of many to ask first: the owner of a key and who comes after it; of a role the one with the least
-- to do, the better of two, or the owner of a key that has room; and who is left out for a while, because it fails.
--
-- Load is what this node has asked of another one and has no answer to: nobody tells of its own. Two choices: M.
-- Mitzenmacher, The Power of Two Choices (IEEE TPDS 12, 2001). Bounded loads: orrery/ring.h. Ejection is Envoy's: so
-- many failures in a row, and a node isn't asked for `time`, the next time for twice as long, and so on; then one call
-- tries it, and on that call's outcome depends what follows. At most a share of the nodes is left out, so that what
-- fails everywhere leaves things as they are.
--
-- `owner` here is rpc.lua's: { core, cluster, outliers, rings, state_of(id), warn(text) }.
local cluster = require "orrery.cluster"
local options = require "orrery.options"
local ring = require "orrery.ring"

local balance = {}

local longest = 30                              -- times `time`
local rings_most = 64                           -- that are kept: of so many sets of ids

balance.policies = { "least", "two", "ring" }
local eject_spec = {
  failures = { "integer", min = 1, max = 1000000, default = 5 },
  time = { "seconds", default = 10 },
  most = { "number", min = 0, max = 1, default = 0.5 },
}
balance.spec = {
  balance = { "choice", of = balance.policies },
  slack = { "number", above = 0, max = 1000 },
  key = { "string" },
  eject = { "table", fields = eject_spec, expected = "true or a table: failures, time, most" },
}

-- What doesn't go together in *to*: one line, or nil.
function balance.wrong(to)
  if to.balance == "ring" and not to.key then return "'key' is missing: balance = \"ring\" goes by it" end
  if to.key and to.balance and to.balance ~= "ring" then
    return ("'balance' must be \"ring\" where there is a key (got %s)"):format(options.got(to.balance))
  end
  if to.slack and to.balance ~= "ring" then return "'slack' is for balance = \"ring\"" end
end

-- -- Who fails ------------------------------------------------------------------------------------------------------
-- Of each node that failed: row, how many times in a row; out, whether it is ejected, and until when; times, how often
-- it was, less what it has behaved since; trial, until when a call has to try it; back, since when it isn't out.
local failures = { unavailable = true, timeout = true, unknown = true, overloaded = true }

local function is_out(owner, id, now)
  local o = owner.outliers[id]
  return o ~= nil and o.out and (now < o.till or now < o.trial)
end

-- Of these ids.
local function count_out(owner, ids)
  local n = 0
  for _, id in ipairs(ids) do
    local o = owner.outliers[id]
    if o and o.out then n = n + 1 end
  end
  return n
end

local function put_out(owner, id, o, rule, why)
  local now = owner.core.now()
  if not o.out then o.times = math.max(0, o.times - (now - o.back) // rule.time) end
  o.times = math.min(o.times + 1, longest)
  o.out, o.row, o.trial, o.till = true, 0, 0, now + rule.time * o.times
  owner.warn(("calls leave out %s for %g s: %s"):format(id, rule.time * o.times, why))
end

-- A call goes to that node now, until the deadline: is it the one that tries an ejected node? No other
-- one is meanwhile.
function balance.tries(owner, id, deadline)
  local o, now = owner.outliers[id], owner.core.now()
  if not o or not o.out or is_out(owner, id, now) then return false end
  o.trial = deadline
  return true
end

-- How that call went: as core.try tells. What a call says that began before its node was ejected changes nothing.
function balance.note(owner, to, id, result, trial)
  local o, bad = owner.outliers[id], not result[1] and failures[result[4]]
  if not o then
    if not bad then return end
    o = { row = 0, out = false, till = 0, times = 0, trial = 0, back = 0 }
    owner.outliers[id] = o
  end
  if o.out and not trial then return end
  if not bad then
    if trial then o.out, o.trial, o.back = false, 0, owner.core.now() end
    o.row = 0
    return
  end
  o.row = o.row + 1
  if trial then return put_out(owner, id, o, to.eject, "it failed again, " .. result[3]) end
  if o.row < to.eject.failures or count_out(owner, to.ids) + 1 > to.eject.most * #to.ids then return end
  put_out(owner, id, o, to.eject, ("%d failures in a row, the last one: %s"):format(o.row, result[3]))
end

-- -- Who is there ---------------------------------------------------------------------------------------------------
local function is_away(owner, id)
  local state = owner.state_of(id)
  return state == "failed" or state == "left"
end

-- Those to choose from, and those that come last: who is ejected, and then who is known to be away.
local function parted(owner, to)
  local good, out, away, now = {}, {}, {}, owner.core.now()
  for _, id in ipairs(to.ids) do
    local list = is_away(owner, id) and away or to.eject and is_out(owner, id, now) and out or good
    list[#list + 1] = id
  end
  return good, out, away
end

-- -- By load --------------------------------------------------------------------------------------------------------
-- The least busy first, and who is connected before who isn't; of equals the first in the file's order.
local function by_load(owner, ids)
  local load = {}
  for i, id in ipairs(ids) do
    local up, calls = owner.core.peer(id)
    load[id] = { up and 0 or 1, calls or 0, i }
  end
  table.sort(ids, function(a, b)
    local x, y = load[a], load[b]
    for i = 1, 3 do if x[i] ~= y[i] then return x[i] < y[i] end end
    return false
  end)
  return ids
end

local function busier(owner, a, b)
  local up_a, calls_a = owner.core.peer(a)
  local up_b, calls_b = owner.core.peer(b)
  if up_a ~= up_b then return up_b end
  return (calls_a or 0) > (calls_b or 0)
end

-- The less busy of two at random, then the other one, then the rest.
local function by_two(owner, ids)
  if #ids < 2 then return ids end
  local i, j = math.random(#ids), math.random(#ids - 1)
  if j >= i then j = j + 1 end
  local first, second = ids[i], ids[j]
  if busier(owner, first, second) then first, second = second, first end
  local rest = {}
  for at, id in ipairs(ids) do if at ~= i and at ~= j then rest[#rest + 1] = id end end
  return table.move(by_load(owner, rest), 1, #rest, 3, { first, second })
end

-- -- By a ring ------------------------------------------------------------------------------------------------------
-- The ring of these ids, with the weights and zones that the cluster file gives them; kept.
local function ring_of(owner, ids)
  local name = table.concat(ids, " ")
  local kept = owner.rings[name]
  if kept then return kept end
  local nodes = {}
  for i, id in ipairs(ids) do
    local node = cluster.node(owner.cluster, id)
    nodes[i] = { id = id, weight = node.weight, zone = node.zone }
  end
  if owner.rings_kept == rings_most then owner.rings, owner.rings_kept = {}, 0 end
  kept = ring.new { nodes = nodes }
  owner.rings[name], owner.rings_kept = kept, owner.rings_kept + 1
  return kept
end

-- The owner of the key, and who would own it without those before; who is known to be away comes last.
local function by_owner(owner, to)
  local there, away = {}, {}
  for id in ring_of(owner, to.ids):walk(to.key) do
    local list = is_away(owner, id) and away or there
    list[#list + 1] = id
  end
  return table.move(away, 1, #away, #there + 1, there)
end

-- The first one from the key's owner on that has no more to do than its part and a little, and then who comes behind.
local function by_bounded(owner, ids, to)
  if #ids < 2 then return ids end
  local of_key, loads = ring_of(owner, ids), {}
  for _, id in ipairs(ids) do
    local _, calls = owner.core.peer(id)
    loads[id] = calls or 0
  end
  local first = of_key:bounded(to.key, loads, to.slack or 0.25)
  local order = { first }
  for id in of_key:walk(to.key) do if id ~= first then order[#order + 1] = id end end
  return order
end

local choose = { least = by_load, two = by_two, ring = by_bounded }

-- -- The order ------------------------------------------------------------------------------------------------------
-- Is the key's owner meant, and another one only when that is away?
function balance.keeps_to_owner(to) return to.key ~= nil and to.balance ~= "ring" end

-- The ids of *to* (rpc.lua's aim) in the order in which they are to be asked.
function balance.order(owner, to)
  if balance.keeps_to_owner(to) then return by_owner(owner, to) end
  if not (to.role or to.balance) then return to.ids end
  local good, out, away = parted(owner, to)
  local order = choose[to.balance or "least"](owner, good, to)
  for _, last in ipairs { by_load(owner, out), by_load(owner, away) } do
    table.move(last, 1, #last, #order + 1, order)
  end
  return order
end

return balance
