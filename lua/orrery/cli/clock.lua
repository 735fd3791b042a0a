-- clock.lua - orrery clock replay: a recorded trace of exchanges through the clock, a line for each of its queries; and
-- orrery clock watch, which is clock_watch.lua's.
--
-- A line is read, and an answer written, by core/clock/clock_replay.c; here is the file around them, and the plot.
local clock = require "orrery.clock"
local clocks = require "orrery.look.clocks"
local options = require "orrery.options"

local piece, line_most = 1 << 16, 4096
local verbs = { "replay", "watch" }
local only = { { "mode", "replay" }, { "peers", "replay" }, { "poll", "replay" },
  { "every", "watch" }, { "for", "watch" }, { "links", "watch" } }

-- -- Reading --------------------------------------------------------------------------------------------------------
local function open(path)
  if path == "-" then return io.stdin end
  return io.open(path, "rb")
end

-- Calls f(line) for each line of the file, a last one without a newline, too, until it returns what is wrong, and
-- whether that is not the line's fault. Nil; or what is wrong, with the place before it.
local function each_line(file, path, f)
  local rest, n = "", 0
  local function one(line)
    n = n + 1
    local wrong, elsewhere
    if #line > line_most then wrong = ("the line is longer than %d bytes"):format(line_most)
    else wrong, elsewhere = f(line) end
    return wrong and (elsewhere and wrong or ("%s:%d: %s"):format(path, n, wrong))
  end
  while true do
    local text, why = file:read(piece)
    if not text then
      if why then return ("%s: %s"):format(path, why) end
      return rest ~= "" and one(rest) or nil
    end
    text = rest .. text
    local from, at = 1, text:find("\n", 1, true)        -- a pattern may look at a byte often
    while at do
      local wrong = one(text:sub(from, at - 1))
      if wrong then return wrong end
      from = at + 1
      at = text:find("\n", from, true)
    end
    rest = text:sub(from)
    if #rest > line_most then return one(rest) end
  end
end

-- -- Replaying ------------------------------------------------------------------------------------------------------
-- N peers that are numbered from 0, or as many as come.
local function new_clock(opts)
  local peers = 64
  if opts.peers then
    peers = {}
    for i = 1, opts.peers do peers[i] = i - 1 end
  end
  return clock.new { mode = opts.mode, peers = peers }
end

-- Calls f(answer, clock) for each query, until it returns what is wrong, as in each_line. Nil, or what is wrong.
local function replay(path, opts, f)
  local c <close>, message = new_clock(opts)
  if not c then return message end
  local file, why = open(path)
  if not file then return why end
  local wrong = each_line(file, path, function(line)
    local answer, said = c:replay(line)
    if not answer then return said end
    if answer ~= true then return f(answer, c) end
  end)
  if file ~= io.stdin then file:close() end
  return wrong
end

local function write_answer(answer)
  local ok, why = io.stdout:write(answer, "\n")
  if not ok then return "standard output: " .. why, true end
end

local function print_answers(path, opts, context)
  local wrong = replay(path, opts, write_answer)
  local ok, why = io.stdout:flush()
  if not wrong and not ok then wrong = "standard output: " .. why end
  return wrong and context.wrong("clock: " .. wrong) or 0
end

-- Times are since each trace's first query: local clocks have begun to count at different times.
local function plot(paths, opts, context)
  local series = {}
  for i, path in ipairs(paths) do
    local points, first = {}, nil
    local wrong = replay(path, opts, function(answer, c)
      local at = math.tointeger(answer:match "^%S+")
      first = first or at
      local point = clocks.point(at, (c:now(at)))
      point.time = at - first
      if #points > 0 and point.time < points[#points].time then return "its queries go back in time: no plot" end
      points[#points + 1] = point
    end)
    if wrong then return context.wrong("clock: " .. wrong) end
    series[i] = { name = path:match "[^/]+$", points = points }
  end
  local path = opts.plot ~= true and opts.plot or nil
  local drawn, message = clocks.draw(series, { path = path })
  if not drawn then return context.wrong("clock: " .. message) end
  if not path then print(drawn) end
  return 0
end

local function run(opts, arguments, context)
  local verb, paths = arguments[1], table.move(arguments, 2, #arguments, 1, {})
  for _, option in ipairs(only) do
    if opts[option[1]] and option[2] ~= verb and (verb == "replay" or verb == "watch") then
      return context.wrong(("clock: --%s is for %s; orrery clock --help says more"):format(option[1], option[2]))
    end
  end
  if verb == "watch" then return require "orrery.cli.clock_watch"(paths, opts, context) end
  if verb ~= "replay" then
    return context.wrong(("clock: unknown '%s'%s; orrery clock --help says more"):format(verb,
      options.hint(verb, verbs)))
  elseif opts.plot then
    return plot(paths, opts, context)
  elseif #paths > 1 then
    return context.wrong "clock: several traces at once are for --plot"
  end
  return print_answers(paths[1], opts, context)
end

return {
  usage = "orrery clock replay TRACE... [OPTION]...\n       orrery clock watch ADDR... [OPTION]...",
  about = "what time it is, by recorded exchanges (replay) or in a live cluster (watch), and how wrong that may be",
  notes = [[
watch asks the nodes of the cluster that has a node at ADDR (the next ADDR is for the case that it doesn't answer), and
prints a line for each: offset is the cluster's time minus the machine's clock, and right within the bound; the clocks
that a node knows of are those of the other machines, or NTP servers, against the cluster's time. --links says what
the first node makes of all links together (node.clock:graph()).

A trace has a line for each event, times in ns, its fields apart by blanks; a dot is any word, and not read:
  X peer t1 t2 t3 t4 . . . stratum root_delay root_dispersion    an exchange: left, came, left again, came back
  L peer . t1                                                    a request without a reply
  S local millicelsius                                           a temperature near the oscillator
  Q . local . ...                                                a query
For each query comes a line: local offset earliest latest sd freq_ppb state goodmask, in ns; offset is reference minus
local, earliest and latest bound it, `-` is unknown; freq_ppb is positive where local is fast; state is sync, holdover
or unsync; bit k of goodmask (hexadecimal) is the true peer in place k. TRACE - is the standard input.
Exit status: 0, or 2 at the first line that is malformed (FILE:LINE) and for wrong use.]],
  arguments = { "replay|watch", "TRACE or ADDR" }, more = true,
  options = {
    { "--mode", "MODE", "ntp (default) or pacemaker", kind = function(text)
      if text == "ntp" or text == "pacemaker" then return text end
      return nil, "ntp or pacemaker"
    end },
    { "--peers", "N", "there are peers 0 to N-1, and the first answer waits for them (default: whoever comes)",
      kind = function(text)
        local n = text:find "^%d+$" and math.tointeger(text)
        if n and n >= 1 and n <= 64 then return n end
        return nil, "from 1 to 64"
      end },
    { "--poll", "S", "seconds between requests: taken for the sake of scripts, the trace has it", kind = "seconds" },
    { "--every", "S", "watch: so often (default: 1)", kind = "seconds" },
    { "--for", "S", "watch: so long (default: until it is interrupted)", kind = "seconds" },
    { "--links", nil, "watch: also what the links between the nodes are worth, and which is asymmetric" },
    { "--plot", "[FILE.svg]", "draws offset and interval of each TRACE (in place of lines) or node (at the end)",
      maybe = "%.svg$" },
  },
  run = run,
}
