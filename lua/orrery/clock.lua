-- clock.lua - orrery.clock{...}: what time it is and how wrong that may be, by hand. Checks the options; the object
-- itself is core.clock's (bindings/orrb_clock.c). All times are integers in ns: of bare clocks alone, for a double is
-- good to 0.24 us today.
local core = require "orrery.core"
local options = require "orrery.options"

local what = "orrery.clock"
local peers_most, drift_most = 64, 1000000
local trust, noselect = 1, 2            -- as in core/include/orrery/clock.h

-- A peer's name, or its number.
local function a_peer(v)
  if type(v) == "string" and v ~= "" then return v end
  if math.type(v) == "integer" and v >= 0 and v <= 0xffffffff then return v end
  return nil, "a name, or an integer from 0 to 4294967295"
end

-- How many there may be, or who they are.
local function some_peers(v)
  if math.type(v) == "integer" and v >= 1 and v <= peers_most then return v end
  if type(v) ~= "table" or #v < 1 or #v > peers_most then
    return nil, ("an integer from 1 to %d, or an array of so many peers"):format(peers_most)
  end
  for i, peer in ipairs(v) do
    local fits, expected = a_peer(peer)
    if not fits then return nil, expected, { i, got = peer } end
  end
  return table.move(v, 1, #v, 1, {})
end

local spec = {
  mode = { "choice", of = { "ntp", "pacemaker" }, default = "ntp" },
  peers = { some_peers, default = 16 },
  precision = { "integer", min = 1, max = 1000000000 },
  max_drift = { "integer", min = 0, max = drift_most },
  poll_min = { "integer", min = -6, max = 17, default = 4 },
  poll_max = { "integer", min = -6, max = 17, default = 10 },
  seed = { "integer", default = 1 },
}
local add_spec = { trust = { "boolean" }, noselect = { "boolean" }, now = { "integer" } }
local not_negative = { "integer", min = 0 }
local sample_spec = {
  stratum = { "integer", min = 0, max = 255 }, leap = { "integer", min = 0, max = 3 }, root_delay = not_negative,
  root_dispersion = not_negative, error = not_negative, now = { "integer" },
}

-- The core calls it, in the place of the method that was called.
local function check_sample(given) options.check(given, sample_spec, what .. ":sample", 3) end

local methods = core.clock.methods

-- c:add(peer [, { trust =, noselect =, now = }])
function methods.add(self, peer, given)
  local o = options.check(given or {}, add_spec, what .. ":add")
  return core.clock.add(self, peer, (o.trust and trust or 0) | (o.noselect and noselect or 0), o.now)
end

local clock = {}

function clock.new(given)
  local o = options.check(given or {}, spec, what)
  if o.poll_min > o.poll_max then
    error(("%s: 'poll_max' must not be below 'poll_min' (got %d < %d)"):format(what, o.poll_max, o.poll_min), 2)
  end
  local list = type(o.peers) == "table" and o.peers or {}
  if list == o.peers then o.peers = #list end
  local c, message, code = core.clock.new(o, check_sample)
  if not c then return nil, message, code end
  for i, peer in ipairs(list) do
    local ok, why = c:add(peer)
    if not ok then error(("%s: 'peers[%d]': %s"):format(what, i, why), 2) end
  end
  return c
end

return clock
