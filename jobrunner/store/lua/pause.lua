-- Pause a cron: from now on its fire times make no jobs.
-- flags: allow-oom
-- KEYS[1] cron hash
-- ARGV: none
-- Returns 1 if it was not paused before, else 0.
return redis.pcall('HSET', KEYS[1], 'paused', 1) -- of a damaged cron who asks is told
