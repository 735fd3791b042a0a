-- lines.lua - busted's output as plain lines: each failure when it happens, then `N passed, N failed`.
--
--     build/asan/orrery /usr/bin/busted --output=spec/lines.lua
--
-- A skipped case counts as failed. That the last line is missing means that a spec ended the process.
local busted = require "busted"

return function()
    local handler = require "busted.outputHandlers.base"()

    local function report(what)
        return function(element, _, message, debug)
            local trace = element.trace or debug
            local at = trace and trace.short_src and ("%s:%s: "):format(trace.short_src, trace.currentline) or ""
            local text = type(message) == "string" and message or require "pl.pretty".write(message)
            print(("%s%s: %s\n%s"):format(at, what, handler.getFullName(element), text))
            if what == "error" and debug and debug.traceback then print(debug.traceback) end
            return nil, true
        end
    end

    local function suite_end()
        local failed = handler.failuresCount + handler.errorsCount + handler.pendingsCount
        print(("%d passed, %d failed"):format(handler.successesCount, failed))
        return nil, true
    end

    busted.subscribe({ "failure" }, report "failed")
    busted.subscribe({ "error" }, report "error")
    busted.subscribe({ "pending" }, report "skipped")
    busted.subscribe({ "suite", "end" }, suite_end)
    return handler
end
