return orrery.cluster {
  name = "failover", node = "node.lua",
  nodes = {
    { id = "a", at = "127.0.0.1:7401" }, { id = "b", at = "127.0.0.1:7402" }, { id = "c", at = "127.0.0.1:7403" },
  },
}
