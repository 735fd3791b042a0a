return orrery.cluster {
  name = "stale-read", node = "node.lua",
  nodes = {
    { id = "a", at = "127.0.0.1:7401" }, { id = "b", at = "127.0.0.1:7402" }, { id = "c", at = "127.0.0.1:7403" },
  },
}
