package batching_test

import (
	"context"
	"fmt"
	"strings"

	"nearline/batching"
)

func Example() {
	device := batching.NewDevice(batching.DeviceConfig{Name: "cpu", Slots: 2, MaxWait: batching.DefaultMaxWait})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- device.Run(ctx) }()

	// A model: it reads what an item points to, and writes its answer there.
	type review struct {
		text string
		loud bool
	}
	limits := batching.Limits{MaxItems: 32, MaxTokens: 4096, MaxPadding: 1.1, Bound: 4096}
	queue := batching.NewQueue(device, "shouting", limits, func(_ int, batch []batching.Item[*review]) error {
		for _, item := range batch {
			item.Value.loud = item.Value.text == strings.ToUpper(item.Value.text)
		}
		return nil
	})

	// A caller: it may prepare the next row while the last one runs.
	reviews := []*review{{text: "quite good"}, {text: "WOW"}}
	group := queue.Group(batching.Stream)
	for _, r := range reviews {
		cost := len(strings.Fields(r.text))
		if err := group.Add(ctx, batching.Item[*review]{Cost: cost, Value: r}); err != nil {
			fmt.Println(err)
		}
	}
	for i, err := range group.Wait(ctx) {
		fmt.Println(reviews[i].text, reviews[i].loud, err)
	}

	if err := queue.Close(); err != nil {
		fmt.Println(err)
	}
	stop()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
	// Output:
	// quite good false <nil>
	// WOW true <nil>
}
