-- Begin or renew the membership of a process that needs no fence for it (a new worker, a daemon).
-- include: clock
-- flags: allow-oom
-- KEYS[1] zset of members by lease end   KEYS[2] the member's hash
-- ARGV[1] member   ARGV[2] lease ttl ms   ARGV[3] life of the hash ms   ARGV[4..] fields and values
-- Returns the lease's end in milliseconds.
local lease_end = now_ms() + tonumber(ARGV[2])
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[1], lease_end, ARGV[1])
return lease_end
