-- check.lua - orrery check: judges a recorded history, a line of JSON for each invocation and completion.
local check = require "orrery.check"
local core = require "orrery.core"

local statuses = { ok = 0, violated = 1, undecided = 3 }

-- The model of --model: a name, or what a Lua file returns. false: nothing was asked for; or nil, what is wrong.
local function model_of(name)
  if name == nil then return false end
  if not name:find "%.lua$" then
    for _, known in ipairs(check.models()) do if known == name then return name end end
    return nil, ("--model must be %s or a FILE.lua (got '%s')"):format(table.concat(check.models(), ", "), name)
  end
  local chunk, why = loadfile(name)
  if not chunk then return nil, why end
  local ok, model = pcall(chunk)
  if not ok then return nil, tostring(model) end
  if type(model) ~= "table" or type(model.step) ~= "function" then
    return nil, ("%s must return a model: { init, step }"):format(name)
  end
  return model
end

local function summary(r, opts)
  local how = opts.sequential and "sequential" or r.witnessed and "in the order that it bears" or nil
  local parts = { ("%d operations"):format(r.operations) }
  if r.keys > 1 then parts[#parts + 1] = ("%d keys"):format(r.keys) end
  if r.overlapping_reads > 0 then
    parts[#parts + 1] = ("%d of %d reads beside a write"):format(r.overlapping_reads, r.reads)
  end
  if how then parts[#parts + 1] = how end
  return ("ok: %s: %s"):format(r.model, table.concat(parts, ", "))
end

local function tell(r, opts)
  if opts.json then
    print(core.check.json(r))
  elseif r.result == "ok" then
    print(summary(r, opts))
  else
    print(("%s: %s%s"):format(r.result, r.model, r.property and (" (%s)"):format(r.property) or ""))
    io.stdout:write(r.text)
  end
end

local function run(opts, arguments, context)
  local model, wrong = model_of(opts.model)
  if model == nil then return context.wrong("check: " .. wrong) end
  local path = arguments[1] == "-" and "/dev/stdin" or arguments[1]
  local ok, r, why = pcall(check.history, path, {
    model = model or nil, sequential = opts.sequential, strict = opts.strict, budget = opts.budget,
    witness = not opts.search,
  })
  if not ok then return context.wrong("check: " .. tostring(r)) end     -- raised by a model of the user's own
  if not r then
    local place = why:find "^line" and ("%s: "):format(arguments[1]) or ""
    return context.wrong(("check: %s%s"):format(place, why))
  end
  tell(r, opts)
  return statuses[r.result]
end

return {
  usage = "orrery check HISTORY.jsonl [--model NAME] [OPTION]...",
  about = "judges a recorded history: whether it is what the service claims to be",
  notes = [[
A line of the history is {"process":3,"type":"invoke|ok|fail|info","f":"get","key":"x","value":null,"time":123}: "fail"
was surely not done, "info" may have been. The order of the lines is what counts; "time" (ns) is for people; "order" is
a completion's place in the system's own order, "final" marks the last reads. HISTORY - is the standard input.
Models: kv (get set cas del append), register, strings, counter (incr decr add read), queue (enqueue dequeue), lock and
fenced-lock (acquire release): linearizable; append (txn): serializable; g-set, broadcast, pn-counter: eventually
consistent; unique-ids (generate); log (send poll). Without --model the names of the calls say which, where they can.
Exit status: 0 it is, 1 it isn't, and why, 2 wrong use, 3 undecided within the budget.]],
  arguments = { "HISTORY.jsonl" },
  options = {
    { "--model", "NAME", "what it claims to be; or FILE.lua, which returns a model { init, step }" },
    { "--sequential", nil, "the order within each process counts, real time doesn't" },
    { "--strict", nil, "append: real time counts (strict serializability)" },
    { "--search", nil, "searches for an order where the history bears one" },
    { "--budget", "STEPS", "of each key's search (default: 100000000, for FILE.lua 2000000)", kind = "integer" },
    { "--json", nil, "the report as one object" },
  },
  run = run,
}
