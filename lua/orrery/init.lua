-- orrery: what `require "orrery"` gives.
local cluster = require "orrery.cluster"
local later = require "orrery.later"

return later.guard("orrery", {
  version = later.version,
  cluster = cluster.new,
  topology = require "orrery.topology",
  show = require "orrery.show".show,
}, later.orrery)
