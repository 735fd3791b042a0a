-- orrery: what `require "orrery"` gives.
local cluster = require "orrery.cluster"
local later = require "orrery.later"

return later.guard("orrery", {
  version = later.version,
  cluster = cluster.new,
  topology = require "orrery.topology",
  raft = require "orrery.raft".new,
  show = require "orrery.show".show,
}, later.orrery)
