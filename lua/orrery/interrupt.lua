-- interrupt.lua - whether somebody wants what runs to end: who has a Ctrl-C to tell of puts its own `pending` here.
return { pending = function() return false end }
