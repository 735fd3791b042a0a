-- unique-ids: whoever asks for an id gets one that nobody else ever gets, whichever node was asked, and whatever
-- happened to it in between.
--
-- A node has the handler generate() -> id: a string or an integer.
return orrery.workload {
  clients = 8, rate = 200, floor = 400,

  generate = function() return { f = "generate" } end,
  invoke = function(client) return client:call "generate" end,

  check = function(history)
    local given = {}
    for _, done in history:operations() do
      if done and done.type == "ok" then
        local id = done.value
        if type(id) ~= "string" and math.type(id) ~= "integer" then
          return false, ("node %s gave %s, which is no id"):format(done.node, orrery.show(id))
        elseif given[id] then
          return false, ("the id %s was given twice, by node %s at %.6f and by node %s at %.6f"):format(orrery.show(id),
            given[id].node, given[id].time / 1e9, done.node, done.time / 1e9)
        end
        given[id] = done
      end
    end
    return true
  end,
}
