-- Takes an entry unless its key has one of the same source that is as young. KEYS[1] is the hash. ARGV[1] is how many milliseconds it is kept, 0
-- for good; then come fields and texts in turn, of which the first are @source and @offset. It answers 0 where there is a younger entry, 1 where there
-- is this one, and 2 where it took it.
--
-- A server may refuse any command in the middle of a script, and keeps what was done before: a cluster that moves the key's slot refuses
-- everything once the key is not there. So the hash never goes. New fields come first, then old ones are removed, and @source and
-- @offset are last: a write that was refused half-way is not taken for one that was done, and is done again.

-- Offsets have up to 63 bits, numbers here 53, so they are compared as texts.
local function atLeast(a, b)
  return #a > #b or #a == #b and a >= b
end

-- Somebody else's offset, which is none, would be in the way for ever.
local function isOffset(a)
  return a and #a <= 19 and string.find(a, '^%d+$')
end

local most = 1000 -- unpack takes some thousands at most
local key = KEYS[1]
local have = redis.call('HMGET', key, '@source', '@offset')
if have[1] == ARGV[3] and isOffset(have[2]) and atLeast(have[2], ARGV[5]) then
  return have[2] == ARGV[5] and 1 or 0
end
local new = {}
for i = 2, #ARGV, 2 do
  new[ARGV[i]] = true
end
for i = 6, #ARGV, most do
  redis.call('HSET', key, unpack(ARGV, i, math.min(i + most - 1, #ARGV)))
end
local old = {}
for _, field in ipairs(redis.call('HKEYS', key)) do
  if not new[field] then
    old[#old + 1] = field
  end
end
for i = 1, #old, most do
  redis.call('HDEL', key, unpack(old, i, math.min(i + most - 1, #old)))
end
if ARGV[1] ~= '0' then
  redis.call('PEXPIRE', key, ARGV[1])
else
  redis.call('PERSIST', key)
end
redis.call('HSET', key, ARGV[2], ARGV[3], ARGV[4], ARGV[5])
return 2
