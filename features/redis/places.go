package redis

import (
	"strconv"
	"sync"
)

// slots of a cluster. A key with a {tag} is in the slot of its tag.
const slots = 16384

// slotOf a tag: CRC16 as the specification of Redis Cluster has it (polynomial 0x1021, begun with 0).
func slotOf(tag string) int {
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}

// tags have the first number, as text, of each slot.
var tags = sync.OnceValue(func() (tags [slots]string) {
	for n, missing := 0, slots; missing > 0; n++ {
		text := strconv.Itoa(n)
		if slot := slotOf(text); tags[slot] == "" {
			tags[slot] = text
			missing--
		}
	}
	return tags
})

// leastPlaces is how many places a cluster has at least for each mark: one each 256 slots. A server with fewer slots than that may be without any.
const leastPlaces = 64

// placesOf a cluster are tags at even distances, four and more for each server on average. They move with their slots.
func placesOf(servers int) []string {
	n := leastPlaces
	for n < 4*servers && n < slots {
		n *= 2
	}
	places := make([]string, n)
	for i := range places {
		places[i] = "{" + tags()[i*slots/n] + "}"
	}
	return places
}
