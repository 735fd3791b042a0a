-- hlc.lua - orrery.hlc{...}: a hybrid logical clock by hand. Checks the options; the object is core.hlc's
-- (bindings/orrb_hlc.c). All times are integers in ns: of bare clocks alone, for a double is good to 0.24 us today.
local core = require "orrery.core"
local options = require "orrery.options"

local spec = {
  skew_max = { "integer", min = 0 },
  ahead = { "integer", min = 1000000 },
  limit = { "integer", default = 0 },
}

local hlc = {}

function hlc.new(given)
  return core.hlc.new(options.check(given or {}, spec, "orrery.hlc"))
end

return hlc
