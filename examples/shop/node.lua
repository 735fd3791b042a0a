-- A page from many back ends, in time.
if node.roles.stock then
  local shelf = node.config.shelf             -- each node's own part of the cluster file
  node:on("stock", function(sku) return shelf[sku] or 0 end)
end
if node.roles.price then
  local prices = node.config.prices
  node:on("price", function(sku)
    if node.config.slow then node:sleep(node.config.slow) end
    local price = prices[sku]
    if not price then return nil, "no price for " .. sku, "unknown_sku" end
    return price
  end)
end
if node.roles.page then
  node:on("page", function(sku)
    -- one price is enough: ask one node, and a second one when the first is slower than 95 % of its calls
    local price <close> = node:scatter({ role = "price", need = 1, hedge = 0.95 }, "price", sku)
    -- every shelf counts, but none may hold up the page
    local stock <close> = node:scatter({ role = "stock", timeout = 0.1 }, "stock", sku)
    local total = 0
    for from, n in stock:each() do if n then total = total + n end end    -- as they come, failures too
    return { price = price:first(), stock = total, missing = stock:account().missing }
  end)
end
