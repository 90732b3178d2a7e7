-- Make the one job of a fire time, or record why it was skipped. The first daemon wins.
-- include: clock counts schedule tally
-- KEYS[1] cron hash       KEYS[2] record hash     KEYS[3] queue stream
-- KEYS[4] counts hash     KEYS[5] queues set      KEYS[6] last-job hash
-- KEYS[7] scheduled zset  KEYS[8] blocked zset    KEYS[9] skipped jobs' done zset
-- KEYS[10] task's done zset                        KEYS[11] cancelling set
-- KEYS[12] tally list
-- KEYS to skip it: a spare record hash; else if there is a previous job: KEYS[13] its record hash,
--   KEYS[14] its watchers set
-- ARGV[1] wake channel    ARGV[2] id              ARGV[3] task       ARGV[4] message
-- ARGV[5] queue           ARGV[6] priority        ARGV[7] cron       ARGV[8] fire time, ms
-- ARGV[9] delay ms (jitter)  ARGV[10] overlap policy  ARGV[11] id of the previous job or ''
-- ARGV[12] reason to skip it or ''                ARGV[13] detail or ''  ARGV[14] the spare id
-- ARGV[15] first fire time (ms) of the skipped row or ''  ARGV[16] the fire time (ms) that must be
--   handled before it, or ''
-- Returns {'queued'|'scheduled'|'blocked'|'skipped', previous job or ''}, {'handled'} when another was
--   first, {'paused'}, {'changed', previous job}: look again, the previous job is another one, or
--   {'moved', last handled fire time}: decide again from there.
local now = now_ms()
local fire_time = tonumber(ARGV[8])
local handled, paused, previous = unpack(redis.call('HMGET', KEYS[1], 'handled', 'paused', 'job'))
if handled and tonumber(handled) >= fire_time then
  return {'handled'}
end
-- A slow caller's row may tell of fire times whose jobs others made meanwhile; and what follows a
-- refused row must not jump over it.
if (ARGV[15] ~= '' and handled and tonumber(handled) >= tonumber(ARGV[15]))
  or (ARGV[16] ~= '' and tonumber(handled or 0) < tonumber(ARGV[16])) then
  return {'moved', tostring(handled or 0)}
end
if paused then
  redis.call('HSET', KEYS[1], 'handled', fire_time)
  return {'paused'}
end
-- A record of skipped ones looks at no job; sent again after its followers it would be too late.
if ARGV[12] == '' and (previous or '') ~= ARGV[11] then
  return {'changed', previous or ''}
end
redis.call('HSET', KEYS[1], 'handled', fire_time)
local id, record = ARGV[2], KEYS[2]
local reason, detail, state = ARGV[12], ARGV[13], 'queued'
if redis.call('EXISTS', record) == 1 then
  -- Its job was made by a backfill. A row that ends with it still has others to tell of.
  if reason == '' then
    return {'handled'}
  end
  id, record = ARGV[14], KEYS[13]
end

if reason == '' and KEYS[13] and ARGV[10] ~= 'allow' then
  if LIVE[redis.call('HGET', KEYS[13], 'state')] then
    if ARGV[10] == 'skip' then
      reason, detail = 'overlap', previous
    else
      state = 'blocked'
    end
    if ARGV[10] == 'replace' then
      -- The caller cancels it next; should that be cut off, its worker's heartbeat finds the wish
      -- here, or a rescuer when it has no worker.
      redis.call('SADD', KEYS[11], previous)
      redis.call('HSET', KEYS[13], 'cancel_requested', 'replaced')
    end
  end
end

local fields = {'task', ARGV[3], 'queue', ARGV[5], 'priority', ARGV[6], 'created_at', now,
  'message', ARGV[4], 'cron', ARGV[7], 'fire_time', fire_time}
local function set(name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
if reason ~= '' then
  state = 'skipped'
  set('reason', reason)
  set('detail', detail)
  set('finished_at', now)
  tally_of(ARGV[3]).skipped = 1
  redis.call('ZADD', KEYS[9], now, id)
  redis.call('ZADD', KEYS[10], now, id)
  redis.call('HSET', KEYS[1], 'last_id', id, 'last_state', state, 'last_reason', reason,
    'last_finished_at', now)
  redis.call('HDEL', KEYS[1], 'last_duration_ms')
else
  if state == 'blocked' then
    set('after', previous)
    set('awaits', 'end')
    redis.call('ZADD', KEYS[8], now, id)
    redis.call('SADD', KEYS[14], 'job:' .. id)
  elseif tonumber(ARGV[9]) > 0 then
    state = 'scheduled'
    set('due_at', now + ARGV[9])
    schedule(KEYS[7], id, now + ARGV[9], ARGV[1])
  else
    set('entry', redis.call('XADD', KEYS[3], '*', 'id', id, 'm', ARGV[4], 'n', 0, 'l', 0,
      'f', 1, 'b', 0))
  end
  redis.call('HSET', KEYS[1], 'job', id)
  redis.call('SADD', KEYS[5], ARGV[5])
  redis.call('HSET', KEYS[6], ARGV[3], id, '*', id)
  count(state, ARGV[3], 1)
  tally_of(ARGV[3]).submitted = 1
end
set('state', state)
redis.call('HSET', record, unpack(fields))
write_counts(KEYS[4])
write_tally(KEYS[12], now)
return {state, previous or ''}
