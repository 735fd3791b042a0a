-- Three nodes; c is far from the others. Each serves the Redis protocol at `resp`.
return orrery.cluster {
  name = "leases",
  node = "node.lua",
  clock = { bound_max = 0.1 },                  -- no leases where the time isn't known to a tenth of a second
  config = { reads = "lease" },
  nodes = {
    { id = "a", at = "127.0.0.1:7401", resp = "127.0.0.1:7501" },
    { id = "b", at = "127.0.0.1:7402", resp = "127.0.0.1:7502" },
    { id = "c", at = "127.0.0.1:7403", resp = "127.0.0.1:7503" },
  },
}
