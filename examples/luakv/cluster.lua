return orrery.cluster {
  name = "luakv", node = "node.lua",
  nodes = {
    { id = "a", at = "127.0.0.1:7401", resp = "127.0.0.1:7501" },
    { id = "b", at = "127.0.0.1:7402", resp = "127.0.0.1:7502" },
    { id = "c", at = "127.0.0.1:7403", resp = "127.0.0.1:7503" },
  },
}
