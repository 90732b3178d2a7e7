-- Find watchers of jobs that have ended or are gone; tell them, late, if asked.
-- include: clock counts watchers
-- flags: allow-oom
-- KEYS[1] scheduled zset      KEYS per job: record hash, watchers set
-- ARGV[1] 1 to tell else ''   ARGV per job: id
-- Returns per job '' if all is well, or else its state, '-' without a record.
local now = now_ms()
local replies = {}
for index = 2, #ARGV do
  local record, watchers = KEYS[index * 2 - 2], KEYS[index * 2 - 1]
  local state = redis.call('HGET', record, 'state')
  local reply = ''
  if not LIVE[state] and redis.call('EXISTS', watchers) == 1 then
    reply = state or '-'
    if ARGV[1] ~= '' then
      tell_watchers(watchers, ARGV[index], KEYS[1], now, {})
    end
  end
  replies[#replies + 1] = reply
end
return replies
