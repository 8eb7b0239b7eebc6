package dev

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// brokerFolder is set where this test binary is to be a broker in a process of its own, to be killed.
const brokerFolder = "NEARLINE_TEST_BROKER_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(brokerFolder); folder != "" {
		err := RunBroker(context.Background(), BrokerConfig{Listen: "127.0.0.1:0", Data: folder}, func(addr string) { fmt.Println(addr) })
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
