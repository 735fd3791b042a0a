-- clock = {}: nodes ask each other for the time from their start on.
return orrery.cluster {
  name = "lease",
  node = "node.lua",
  clock = {},
  nodes = {
    { id = "a", at = "127.0.0.1:7471" },
    { id = "b", at = "127.0.0.1:7472" },
    { id = "c", at = "127.0.0.1:7473" },
  },
}
