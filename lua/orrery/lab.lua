-- lab.lua - one judged run: faults strike while clients work, then the cluster is left alone, then all is judged.
--
-- A run has two phases (lab.h). Safety: whatever strikes, nothing wrong may be seen. Liveness: nothing strikes any
-- more, and within a bound every node must answer and have applied all that was committed.
local core = require "orrery.core"
local sim = require "orrery.sim"

local lab = {}
local ns = 1000000000
local bound, look = 10, 0.05        -- seconds: of the liveness phase; between two looks at it

local function say(note)
  if note.kind ~= "violated" then
    io.stderr:write(("%11.6f %s %-5s %s\n"):format(note.at / ns, note.node, note.kind, note.text))
  end
end

-- The simulation, and what its faults are.
local function make(run)
  local made, message = core.sim.new {
    seed = run.seed, path = package.path, nodes = run.nodes, faults = run.faults or nil, events = run.events,
    run = run.seconds, clients = run.clients, quiet = not run.faults, flip = run.flip,
  }
  if not made then return nil, message end
  return sim.assemble(run.value, made, { given = run.value, seed = run.seed, raging = run.faults and true or false,
    replay = "", verbose = run.verbose and say })
end

-- Within the bound everybody has answered and applied what was committed: true.
local function settle(s, when)
  for _ = 1, math.ceil(bound / look) do
    if not s:run(look) then return false end
    if s.core:settled() then return true end
  end
  local _, who, owes = s.core:settled()
  s:violate("liveness", ("%s %s, %.1f s after %s"):format(who, owes, bound, when))
  return false
end

-- A protocol that bears f failures must go on without those f: that many nodes, which the seed names, lose their power
-- when the faults end, and come back once the others have answered. Disks that were damaged are failures enough.
local function minority(s, seed)
  local ids, n = {}, (#s.ids - 1) // 2
  local first = core.hash.word("minority " .. seed) & 0xff
  for _, id in ipairs(s.ids) do if s.core:damaged(id) then n = n - 1 end end
  for i = 1, n do ids[i] = s.ids[(first + i) % #s.ids + 1] end
  return ids
end

-- The end of the faults ends no sync that hangs: those are waited for.
local function wait_for_disks(s)
  local last = 0
  for _, id in ipairs(s.ids) do last = math.max(last, s.core:hangs(id)) end
  local T = last / ns - s:now()
  return T <= 0 or s:run(T)
end

local function live_on(s, run)
  if not wait_for_disks(s) then return end
  local away = run.faults and minority(s, run.seed) or {}
  for _, id in ipairs(away) do
    s:kill(id)
    s.core:excuse(id, true)
  end
  s.core:quiet()
  if #away > 0 and not settle(s, "the last fault, with a majority up") then return end
  for _, id in ipairs(away) do
    s:restart(id)
    s.core:excuse(id, false)
  end
  settle(s, #away > 0 and "all were up again" or "the last fault")
end

-- run: { value, nodes = { { id, plan, resp } }, seed, seconds, faults (what core.sim.new takes, or false), clients (of
-- the kv workload), events, verbose, flip }. What core.sim's judge gives; or nil and one line: it can't be run.
function lab.run(run)
  local s <close>, message = make(run)
  if not s then return nil, message end
  if s:run(run.seconds - s:now()) and run.clients > 0 then live_on(s, run) end
  return s.core:judge()
end

return lab
