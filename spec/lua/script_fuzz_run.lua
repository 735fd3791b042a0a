-- script_fuzz_run.lua FIRST LAST [shows] - random scripts of script_fuzz.lua in simulations, three replicas each; a
-- line a seed:
--
--     SEED VERDICT TRANSCRIPT what was told
--
-- VERDICT: `equal`, `caught` (a replica stopped and said so, or the simulation: at the latest when all is at rest), or
-- what is never to be: `differ`, `escaped`, `raised`. That states differ may be caught where that was planted.
-- TRANSCRIPT hashes every result, state and delivered byte: two processes must print the same lines.
local orrery = require "orrery"
local core = require "orrery.core"
local fuzz = dofile "spec/lua/script_fuzz.lua"
local folder = dofile "spec/lua/folder.lua"()

_G.secret = "can" .. "ary"                              -- of the host: no script may find it
debug.getregistry().secret = "can" .. "ary"

local ids = { "a", "b", "c" }
local cluster = [[
return orrery.cluster { name = "fuzz", node = "n.lua", limits = { steps = %d, memory = %d }, nodes = {
  { id = "a", at = "127.0.0.1:1" }, { id = "b", at = "127.0.0.1:2" }, { id = "c", at = "127.0.0.1:3" } } }]]

local function packed(...)
  local ok, text = pcall(core.value.pack, table.pack(...))
  return ok and text or "?" .. text
end

local function perform(sim, step)
  local id, kind, op = table.unpack(step)
  if kind == "kill" then return sim:kill(id) end
  if kind == "restart" then return sim:restart(id) end
  return sim:call(id, kind, op)
end

-- What all say once nothing happens any more: { digest, state } of each that is as far as the furthest one.
local function look(sim)
  local views, furthest = {}, -1
  for _, id in ipairs(ids) do
    local applied, digest, state = sim:call(id, "look")
    views[id] = { applied = applied, digest = digest, state = state }
    if math.type(applied) == "integer" and applied > furthest then furthest = applied end
  end
  return views, furthest
end

local function settle(sim)
  for _, id in ipairs(ids) do
    if sim.deaths[id] or tostring(sim.nodes[id]):find "down" then pcall(sim.restart, sim, id) end
  end
  sim:run(3)
end

local function run(seed)
  local made = fuzz.generate(seed)
  local memory = made.seed % 4 == 0 and 6 << 20 or 32 << 20
  folder:write("n.lua", made.text)
  local path = folder:write("c.lua", cluster:format(100000 + seed % 3 * 100000, memory))
  local sim <close> = orrery.sim(path, { seed = seed })
  local transcript, escaped = {}, nil
  sim:run(0.5)
  for _, step in ipairs(made.ops) do
    local text = packed(perform(sim, step))
    transcript[#transcript + 1] = text
    if text:find "ESCAPED" or step[2] ~= "noise" and text:find "canary" then
      escaped = text:match "ESCAPED[%w ]+" or text
    end
    sim:run(0.05)
  end
  settle(sim)
  local views, furthest = look(sim)
  local verdict, why = "equal", ""
  local said = tostring(sim:log())
  for line in said:gmatch "[^\n]+" do
    if line:find "orrupt" or line:find "stops" or line:find "memory" then verdict, why = "caught", line end
  end
  local one
  for _, id in ipairs(ids) do
    local view = views[id]
    if view.applied == furthest then
      one = one or view
      if one.digest ~= view.digest or one.state ~= view.state then verdict, why = "differ", id end
    end
  end
  for _, id in ipairs(ids) do transcript[#transcript + 1] = packed(views[id].digest, views[id].state) end
  local _, violated = sim:check()
  if violated then
    local said = violated:find "ended: g: " or violated:find "could not apply entry %d+: Cannot allocate memory"
    local caught = said or made.plants and violated:find "digest: group g: "
    verdict, why = caught and "caught" or violated:find "digest: " and "differ" or "raised", violated
  end
  if escaped then verdict, why = "escaped", escaped end
  transcript[#transcript + 1] = sim:digest()
  return verdict, core.hash.word(table.concat(transcript, "\n")), (made.plants and "plants " or "") .. why, transcript
end

local function finish() folder:remove() end
local runner = setmetatable({ finish = finish }, { __call = function(_, seed) return run(seed) end })
if not tonumber((...)) then return runner end

local first, last, shows = ...
for seed = tonumber(first), tonumber(last) do
  local ok, verdict, hash, why, transcript = pcall(run, seed)
  if not ok then verdict, hash, why = "raised", 0, verdict end
  for i, text in ipairs(shows and transcript or {}) do print(i, (text:gsub("[^ -~]", "."))) end
  print(("%d %s %s %s"):format(seed, verdict, hash, (why:gsub("; again.*", ""):gsub("%s+", " "))))
end
folder:remove()
