-- Register a client for the end of a job, unless it has ended already.
-- include: counts
-- flags: allow-oom
-- KEYS[1] record hash  KEYS[2] watchers set
-- ARGV[1] the client's channel
-- Returns the job's state, or '' when it is gone.
local state = redis.call('HGET', KEYS[1], 'state')
if state and LIVE[state] then
  redis.call('SADD', KEYS[2], 'client:' .. ARGV[1])
end
return state or ''
