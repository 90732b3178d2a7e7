-- Find members of an index whose records do not belong there; take them out if asked.
-- include: clock schedule
-- flags: allow-oom
-- KEYS[1] index, a zset or a set  KEYS[2] waiting zset of a lock (else missing)
-- KEYS[3] scheduled zset          KEYS per member: record hash
-- ARGV[1] 1 to take out else ''   ARGV[2] wake channel    ARGV[3] 1 if the index is a set else ''
-- ARGV[4] states that belong there, each followed by a blank
-- ARGV[5] field of the record and ARGV[6] the value it must have, or ''
-- ARGV[7] ms for which a member that is due is left to the scheduler, which takes it out, too
-- ARGV per member: id
-- Returns per member '' if it belongs there, or else the state of its record, '-' without one;
--   with ARGV[1] only of those taken out.
-- Who takes a lock from a job wakes the next in line; one woken in vain goes on waiting.
local now = now_ms()

local function score_of(id)
  if ARGV[3] ~= '' then
    return redis.call('SISMEMBER', KEYS[1], id) == 1 and 0
  end
  return redis.call('ZSCORE', KEYS[1], id)
end

local function belongs(state, value, score)
  local age = now - tonumber(score)
  if age >= 0 and age < tonumber(ARGV[7]) then
    return true
  end
  return state and string.find(' ' .. ARGV[4], ' ' .. state .. ' ', 1, true)
    and (ARGV[5] == '' or value == ARGV[6])
end

local function wake_next()
  local waiter = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if waiter and not redis.call('ZSCORE', KEYS[3], waiter) then
    schedule(KEYS[3], waiter, now, ARGV[2])
  end
end

local replies = {}
for index = 8, #ARGV do
  local id, record = ARGV[index], KEYS[index - 4]
  local score = score_of(id)
  local state, value = unpack(redis.call('HMGET', record, 'state', ARGV[5]))
  local reply = ''
  if score and not belongs(state, value, score) then
    reply = state or '-'
    if ARGV[1] ~= '' then
      redis.call(ARGV[3] ~= '' and 'SREM' or 'ZREM', KEYS[1], id)
      wake_next()
    end
  end
  replies[#replies + 1] = reply
end
return replies
