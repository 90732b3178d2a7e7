-- Tell how long ago the server came back after it was away.
-- include: clock returned
-- flags: allow-oom
-- KEYS[1] server hash
-- ARGV[1] the most to be told, milliseconds
-- Returns milliseconds.
return math.min(ms_since_return(KEYS[1], now_ms()), tonumber(ARGV[1]))
