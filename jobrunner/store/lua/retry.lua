-- Queue a terminal job again on a user's word. Its attempts so far do not count for the policy.
-- include: counts entry
-- KEYS[1] record hash  KEYS[2] queue stream  KEYS[3] done zset of its state  KEYS[4] task's done zset
-- KEYS[5] counts hash  KEYS[6] results zset
-- ARGV[1] id           ARGV[2] the state the caller saw
-- Returns 'queued'; 'unreadable' for the record of an entry that was no job; 'damaged' when its queue
--   is: nothing has changed; or the state that it has instead ('' when it is gone).
local state, task, message, attempt, fence = unpack(redis.call('HMGET', KEYS[1],
  'state', 'task', 'message', 'attempt', 'fence'))
if state == ARGV[2] and not message then
  return 'unreadable'
end
if state ~= ARGV[2] then
  return state or ''
end
attempt, fence = number_of(attempt, 0), number_of(fence, 1) + 1
local entry = add_again(KEYS[2], ARGV[1], message, attempt, 0, fence, attempt)
if not entry then
  return 'damaged'
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'queued', 'entry', entry, 'fence', fence,
  'lost', 0, 'base', attempt)
redis.call('HDEL', KEYS[1], 'reason', 'result', 'error', 'detail', 'stderr', 'due_at',
  'started_at', 'finished_at', 'duration_ms', 'worker', 'progress', 'cancel_requested', 'awaits',
  'usage', 'left')
count('queued', task, 1)
write_counts(KEYS[5])
return 'queued'
