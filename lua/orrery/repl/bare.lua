-- bare.lua - cluster(n) at a prompt on nothing: a running cluster without a file, on virtual time.
--
-- Its nodes are n1, n2, ...; each bears a replica of the group "kv" and serves it to handlers (bare_node.lua) and to
-- Redis clients. The newest one is `sim`, and its nodes are variables.
local frame = require "orrery.repl.frame"
local options = require "orrery.options"
local orrery = require "orrery"

local bare = {}
local most, election = 64, 1

local function check_size(n)
  if math.type(n) == "integer" and n >= 1 and n <= most then return n end
  error(("cluster: 'n' must be an integer from 1 to %d (got %s)"):format(most, options.got(n)), 3)
end

local function value_of(n)
  local nodes = {}
  for i = 1, n do
    nodes[i] = { id = "n" .. i, at = "127.0.0.1:" .. 7400 + i, resp = "127.0.0.1:" .. 7500 + i }
  end
  local value = orrery.cluster { name = "kv", node = "bare_node.lua", nodes = nodes }      -- beside this file
  return value
end

-- What `cluster` is at the prompt. tell(on): a cluster is there; on as of frame.lua.
function bare.new(env, tell)
  local names = {}
  return function(n, opts)
    local value = value_of(check_size(n == nil and 3 or n))
    local sim = orrery.sim(value, opts)
    sim:run(election)
    for _, name in ipairs(names) do env[name] = nil end
    local on = frame.of(env, sim, value.name, sim.ids, sim.seed)
    names = sim.ids
    tell(on)
    return sim
  end
end

return bare
