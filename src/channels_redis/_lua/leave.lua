-- Note that a connection has left a topic.
-- KEYS[4] here, of this node; the others and ARGV[1 ... 5] as in presence.lua
-- ARGV[6] node  ARGV[7] connection
local key = redis.call('HGET', KEYS[4], ARGV[7])
if not key then return 0 end
redis.call('HDEL', KEYS[4], ARGV[7])
if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('ZREM', LEASES, ARGV[6]) end
drop(key)
tell()
return 1
