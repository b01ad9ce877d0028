-- Put one envelope into the inbox of a node, which need not run yet.
-- KEYS[1] inbox
-- ARGV[1] stamp  ARGV[2] envelope  ARGV[3] most entries of an inbox  ARGV[4] expiry (ms)
-- Returns 1, or 0 if the inbox is full.
local length = redis.call('XLEN', KEYS[1])
if length >= tonumber(ARGV[3]) then return 0 end
redis.call('XADD', KEYS[1], '*', 's', ARGV[1], 'e', ARGV[2])
if length == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1
