-- Return who is in a topic, once what has run out is ended. O(members).
-- KEYS and ARGV[1 ... 5] as in presence.lua
-- Returns {version, key, "<connections>:<shown>" ...}
sweep(now_ms())
tell()
local answer = redis.call('HGETALL', MEMBERS)
table.insert(answer, 1, version())
return answer
