-- Takes an entry unless its key has one of the same source that is as young. KEYS[1] is the hash. ARGV[1] is how many milliseconds it is kept, 0
-- for good; then come fields and texts in turn, of which the first are @source and @offset.

-- Offsets have up to 63 bits, numbers here 53, so they are compared as texts.
local function atLeast(a, b)
  return #a > #b or #a == #b and a >= b
end

local have = redis.call('HMGET', KEYS[1], '@source', '@offset')
if have[1] == ARGV[3] and have[2] and atLeast(have[2], ARGV[5]) then
  return 0
end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV, 1000 do -- unpack takes some thousands at most
  redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
if ARGV[1] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
