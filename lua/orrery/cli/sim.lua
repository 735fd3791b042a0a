-- sim.lua - orrery sim: a cluster file's nodes in the simulator, under faults, judged; one run for each seed.
local core = require "orrery.core"
local prepare = require "orrery.cli.prepare"

-- -- Options --------------------------------------------------------------------------------------------------------
local function range(text)
  local first, last = text:match "^(%d+):(%d+)$"
  first, last = math.tointeger(first), math.tointeger(last)
  if first and last and first <= last then return { first, last } end
  return nil, "A:B with A <= B"
end

local function not_yet(what)
  return nil, ("%s is not available in this version (%s)"):format(what, core.version)
end

-- What orr_lab_run is to be given for --faults, or nil and what is wrong.
local function faults_of(name)
  if name == nil or name == "none" then return false end
  if name == "default" then return { default = true } end
  if name == "swarm" or name:find "%.lua$" then return not_yet("--faults " .. name) end
  return nil, ("--faults must be none or default (got '%s')"):format(name)
end

local function check(opts)
  if opts.seed and opts.seeds then return nil, "--seed and --seeds exclude each other" end
  if opts.workload and opts.workload:find "%.lua$" then return not_yet("--workload FILE.lua") end
  if opts.workload and opts.workload ~= "kv" and opts.workload ~= "none" then
    return nil, ("--workload must be kv or none (got '%s')"):format(opts.workload)
  end
  if opts.shrink then return not_yet "--shrink" end
  if opts.events and opts.seeds then return nil, "--events is of one seed: --seed N" end
  local faults, wrong = faults_of(opts.faults)
  if faults == nil then return nil, wrong end
  return {
    first = opts.seed or opts.seeds and opts.seeds[1] or 1,
    last = opts.seed or opts.seeds and opts.seeds[2] or 1,
    faults = faults or nil,
    clients = opts.workload == "none" and 0 or nil,
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
    ('"elections":%d,"restarts":%d,"claims":%d'):format(r.elections, r.restarts, r.claims),
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
  return word:find "[^%w_./:=-]" and "'" .. word:gsub("'", "'\\''") .. "'" or word
end

-- The command that plays a seed again.
local function replay(path, opts, seed)
  local words = { "orrery sim", quoted(path), "--seed", seed }
  for _, name in ipairs { "for", "faults", "workload" } do
    if opts[name] then words[#words + 1] = ("--%s %s"):format(name, opts[name]) end
  end
  for _, set in ipairs(opts.set or {}) do words[#words + 1] = "--set " .. quoted(set.name .. "=" .. set.value) end
  return table.concat(words, " ")
end

local sums = {
  "events", "operations", "unknown", "failed", "reads", "overlapping_reads", "elections", "restarts",
  "virtual_s", "wall_s",
}

local function add(total, r)
  total.runs, total.failed_runs = total.runs + 1, total.failed_runs + (r.ok and 0 or 1)
  for _, name in ipairs(sums) do total[name] = (total[name] or 0) + r[name] end
  for name, n in pairs(r.faults) do total.faults[name] = (total.faults[name] or 0) + n end
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

local function run(opts, arguments, context)
  local path = arguments[1]
  local what, wrong = check(opts)
  if not what then return context.wrong("sim: " .. wrong) end
  local ready, message = prepare.cluster(path, opts)
  if not ready then return context.wrong(message) end
  local nodes, served = lab_nodes(ready)
  if not served and what.clients ~= 0 then
    return context.wrong 'sim: the workload kv needs node:listen("resp", group:resp()) on at least one node'
  end
  local total = { runs = 0, failed_runs = 0, faults = {} }
  for seed = what.first, what.last do
    local began, cpu = core.process.clock(), os.clock()
    local r, why = core.lab.run {
      seed = seed, nodes = nodes, path = package.path, faults = what.faults, run = opts["for"], clients = what.clients,
      events = opts.events, verbose = opts.verbose,
    }
    if not r then return context.wrong(("sim: seed %d: %s"):format(seed, why)) end
    r.wall_s, r.cpu_s = core.process.clock() - began, os.clock() - cpu
    add(total, r)
    tell(r, opts, path)
    if not r.ok and opts.stop_on_first then break end
  end
  if not opts.json then print(summary(total)) end
  return total.failed_runs == 0 and 0 or 1
end

return {
  usage = "orrery sim CLUSTER.lua [--seed N | --seeds A:B] [--for SECONDS] [--faults none|default] [OPTION]...",
  about = "runs the nodes of a cluster file in the simulator, under faults, and judges what clients saw",
  notes = [[
A run is its seed: the same seed gives the same run, and the same digest. While faults strike nothing wrong may be seen;
afterwards the cluster must answer within a bound. What is violated is told with its seed and the command that plays it
again. Exit status: 0 all held, 1 something was violated, 2 wrong use.]],
  arguments = { "CLUSTER.lua" },
  options = {
    { "--seed", "N", "one run (default: 1)", kind = "integer" },
    { "--seeds", "A:B", "a run for each seed from A to B", kind = range },
    { "--for", "SECONDS", "how long faults strike, in virtual seconds (default: 30)", kind = "seconds" },
    { "--faults", "WHICH", "none, or default: every kind that must hurt nobody (default: none)" },
    { "--workload", "NAME", "kv (default): clients read, write and compare-and-set few keys; none: no clients" },
    { "--stop-on-first", nil, "ends at the first seed that violates something" },
    { "--events", "FILE", "writes the event log of the seed" },
    { "--json", nil, "a line of JSON for each seed" },
    { "--shrink", "FILE", "not in this version", hidden = true },
    { "--verbose", nil, "the nodes' logs on stderr, in virtual time" },
    prepare.set_option,
  },
  run = run,
}
