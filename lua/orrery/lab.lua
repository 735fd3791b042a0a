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

local function settle(s)
  for _ = 1, math.ceil(bound / look) do
    if not s:run(look) then return end
    if s.core:settled() then return end
  end
  local _, who, owes = s.core:settled()
  s:violate("liveness", ("%s %s, %.1f s after the last fault"):format(who, owes, bound))
end

-- run: { value, nodes = { { id, plan, resp } }, seed, seconds, faults (what core.sim.new takes, or false), clients (of
-- the kv workload), events, verbose, flip }. What core.sim's judge gives; or nil and one line: it can't be run.
function lab.run(run)
  local s <close>, message = make(run)
  if not s then return nil, message end
  if s:run(run.seconds - s:now()) then
    s.core:quiet()
    if run.clients > 0 then settle(s) end
  end
  return s.core:judge()
end

return lab
