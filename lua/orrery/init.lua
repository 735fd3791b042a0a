-- orrery: what `require "orrery"` gives.
local cluster = require "orrery.cluster"
local core = require "orrery.core"
local later = require "orrery.later"
require "orrery.look.ring"                              -- ring:diagram

return later.guard("orrery", {
  version = later.version,
  check = require "orrery.check".history,
  cluster = cluster.new,
  topology = require "orrery.topology",
  raft = require "orrery.raft".new,
  clock = require "orrery.clock".new,
  hlc = require "orrery.hlc".new,
  ring = require "orrery.ring".new,
  jump = require "orrery.ring".jump,
  placement = require "orrery.placement".new,
  mesh = require "orrery.mesh".new,
  resp = require "orrery.resp".open(),
  sim = require "orrery.sim".new,
  start = require "orrery.start".new,
  connect = require "orrery.connect".new,
  workload = require "orrery.workload".new,
  show = require "orrery.show".show,
  pack = core.value.pack,
  unpack = core.value.unpack,
  hash = core.hash.word,
  map = core.map.new,
}, later.orrery)
