return orrery.cluster {
  name = "election", node = "node.lua", links = orrery.topology.ring(),
  nodes = {
    { id = "a", at = "127.0.0.1:7431", config = { number = 3 } },
    { id = "b", at = "127.0.0.1:7432", config = { number = 9 } },
    { id = "c", at = "127.0.0.1:7433", config = { number = 4 } },
    { id = "d", at = "127.0.0.1:7434", config = { number = 7 } },
  },
}
