//go:build !linux

package consumers

import (
	"errors"
	"os"
)

// claim a name that one process has at a time.
func claim(string) (*os.File, bool, error) {
	return nil, false, errors.New("this system has no abstract sockets")
}
