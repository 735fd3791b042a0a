-- lint.lua - orrery lint: what would make a cluster's replicas differ, its nodes hang, or its scripts fail.
local lint = require "orrery.lint"

return {
  usage = "orrery lint CLUSTER.lua",
  about = "finds what is wrong with a cluster's scripts before they run",
  notes = [[
Tries each node's top level, and reads every function for what shows only when it runs: globals, what scripts have not,
functions whose last bits differ in what replicas run, waits where nothing may wait, loops that never end. A line for
each: FILE:LINE: what. Exit status: 0 nothing found, 1 something was, 2 wrong use.]],
  arguments = { "CLUSTER.lua" },
  options = {},
  run = function(_, arguments, context)
    local lines, message = lint.cluster(arguments[1])
    if not lines then return context.wrong("lint: " .. message) end
    for _, line in ipairs(lines) do print(line) end
    return #lines > 0 and 1 or 0
  end,
}
