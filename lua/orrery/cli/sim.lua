-- sim.lua - orrery sim: a cluster file's nodes in the simulator, under faults, judged; one run for each seed.
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local lab = require "orrery.lab"
local options = require "orrery.options"
local prepare = require "orrery.cli.prepare"
local smaller = require "orrery.cli.smaller"
local workload = require "orrery.workload"

-- -- Options --------------------------------------------------------------------------------------------------------
local function range(text)
  local first, last = text:match "^(%d+):(%d+)$"
  first, last = math.tointeger(first), math.tointeger(last)
  if first and last and first <= last then return { first, last } end
  return nil, "A:B with A <= B"
end

-- What lab.run is to be given for --faults, or nil and what is wrong.
local function faults_of(name)
  if name == nil or name == "none" then return false end
  if name == "default" then return { default = true } end
  if name == "swarm" then return { swarm = true, damage = true } end
  if not name:find "%.lua$" then
    return nil, ("--faults must be none, default, swarm or FILE.lua (got '%s')"):format(name)
  end
  local file, message = io.open(name)
  if not file then return nil, message end
  file:close()
  return { file = name }
end

-- How many clients of the kv workload, in C, and which other workload; or nil and what is wrong.
local function workload_of(opts)
  local name = opts.workload or "kv"
  if name == "none" then return 0 end
  if name == "kv" then return opts.clients or 4 end
  local value, message = workload.load(name)
  if not value then return nil, message end
  value.clients = opts.clients or value.clients
  return 0, value
end

local function ids_of(text)
  local list = {}
  for id in text:gmatch "[^,]+" do list[#list + 1] = id end
  if #list > 0 then return list end
  return nil, "ID,ID,..."
end

local function check(opts)
  if opts.seed and opts.seeds then return nil, "--seed and --seeds exclude each other" end
  if opts.events and opts.seeds then return nil, "--events is of one seed: --seed N" end
  local which, wrong = faults_of(opts.faults)
  if which == nil then return nil, wrong end
  if opts.shrink and not which then return nil, "--shrink needs faults that strike: --faults default or swarm" end
  if opts.shrink and which.file then return nil, "--shrink is of faults that a seed draws: --faults default, swarm" end
  local clients, value = workload_of(opts)
  if not clients then return nil, value end
  return {
    first = opts.seed or opts.seeds and opts.seeds[1] or 1,
    last = opts.seed or opts.seeds and opts.seeds[2] or 1,
    faults = which, seconds = opts["for"] or 30, clients = clients, workload = value,
  }
end

-- -- Telling --------------------------------------------------------------------------------------------------------
local function json_text(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function json(r)
  local parts = {
    ('"seed":%d,"ok":%s,"events":%d,"operations":%d'):format(r.seed, r.ok, r.events, r.operations),
    ('"virtual_s":%.6f,"wall_s":%.6f,"cpu_s":%.6f'):format(r.virtual_s, r.wall_s, r.cpu_s),
    ('"digest":"%s"'):format(r.digest),
    ('"unknown":%d,"failed":%d'):format(r.unknown, r.failed),
    ('"reads":%d,"overlapping_reads":%d'):format(r.reads, r.overlapping_reads),
    ('"elections":%d,"restarts":%d,"claims":%d,"times":%d,"members":%d'):format(r.elections, r.restarts, r.claims,
      r.times, r.members),
  }
  if not r.ok then
    parts[#parts + 1] = ('"property":"%s","violation":%s'):format(r.property, json_text(r.violation))
  end
  local faults = {}
  for _, fault in ipairs(core.lab.faults()) do
    if r.faults[fault.name] > 0 then faults[#faults + 1] = ('"%s":%d'):format(fault.name, r.faults[fault.name]) end
  end
  return ("{%s,\"faults\":{%s}}"):format(table.concat(parts, ","), table.concat(faults, ","))
end

local function quoted(word)
  return word:find "[^%w_./:=,-]" and "'" .. word:gsub("'", "'\\''") .. "'" or word
end

-- The command that plays a seed again.
local function replay(path, opts, seed)
  local words = { "orrery sim", quoted(path), "--seed", seed }
  for _, name in ipairs { "for", "faults", "workload", "clients" } do
    if opts[name] then words[#words + 1] = ("--%s %s"):format(name, quoted(tostring(opts[name]))) end
  end
  if opts.without then words[#words + 1] = "--without " .. quoted(table.concat(opts.without, ",")) end
  for _, set in ipairs(opts.set or {}) do words[#words + 1] = "--set " .. quoted(set.name .. "=" .. set.value) end
  return table.concat(words, " ")
end

local sums = {
  "events", "operations", "unknown", "failed", "reads", "overlapping_reads", "elections", "restarts",
  "times", "members", "virtual_s", "wall_s",
}

local function add(total, r)
  total.runs, total.failed_runs = total.runs + 1, total.failed_runs + (r.ok and 0 or 1)
  for _, name in ipairs(sums) do total[name] = (total[name] or 0) + r[name] end
  for name, n in pairs(r.faults) do total.faults[name] = (total.faults[name] or 0) + n end
  for name, counts in pairs(r.rare) do
    local sum = total.rare[name] or { seeds = 0, taken = 0 }
    total.rare[name] = { seeds = sum.seeds + (counts[2] > 0 and 1 or 0), taken = sum.taken + counts[2] }
  end
end

-- Branches that the simulator alone takes (ORR_RARE): in how many runs each was taken, and how often.
local function rares(total)
  local lines = { ("%-28s %8s %8s"):format("rare branch", "runs", "times") }
  for _, name in ipairs(options.keys(total.rare)) do
    local sum = total.rare[name]
    lines[#lines + 1] = ("%-28s %8d %8d"):format(name, sum.seeds, sum.taken)
  end
  return table.concat(lines, "\n")
end

-- Adds "HEAD a, b, c" in lines of at most 100 columns.
local function wrap(lines, head, words)
  local line = head
  for i, word in ipairs(words) do
    local piece = word .. (i < #words and ", " or "")
    if #line + #piece > 100 then
      lines[#lines + 1] = line:gsub(" $", "")
      line = (" "):rep(#head)
    end
    line = line .. piece
  end
  lines[#lines + 1] = line
end

local function summary(total)
  local rate = total.events / math.max(total.wall_s, 1e-9)
  local lines = {
    ("%d run%s, %.0f virtual seconds in %.1f s"):format(total.runs, total.runs == 1 and "" or "s", total.virtual_s,
      total.wall_s),
    ("%d events (%.0f a second), %d operations, %d of unknown fate"):format(total.events, rate, total.operations,
      total.unknown),
  }
  if total.reads > 0 then
    lines[3] = ("%d reads, %.0f %% of them beside a write of their key; %d elections, %d restarts"):format(total.reads,
      100 * total.overlapping_reads / total.reads, total.elections, total.restarts)
  end
  if total.times > 0 then
    lines[#lines + 1] = ("%d answers to what the time is, each compared with the truth"):format(total.times)
  end
  if total.members > 0 then
    lines[#lines + 1] = ("%d times a node held something new of another one's life"):format(total.members)
  end
  local struck = {}
  for _, fault in ipairs(core.lab.faults()) do
    local n = total.faults[fault.name] or 0
    if n > 0 then struck[#struck + 1] = ("%s %d"):format(fault.name, n) end
  end
  wrap(lines, "faults: ", #struck > 0 and struck or { "none" })
  local verdict = ("%d of %d violated something"):format(total.failed_runs, total.runs)
  lines[#lines + 1] = total.failed_runs == 0 and "all held" or verdict
  return table.concat(lines, "\n")
end

-- -- Running --------------------------------------------------------------------------------------------------------
-- The nodes, and whether clients find any that serves them.
local function lab_nodes(ready)
  local nodes, served = {}, false
  for i, member in ipairs(ready.value.nodes) do
    local resp = ready.serves[member.id].resp and member.listen.resp
    nodes[i] = { id = member.id, resp = resp, plan = ready.text(member.id) }
    served = served or resp ~= nil
  end
  return nodes, served
end

-- The cluster without those nodes: its value and nodes; nil where it can't be run so.
local function part_of(ready, path, opts, gone)
  local value = cluster.without(ready.value, gone)
  local part = value and prepare.value(value, path, opts)
  if not part then return nil end
  local nodes, served = lab_nodes(part)
  return { value = value, nodes = nodes, served = served }
end

local function tell(r, opts, path)
  if opts.json then
    print(json(r))
  elseif not r.ok then
    print(("seed %d: %s: %s"):format(r.seed, r.property, r.violation))
    print("  again: " .. replay(path, opts, r.seed))
  elseif not opts.seeds then
    print(("seed %d: digest %s"):format(r.seed, r.digest))
  end
  io.stdout:flush()
end

-- -- Running --------------------------------------------------------------------------------------------------------
local function one_run(what, ready, nodes, seed, opts)
  return {
    value = ready.value, nodes = nodes, seed = seed, seconds = what.seconds, faults = what.faults,
    clients = what.clients, workload = what.workload, events = opts.events, verbose = opts.verbose,
  }
end

local function run(opts, arguments, context)
  local path = arguments[1]
  local what, wrong = check(opts)
  if not what then return context.wrong("sim: " .. wrong) end
  local ready, message = prepare.cluster(path, opts)
  if not ready then return context.wrong(message) end
  local nodes, served = lab_nodes(ready)
  if not served and what.clients ~= 0 then
    return context.wrong('sim: the workload kv needs node:listen("resp", group:resp()) on at least one node '
      .. "(or --workload none)")
  end
  local total = { runs = 0, failed_runs = 0, faults = {}, rare = {} }
  for seed = what.first, what.last do
    local began, cpu = core.process.clock(), os.clock()
    local this = one_run(what, ready, nodes, seed, opts)
    local r, why = lab.run(this)
    if not r then return context.wrong(("sim: seed %d: %s"):format(seed, why)) end
    r.wall_s, r.cpu_s = core.process.clock() - began, os.clock() - cpu
    add(total, r)
    tell(r, opts, path)
    if not r.ok and opts.shrink then
      local ok
      ok, why = smaller.write(opts.shrink, this, r, {
        opts = opts, replay = function(fields, of) return replay(path, fields, of) end,
        without = function(gone) return part_of(ready, path, opts, gone) end,
      })
      print(ok and "  shrunk to " .. opts.shrink or "  not shrunk: " .. why)
      break
    end
    if not r.ok and opts.stop_on_first then break end
  end
  if opts.rare then print(rares(total)) end
  if not opts.json then print(summary(total)) end
  return total.failed_runs == 0 and 0 or 1
end

return {
  usage = "orrery sim CLUSTER.lua [--seed N | --seeds A:B] [--for SECONDS] [--faults WHICH] [OPTION]...",
  about = "runs the nodes of a cluster file in the simulator, under faults, and judges what clients saw",
  notes = [[
A run is its seed: the same seed gives the same run, and the same digest. While faults strike nothing wrong may be seen;
afterwards the cluster must answer within a bound, and nodes that watch each other (node.members) must agree on who
lives. What is violated is told with its seed and the command that plays it again. Where no node serves clients, say
--workload none. Exit status: 0 all held, 1 something was violated, 2 wrong use.]],
  arguments = { "CLUSTER.lua" },
  options = {
    { "--seed", "N", "one run (default: 1)", kind = "integer" },
    { "--seeds", "A:B", "a run for each seed from A to B", kind = range },
    { "--for", "SECONDS", "how long faults strike, in virtual seconds (default: 30)", kind = "seconds" },
    { "--faults", "WHICH", "none (default), default: all that hurt nobody, swarm: some, and damage, or FILE.lua" },
    { "--workload", "WHICH", "what clients do: kv (default), none, another that comes along, or FILE.lua" },
    { "--clients", "N", "so many clients (default: 4, or as the workload says)", kind = "integer" },
    { "--stop-on-first", nil, "ends at the first seed that violates something" },
    { "--events", "FILE", "writes the event log of the seed" },
    { "--json", nil, "a line of JSON for each seed" },
    { "--rare", nil, "how often each branch was taken that the simulator alone takes" },
    { "--shrink", "FILE", "of the first seed that violates something: writes the fewest faults that do" },
    { "--without", "ID,ID", "leaves these nodes out of the cluster", kind = ids_of },
    { "--verbose", nil, "the nodes' logs on stderr, in virtual time" },
    prepare.set_option,
  },
  run = run,
}
