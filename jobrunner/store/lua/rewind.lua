-- Set members of an index by time back, as long as they stand where the caller saw them.
-- include: schedule
-- flags: allow-oom
-- KEYS[1] zset            KEYS per member: its task's done zset, or its record, or any if neither counts
-- ARGV[1] 'done' to set it back in that zset, too; 'due' to note it in its record, and tell the
--   schedulers; else ''
-- ARGV[2] wake channel    ARGV per member: member, score (ms) that it has, score that it gets
-- Returns the number of members set back.
local moved = 0
local key_at = 2
for at = 3, #ARGV, 3 do
  local member, seen, new = unpack(ARGV, at, at + 2)
  local other = KEYS[key_at]
  key_at = key_at + 1
  if redis.call('ZSCORE', KEYS[1], member) == seen then
    moved = moved + 1
    if ARGV[1] == 'due' then
      schedule(KEYS[1], member, tonumber(new), ARGV[2])
      if redis.call('HGET', other, 'state') == 'scheduled' then
        redis.call('HSET', other, 'due_at', new)
      end
    else
      redis.call('ZADD', KEYS[1], 'XX', new, member)
    end
    if ARGV[1] == 'done' then
      redis.call('ZADD', other, 'XX', 'LT', new, member)
    end
  end
end
return moved
