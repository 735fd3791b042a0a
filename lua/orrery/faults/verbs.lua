-- verbs.lua - what a simulation's verbs do: links, nodes, disks, clocks.
--
-- Each verb is { what it takes..., act = f }; act(sim, temporary, ...) does it now and returns true, or nil, message,
-- code. What has a value (a cut, a delay, a slow disk) is *held*: who sets it for a while (`temporary`, a list that
-- undoes are put into) lays his value over the others', and takes it back.
local core = require "orrery.core"
local options = require "orrery.options"

local ns = 1000000000

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
    link.cut = nil                                    -- as it is: chaos may have cut it
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

-- heal(a, b): cuts and figures of the links between them; heal(): of all. With `faults` heal() ends those, too.
verbs.heal = { a_end, b_end, none = true, act = function(sim, _, a, b)
  if not a and sim.raging then
    sim.raging = false
    sim:cancel "file"
    sim.core:calm()                                   -- ends all that is held but how long disks take
    forget(sim, "^disk ")
    sim.held = {}
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
    local ends = rule.nodes and sim.ids or sim.ends
    if value == nil then from, to, value = ends, ends, from end
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

-- The amount alone: between all nodes. What clients say bears no checksum.
local share_of_nodes = { min = 0, max = 1, nodes = true }
verbs.mutate = figure("mutate", "number", share_of_nodes, as_it_is)
verbs.replay = figure("replay", "number", share_of_nodes, as_it_is)

-- reset(a, b), reset(): the streams between them break.
verbs.reset = { a_end, b_end, none = true, act = function(sim, _, a, b)
  for _, x in ipairs(a or sim.ends) do
    for _, y in ipairs(b or sim.ends) do if x < y or a and x ~= y then sim.core:reset(x, y) end end
  end
  return true
end }

-- stall(from, to, T): what is on its way that way waits for T, and then goes on. Nobody hears that it waits.
verbs.stall = { from_end, to_end, { "T", "number", min = 0, max = 1e9 }, act = function(sim, _, from, to, lasts)
  for _, x in ipairs(from) do
    for _, y in ipairs(to) do if x ~= y then sim.core:stall(x, y, in_ns(lasts)) end end
  end
  return true
end }

-- slow(from, to, bytes): at most so many a second, and four times the jitter: a link that is congested.
verbs.slow = { from_end, to_end, { "amount", "integer", min = 1, max = 1 << 40 },
  act = function(sim, temporary, from, to, bytes)
    for _, x in ipairs(from) do
      for _, y in ipairs(to) do
        if x ~= y then
          hold(sim, temporary, ("slow %s %s"):format(x, y), 0, bytes, function(v) sim.core:slow(x, y, v) end)
        end
      end
    end
    return true
  end,
}

-- far(from, to, delay, jitter)
verbs.far = { from_end, to_end, { "delay", "number", min = 0, max = 3600 }, { "jitter", "number", min = 0, max = 3600 },
  act = function(sim, temporary, from, to, delay, jitter)
    hold_links(sim, temporary, from, to, "delay", in_ns(delay))
    return hold_links(sim, temporary, from, to, "jitter", in_ns(jitter))
  end,
}

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

local function restart(sim, id, disk)
  local ok, message, code = sim.core:restart(id, disk)
  if ok then return true end
  return nil, ("%s: at %.3f: %s"):format(id, sim:now(), message), code
end

local function start(sim, id, disk)
  if sim.core:state(id) ~= "down" then return true end
  return restart(sim, id, disk)
end

verbs.kill = { who, act = function(sim, temporary, ids)
  return each(ids, function(id)
    if sim.core:state(id) == "down" then return true end
    if temporary then
      temporary[#temporary + 1] = function() return start(sim, id, "kept") end
    end
    return sim.core:kill(id)
  end)
end }
local disk_rule = { "disk", "choice", of = { "kept", "old", "empty" }, default = "kept" }
verbs.restart = { who, disk_rule, act = function(sim, _, ids, disk)
  return each(ids, function(id) return restart(sim, id, disk) end)
end }
-- Those that are down.
verbs.start = { who, disk_rule, act = function(sim, _, ids, disk)
  return each(ids, function(id) return start(sim, id, disk) end)
end }
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
  event = "crash", send = "crash_send", submitted = "crash_submitted", written = "crash_written",
  synced = "crash_synced",
}
local hows = { "power", "process", "power_silent", "process_silent" }

-- crash_at(n, effect, k, how, disk): at the k-th such effect from now on; for a while: it is started again at the end,
-- with that disk. A node that goes silently says goodbye to no peer.
verbs.crash_at = {
  who, { "effect", "choice", of = { "event", "send", "submitted", "written", "synced" } }, count,
  { "how", "choice", of = hows, default = "power" }, disk_rule,
  act = function(sim, temporary, ids, effect, k, how, disk)
    return each(ids, function(id)
      if temporary then
        temporary[#temporary + 1] = function()
          if sim.core:state(id) == "down" then return start(sim, id, disk) end
          sim.core:arm(id, effects[effect], 0)
        end
      end
      return sim.core:arm(id, effects[effect], k, how)
    end)
  end,
}

local faults_by_chance = {}
for _, fault in ipairs(core.lab.faults()) do
  if fault.unit == "OP" and fault.name ~= "rare" then faults_by_chance[#faults_by_chance + 1] = fault.name end
end

-- strike(n, fault, k): the k-th opportunity for it from now on is taken.
verbs.strike = { who, { "fault", "choice", of = faults_by_chance }, count,
  act = function(sim, temporary, ids, fault, k) return arm(sim, temporary, ids, fault, k) end,
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

-- rate(n, fault, rate): of that node alone, whatever the others have. Of rot: strikes a second; else the chance of each
-- opportunity.
local function set_rate(sim, temporary, ids, fault, rate)
  return each(ids, function(id)
    hold(sim, temporary, ("rate %s %s"):format(id, fault), false, rate, function(v)
      sim.core:rate(id, fault, v or nil)
    end)
    return true
  end)
end

local chance = { "rate", "number", min = 0, max = 1 }
verbs.rate = { who, { "fault", "choice", of = faults_by_chance }, chance, act = set_rate }
verbs.misdirect = { who, chance, act = function(sim, temporary, ids, rate)
  return set_rate(sim, temporary, ids, "misdirected", rate)
end }
verbs.stale = { who, chance, act = function(sim, temporary, ids, rate)
  return set_rate(sim, temporary, ids, "stale", rate)
end }
verbs.rot = { who, { "rate", "number", min = 0, max = 1000 }, act = function(sim, temporary, ids, rate)
  return set_rate(sim, temporary, ids, "rot", rate)
end }

-- wear_disk(n, times): everything takes so many times as long.
verbs.wear_disk = { who, { "times", "number", min = 1, max = 1e6 }, act = function(sim, temporary, ids, times)
  return each(ids, function(id)
    hold(sim, temporary, "wear " .. id, 1, times, function(v) sim.core:wear_disk(id, v) end)
    return true
  end)
end }
-- flip_bit(n, path, at): of that byte of a file, as the disk has it now; nothing where there is none.
verbs.flip_bit = {
  who, { "path", "string", expected = "a file of the node" }, { "at", "integer", min = 0, max = 1 << 53 },
  act = function(sim, _, ids, path, at)
    for _, id in ipairs(ids) do sim.core:rot(id, path, at) end
    return true
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
-- The wall clock stands; it goes on from there.
verbs.freeze_clock = { who, act = function(sim, temporary, ids)
  return each(ids, function(id)
    hold(sim, temporary, "freeze " .. id, false, true, function(on) sim.core:freeze_clock(id, on) end)
    return true
  end)
end }
verbs.drift = { who, { "ppm", "number", min = -100000, max = 100000 }, act = function(sim, temporary, ids, ppm)
  return each(ids, function(id)
    local _, normal = sim.core:clock(id)
    hold(sim, temporary, "drift " .. id, normal, math.floor(ppm * 1000 + 0.5), function(ppb)
      sim.core:set_clock(id, 0, ppb)
    end)
    return true
  end)
end }

-- What a quartz does by itself: wander(n, ppm, most) in the square root of an hour; heat(n, kelvin, T, ppb), a swing of
-- the temperature in T, and what the rate makes of a kelvin. Neither takes it farther off than `most` ppm: drift_max,
-- where nobody says more.
local function most_ppb(sim, ppm)
  local clock = sim.cluster.clock
  return ppm and math.floor(ppm * 1000 + 0.5) or math.floor((clock and clock.drift_max or 0.0005) * 1e9 + 0.5)
end
local rate = { "ppm", "number", min = 0, max = 100000 }
verbs.wander = { who, rate, { "most", "number", min = 0.001, max = 100000, default = false },
  act = function(sim, temporary, ids, ppm, most)
    return each(ids, function(id)
      hold(sim, temporary, "wander " .. id, { 0 }, { ppm, most }, function(v)
        sim.core:wander(id, math.floor(v[1] * 1000 + 0.5), most_ppb(sim, v[2]))
      end)
      return true
    end)
  end,
}
verbs.heat = { who, { "kelvin", "number", min = 0, max = 100 },
  { "T", "number", min = 1, max = 1e9, default = 3600 }, { "ppb", "number", min = -1e6, max = 1e6, default = 100 },
  act = function(sim, temporary, ids, kelvin, period, ppb)
    return each(ids, function(id)
      hold(sim, temporary, "heat " .. id, { 0, period, ppb }, { kelvin, period, ppb }, function(v)
        sim.core:heat(id, math.floor(v[1] * 1000 + 0.5), in_ns(v[2]), math.floor(v[3] + 0.5), most_ppb(sim))
      end)
      return true
    end)
  end,
}

-- An NTP server of the file's clock.ntp says another time, and doesn't know it.
verbs.lie = { { "server", "who", servers = true }, { "T", "number", min = -1e9, max = 1e9 },
  act = function(sim, temporary, servers, by)
    return each(servers, function(name)
      hold(sim, temporary, "lie " .. name, 0, in_ns(by), function(v) sim.core:lie(name, v) end)
      return true
    end)
  end,
}

return verbs
