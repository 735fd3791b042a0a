return orrery.cluster {
  name = "gossip", node = "node.lua", links = orrery.topology.ring(),
  nodes = {
    { id = "a", at = "127.0.0.1:7411" }, { id = "b", at = "127.0.0.1:7412" }, { id = "c", at = "127.0.0.1:7413" },
    { id = "d", at = "127.0.0.1:7414" }, { id = "e", at = "127.0.0.1:7415" },
  },
}
