return orrery.cluster {
  name = "echo", node = "node.lua",
  nodes = { { id = "a", at = "127.0.0.1:7401" }, { id = "b", at = "127.0.0.1:7402" } },
}
