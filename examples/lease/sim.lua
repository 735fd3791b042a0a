-- orrery sim.lua SCRIPT: the holder of the lease is paused, somebody else gets it, the holder goes on. Who acts?
local orrery = require "orrery"

local nodes = {}
for i, id in ipairs { "a", "b", "c" } do nodes[i] = { id = id, at = "127.0.0.1:747" .. i } end
local sim <close> = assert(orrery.sim(orrery.cluster { name = "lease", node = arg[1], clock = {}, nodes = nodes }))

local function say(text, ...) print(("%6.3f s  " .. text):format(sim:now(), ...)) end

-- Who acts when he is asked, `but` left out: asked every half second until somebody does.
local function acting(but)
  repeat
    sim:run(0.5)
    for _, node in ipairs(nodes) do
      if node.id ~= but and sim:call(node.id, "act") then return node.id end
    end
  until false
end

local first = acting()
say("%s holds the lease, and acts", first)
sim:pause(first)
say("%s is paused", first)
local second = acting(first)
say("%s holds the lease, and acts", second)
local before = sim.nodes[first].state.done
sim:cast(first, "act")                        -- it waits at the door of a node that is paused
sim:resume(first)
sim:run(0.01)
local acts = sim.nodes[first].state.done > before
say("%s goes on, and %s", first, acts and "acts, although the lease is " .. second .. "'s" or "does not act")
assert(sim:call(second, "act"))
say("%s still holds the lease, and acts", second)
