rockspec_format = "3.0"
package = "orrery"
version = "scm-1"
source = { url = "git+file://." }
description = {
   summary = "Nodes with consensus, placement, time and compute, scripted in Lua",
   detailed = [[
      You write what a node does, and how the nodes hang together, in Lua; Orrery gives the nodes consensus, placement,
      time and compute, from a C core. The same scripts run in a deterministic simulator and as real processes.
      This rock is the Lua module alone; the program and the C library come with the CMake build.
   ]],
   license = "MIT",
}
dependencies = { "lua ~> 5.4" }
build = {
   type = "cmake",
   variables = {
      CMAKE_INSTALL_PREFIX = "$(PREFIX)",
      LUA_INCDIR = "$(LUA_INCDIR)",
      LUA_LIBDIR = "$(LIBDIR)",
      LUA_LUADIR = "$(LUADIR)",
      ORR_LUA_ONLY = "ON",
      BUILD_TESTING = "OFF",
   },
}
