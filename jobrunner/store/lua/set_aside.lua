-- Take a key of another type out of the way: delete it, or keep it for a while under another name.
-- flags: allow-oom
-- KEYS[1] key              KEYS[2] its name aside
-- ARGV[1] the type that it should have, or '' whatever it has
-- ARGV[2] 1 to keep it else ''   ARGV[3] for how long, ms
-- Returns 1 if it was taken away, else 0: it has come right, or is gone.
local found = redis.call('TYPE', KEYS[1]).ok
if found == ARGV[1] or found == 'none' then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
else
  redis.call('UNLINK', KEYS[1])
end
return 1
