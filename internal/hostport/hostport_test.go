package hostport

import "testing"

func TestAnAddressHasAHostAndAPort(t *testing.T) {
	for text, want := range map[string]bool{
		"redis:6379": true, "10.0.0.1:1": true, "[::1]:65535": true,
		"": false, "redis": false, ":6379": false, "redis:": false, "redis:0": false, "redis:65536": false, "redis:http": false, "::1:80": false,
	} {
		if got := IsAddress(text); got != want {
			t.Errorf("IsAddress(%q) = %v, want %v", text, got, want)
		}
	}
}
