-- ntp.lua - orrery ntp: asks servers for the time, or serves it.
local core = require "orrery.core"
local figures = require "orrery.cli.figures"

local span, signed = figures.span, figures.signed

local default = { samples = 4, timeout = 2 }
local silent_most = 2               -- requests in a row, then a server that never answered is given up
local poll = -1                     -- log2 s: how far apart the requests are

-- -- Words ------------------------------------------------------------------------------------------------------------
-- Four letters at stratum 1; else an IPv4 address, or what stands for another one.
local function refid(place)
  local bytes = (">I4"):pack(place.refid)
  local letters = bytes:match "^[%g]+\0*$" and bytes:gsub("%z", "")
  if place.stratum == 1 and letters then return letters end
  return ("%d.%d.%d.%d"):format(bytes:byte(1, 4))
end

local function root_distance(place)
  return place.root_delay_ns // 2 + place.root_dispersion_ns + place.delay_ns // 2
end

local refusals = {
  rate = "asks to be asked less: wait a while, or take fewer --samples",
  deny = "wants no requests of this machine: ask another server",
  leap = "says that it is not synchronised: ask another server, or see what it follows",
  stratum = "says that it is not synchronised: ask another server, or see what it follows",
  root = "says that it may be wrong by a second and more: ask another server",
}

-- Why a place has no usable answer, and what to do about it.
local function trouble(place, timeout)
  if not place.address and place.why then
    return ("%s: check the name and this machine's DNS"):format(place.why)
  elseif not place.address then
    return ("the name was not found in %g s: check this machine's DNS, or give a longer --timeout"):format(timeout)
  elseif place.verdict then
    return refusals[place.verdict]
      or ("sends answers that can't be used (%s): ask another server"):format(place.verdict)
  elseif place.why then
    return ("%s: check address and port"):format(place.why)
  end
  return ("no answer in %g s: check address and port, and that UDP gets through"):format(timeout)
end


local unsynchronised = { leap = true, stratum = true }

-- What is said of a server: alone it is as true as itself; of many a majority is.
local function verdict(place, now)
  if place.exchanges == 0 then
    return unsynchronised[place.verdict] and "unsynchronised" or place.verdict or "no answer"
  end
  if not place.role or place.role == "new" then return "unjudged" end
  if not now or now.state == "unsynchronised" then return "no majority" end
  if place.role == "false" then return place.apart and "falseticker" or "outlier" end
  return place.role
end

-- -- Asking -----------------------------------------------------------------------------------------------------------
local function done(place, opts)
  if not place.address then return place.why ~= nil end
  if place.exchanges == 0 and not place.verdict and place.untried > 0 then return false end
  if place.waiting and not place.why then return false end
  return place.exchanges >= opts.samples or place.stopped or place.requests >= 2 * opts.samples + silent_most
    or (place.exchanges == 0 and (place.silent >= silent_most or place.why ~= nil))
    or (place.exchanges == 0 and place.requests >= opts.samples)
    or place.verdict == "rate"
end

local function all_done(ntp, opts, asked_s)
  for _, place in ipairs(ntp:places()) do
    local lost = not place.address and asked_s >= opts.timeout
    if not lost and not done(place, opts) then return false end
  end
  return true
end

-- Of so few answers that the clock has no estimate yet, the last is what is known.
local function by_the_last(place)
  if place.exchanges == 0 or place.offset_ns then return end
  place.delay_ns = math.max(0, (place.t4 - place.t1) - (place.t3 - place.t2))
  place.offset_ns = ((place.t2 - place.t1) + (place.t3 - place.t4)) // 2 - place.wall_offset_ns
  place.bound_ns = root_distance(place) + place.stamp_error_ns + 1
  place.jitter_ns = 0
end

-- places, now; or nil: a signal came
local function ask(ntp, opts)
  local began = core.process.clock()
  while not all_done(ntp, opts, core.process.clock() - began) do
    if not ntp:step(0.1) then return nil end
  end
  local now, places = ntp:judge(), ntp:places()
  for _, place in ipairs(places) do by_the_last(place) end
  return places, now
end

-- -- Telling ----------------------------------------------------------------------------------------------------------
local columns = { "address", "stratum", "refid", "offset", "bound", "delay", "jitter", "root distance", "verdict" }

local function row(place, now)
  if place.exchanges == 0 then
    return { place.address or place.source, "-", "-", "-", "-", "-", "-", "-", verdict(place, now) }
  end
  return {
    place.address, tostring(place.stratum), refid(place), signed(place.offset_ns), "+-" .. span(place.bound_ns),
    span(place.delay_ns), span(place.jitter_ns), span(root_distance(place)), verdict(place, now),
  }
end

local function print_table(places, now)
  local rows = { columns }
  for _, place in ipairs(places) do rows[#rows + 1] = row(place, now) end
  for _, line in ipairs(figures.align(rows)) do print(line) end
  if now and #places > 1 then
    local said = now.state == "unsynchronised" and "no majority of them agrees: the time is not known"
      or ("this machine's clock is off by %s +- %s"):format(signed(now.offset_ns), span(now.bound_ns))
    print(said)
  end
end

local fields = {
  "source", "address", "usable", "verdict", "error", "requests", "exchanges", "stratum", "refid", "leap", "precision",
  "offset_ns", "bound_ns", "delay_ns", "jitter_ns", "root_delay_ns", "root_dispersion_ns", "root_distance_ns",
  "kernel_stamps",
}

local function json_of(place, now, opts)
  local usable, parts = place.exchanges > 0, {}
  local told = {
    usable = usable, verdict = verdict(place, now), error = not usable and trouble(place, opts.timeout) or nil,
    refid = usable and refid(place) or nil, root_distance_ns = usable and root_distance(place) or nil,
  }
  for _, field in ipairs(fields) do
    local value = told[field]
    if value == nil then value = place[field] end
    if value ~= nil then parts[#parts + 1] = ('"%s":%s'):format(field, core.check.json(value)) end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function tell(places, now, opts)
  local usable = 0
  if not opts.json then print_table(places, now) end
  for _, place in ipairs(places) do
    if opts.json then print(json_of(place, now, opts)) end
    if place.exchanges > 0 then
      usable = usable + 1
    else
      io.stdout:flush()
      io.stderr:write(("orrery: ntp: %s: %s\n"):format(place.address or place.source, trouble(place, opts.timeout)))
    end
  end
  return usable > 0 and 0 or 1
end

local function query(opts, addresses, context)
  local ntp <close>, message = core.ntp.new {
    from = addresses, poll_min = poll, poll_max = poll, timeout = opts.timeout, quiet = true, signals = true,
  }
  if not ntp then return context.wrong("ntp: " .. message) end
  local places, now = ask(ntp, opts)
  if not places then return 1 end
  return tell(places, now, opts)
end

-- -- Serving ----------------------------------------------------------------------------------------------------------
local function say(text)
  io.stdout:write(text, "\n")
  io.stdout:flush()
end

local function serve(opts, sources, context)
  local ntp <close>, message, code = core.ntp.new {
    from = sources, serve = opts.serve, interleaved = true, signals = true, timeout = opts.timeout,
  }
  if not ntp then
    local port = opts.serve:match ":(%d+)$"
    local hint = code == "failed" and message:find "ermission" and port and tonumber(port) < 1024
      and "; ports below 1024 are root's, or who has CAP_NET_BIND_SERVICE" or ""
    return context.wrong("ntp: " .. message .. hint)
  end
  local host = opts.serve:match "^(.*):%d+$"
  say(("serving time at %s:%d, pid %d"):format(host, ntp:served().port, core.process.pid()))
  if not sources and not ntp:served().synchronised then
    io.stderr:write("orrery: ntp: this machine's clock is not synchronised, and clients are told so; --from ADDR ",
      "follows servers\n")
  end
  while ntp:step(3600) do end
  local s = ntp:served()
  say(("stopped: %d answered (%d interleaved), %d limited, %d refused"):format(s.answered, s.interleaved, s.limited,
    s.refused))
  return 0
end

-- -- The command ------------------------------------------------------------------------------------------------------
local function split(texts)
  local list = {}
  for _, text in ipairs(texts) do
    for part in (text .. ","):gmatch "([^,]*)," do list[#list + 1] = part end
  end
  return list
end

local function wrong_name(names)
  for _, name in ipairs(names) do
    if not core.ntp.name_ok(name) then
      return ("ntp: '%s' is no server: HOST, HOST:PORT, [IPv6]:PORT, or pool:HOST for several"):format(name)
    end
  end
  if #names > 64 then return "ntp: at most 64 servers" end
end

local function run(opts, arguments, context)
  local sources = opts.from and split(opts.from)
  local wrong = wrong_name(arguments) or (sources and wrong_name(sources))
  if wrong then return context.wrong(wrong) end
  if opts.serve then
    if #arguments > 0 then
      local first = arguments[1]
      return context.wrong(("ntp: '%s' is one argument too many: --from %s follows it"):format(first, first))
    elseif not core.ntp.address_ok(opts.serve) then
      return context.wrong(("ntp: --serve must be [HOST]:PORT, HOST an IP address (got '%s')"):format(opts.serve))
    elseif opts.json or opts.samples then
      return context.wrong(("ntp: --serve and %s don't go together"):format(opts.json and "--json" or "--samples"))
    end
    return serve(opts, sources, context)
  end
  if sources then return context.wrong "ntp: --from is for --serve" end
  if #arguments == 0 then return context.wrong "ntp: ADDR is missing; orrery ntp --help says more" end
  opts.samples, opts.timeout = opts.samples or default.samples, opts.timeout or default.timeout
  return query(opts, arguments, context)
end

local function samples(text)
  local n = text:find "^%d+$" and math.tointeger(text)
  if n and n >= 1 and n <= 1000 then return n end
  return nil, "1 to 1000"
end

local function timeout(text)
  local n = tonumber(text)
  if n and n >= 0.001 and n <= 3600 then return n end
  return nil, "0.001 to 3600 seconds"
end

return {
  usage = "orrery ntp ADDR... [--samples N] [--timeout T] [--json]\n" ..
    "       orrery ntp --serve [HOST]:PORT [--from ADDR,...]",
  about = "asks NTP servers for the time, or serves it",
  notes = [[
ADDR is HOST, HOST:PORT or [IPv6]:PORT, HOST a name or an IP address, PORT 123 where none is given; pool:HOST asks up to
four of the name's addresses. Each server is asked a few times, half a second apart. A line for each: its stratum and
whom it follows (refid); the offset, positive where this machine's clock is behind, with the bound that it is surely
within if the server is right; round trip and jitter; how far the server's own time may be from the reference (root
distance); and the verdict: true, falseticker (a majority of the others contradicts it), outlier (worse than they, but
maybe right), no majority, unjudged (fewer than three answers), unsynchronised (it says so), or why there is none.
--serve answers whoever asks (RFC 5905, interleaved mode of RFC 9769), at most twice a second and address in the long
run. With --from it follows those servers, and serves what a majority of them agrees on; without, it serves this
machine's clock, as right as the kernel says it is. While there is no time to be had, clients are told so. SIGTERM and
SIGINT end it.
Exit status: 0 at least one usable answer, or served until it was told to end; 1 no usable answer; 2 wrong use, or an
address that can't be served on.]],
  arguments = {}, more = true,
  options = {
    { "--samples", "N", "how often each server is asked (default: 4)", kind = samples },
    { "--timeout", "T", "seconds that an answer, or a name's address, may take (default: 2)", kind = timeout },
    { "--json", nil, "an object for each server, times in ns" },
    { "--serve", "[HOST]:PORT", "serves time there; no HOST: on all addresses" },
    { "--from", "ADDR,...", "the servers that --serve follows", many = true },
  },
  run = run,
}
