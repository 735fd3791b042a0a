-- echo: what a client says comes back as it was. Judges little, and shows how a workload looks.
--
-- A node has the handler echo(text) -> text.
return orrery.workload {
  clients = 4, rate = 50, floor = 100,

  generate = function(client) return { f = "echo", value = "please echo " .. client:unique() } end,
  invoke = function(client, op) return client:call("echo", op.value) end,

  check = function(history)
    for call, done in history:operations() do
      if done and done.type == "ok" and done.value ~= call.value then
        return false, ("node %s made %s of %s"):format(done.node, orrery.show(done.value), orrery.show(call.value))
      end
    end
    return true
  end,
}
