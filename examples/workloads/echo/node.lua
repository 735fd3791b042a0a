-- Says what it is told.
node:on("echo", function(text) return text end)
