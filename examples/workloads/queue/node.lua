-- Queues by name, first in, first out. To take an element is a change too: it is proposed, not read, so that no two get
-- the same one.
local queues = node:replicate("queues", {
  apply = {
    enqueue = function(state, op)
      local queue = state[op.queue] or { first = 1, last = 0, elements = {} }
      state[op.queue] = queue
      queue.last = queue.last + 1
      queue.elements[queue.last] = op.element
      return true
    end,
    dequeue = function(state, op)
      local queue = state[op.queue]
      if not queue or queue.first > queue.last then return nil, "nothing is in it", "empty" end
      local element = queue.elements[queue.first]
      queue.elements[queue.first] = nil
      queue.first = queue.first + 1
      return element
    end,
  },
})
node:on("enqueue", function(queue, element) return queues:propose { "enqueue", queue = queue, element = element } end)
node:on("dequeue", function(queue) return queues:propose { "dequeue", queue = queue } end)
