local prices = { tea = 3.5, cup = 7 }
return orrery.cluster {
  name = "shop", node = "node.lua",
  config = { prices = prices },
  nodes = {
    { id = "front", at = "127.0.0.1:7421", roles = { "page" } },
    { id = "price1", at = "127.0.0.1:7422", roles = { "price" }, config = { slow = 0.3 } },
    { id = "price2", at = "127.0.0.1:7423", roles = { "price" } },
    { id = "north", at = "127.0.0.1:7424", roles = { "stock" }, config = { shelf = { tea = 12, cup = 2 } } },
    { id = "south", at = "127.0.0.1:7425", roles = { "stock" }, config = { shelf = { tea = 30 } } },
  },
}
