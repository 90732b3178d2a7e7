-- Tell a worker to cancel a job that it has. A full server takes it: it may be the way to make room.
-- flags: allow-oom
-- KEYS[1] the worker's control list
-- ARGV[1] id of the job   ARGV[2] life of the list, seconds: its worker may have gone
-- Returns the length of the list.
local length = redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return length
