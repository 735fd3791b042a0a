-- clock_watch.lua - orrery clock watch: how well the nodes of a live cluster know its time, again and again.
--
-- One node is enough to find the others by: each is asked for its own status, by a connection of its own.
local chart = require "orrery.look.chart"
local clocks = require "orrery.look.clocks"
local connect = require "orrery.connect"
local core = require "orrery.core"
local figures = require "orrery.cli.figures"

local words = { unsynchronised = "unsync", synchronised = "sync", holdover = "holdover" }
local function ns(seconds) return math.floor(seconds * 1e9 + 0.5) end

-- -- Asking ---------------------------------------------------------------------------------------------------------
-- A handle to the first that answers; or nil, why none does.
local function reach(addresses, timeout)
  local whys = {}
  for i, address in ipairs(addresses) do
    local handle, why = connect.new(address, { timeout = timeout })
    if handle then return handle end
    whys[i] = why
  end
  return nil, table.concat(whys, "; ")
end

-- { { id, clock } or { id, nil, why }, ... }, by id
local function look(handle)
  local seen = {}
  for id, node in pairs(handle.nodes) do
    local status, why = node:status()
    seen[#seen + 1] = { id, status and status.clock, why or status.why }
  end
  table.sort(seen, function(a, b) return a[1] < b[1] end)
  return seen
end

-- -- Telling --------------------------------------------------------------------------------------------------------
-- What a node knows of one clock: b +12 us, c unknown.
local function member(name, m)
  if not m.offset then return ("%s %s"):format(name, m.role) end
  return ("%s %s%s"):format(name, figures.signed(ns(m.offset)), m.role == "known" and "" or " " .. m.role:upper())
end

local function others(clock)
  local list = {}
  for name, m in pairs(clock.members) do
    if not m.own then list[#list + 1] = member(name, m) end
  end
  table.sort(list)
  return table.concat(list, ", ")
end

local function row(id, clock, why)
  if not clock then return { id, "-", "-", "-", "-", why } end
  local offset, bound = clock.offset and figures.signed(ns(clock.offset)), clock.bound and figures.span(ns(clock.bound))
  local state = clock.state == "unsynchronised" and clock.why and ("  (%s)"):format(clock.why) or ""
  return { id, words[clock.state], tostring(clock.epoch), offset or "-", bound and "+-" .. bound or "-",
    others(clock) .. state }
end

local columns = { "node", "state", "epoch", "offset", "bound", "clocks that it knows of" }

-- What the first of them that answers says of all links: lines. (Each solves the mesh for itself.)
local function links(handle, seen)
  local why
  for _, one in ipairs(seen) do
    local text, message = handle.nodes[one[1]]:eval "return (tostring(assert(node.clock:graph())))"
    if text then return ("\nas %s has it, %s"):format(one[1], text) end
    why = message
  end
  return "\nno node tells of its links: " .. tostring(why)
end

-- In the terminal over the last one, else below it. more: lines below the table, as one text.
local function tell(seen, before, terminal, more)
  local rows = { columns }
  for _, one in ipairs(seen) do rows[#rows + 1] = row(table.unpack(one, 1, 3)) end
  local lines = figures.align(rows)
  for line in more:gmatch "([^\n]*)\n?" do lines[#lines + 1] = line end
  if terminal and before > 0 then io.write(("\27[%dA"):format(before)) end
  for _, line in ipairs(lines) do
    io.write(terminal and "\27[K" or "", line, "\n")
  end
  io.flush()
  return #lines
end

-- -- Drawing --------------------------------------------------------------------------------------------------------
-- A point of each node's series; the time is since the first look.
local function note(series, seen, at)
  for _, one in ipairs(seen) do
    local id, clock = one[1], one[2]
    local s = series[id]
    if not s then
      s = { name = id, points = {} }
      series[id], series[#series + 1] = s, s
    end
    local point = { time = at, state = clock and words[clock.state] or "unsync", epoch = clock and clock.epoch }
    if clock and clock.bound then
      point.offset = ns(clock.offset)
      point.earliest, point.latest = point.offset - ns(clock.bound), point.offset + ns(clock.bound)
    end
    s.points[#s.points + 1] = point
  end
end

local function draw(series, opts, context)
  local path = opts.plot ~= true and opts.plot or nil
  local drawn, message = clocks.draw(series, { path = path })
  if not drawn then return context.wrong("clock: " .. message) end
  if not path then print(drawn) end
  return 0
end

-- -- The command ----------------------------------------------------------------------------------------------------
return function(addresses, opts, context)
  local every = opts.every or 1
  for _, address in ipairs(addresses) do
    if not address:find "^.+:%d+$" then
      return context.wrong(("clock: an address is expected, HOST:PORT (got '%s')"):format(address))
    end
  end
  local handle <close>, why = reach(addresses, math.max(every, 1))
  if not handle then return context.wrong("clock: " .. why) end
  local pause <close> = assert(core.process.nursery())          -- for its ear for signals
  local began, series, lines, terminal = core.process.clock(), {}, 0, chart.columns() ~= nil
  repeat
    local seen, at = look(handle), core.process.clock() - began
    lines = tell(seen, lines, terminal, opts.links and links(handle, seen) or "")
    if opts.plot then note(series, seen, ns(at)) end
    local over = opts["for"] and at + every > opts["for"]
  until over or pause:wait(every)
  return opts.plot and draw(series, opts, context) or 0
end
