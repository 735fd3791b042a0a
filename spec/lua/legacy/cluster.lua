return orrery.cluster {
  name = "legacy", node = "node.lua",
  nodes = {
    { id = "a", at = "127.0.0.1:17801" }, { id = "b", at = "127.0.0.1:17802" }, { id = "c", at = "127.0.0.1:17803" },
  },
}
