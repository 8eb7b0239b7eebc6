package engine

import (
	"errors"
	"strings"
	"testing"

	"nearline/batching"
	"nearline/pipeline"
	"nearline/schemas"
	"nearline/steps"
)

func TestWhatIsPutLastIsHandedOutToItsClass(t *testing.T) {
	e := New(repository(t), Options{})
	stop := e.Start(t.Context())
	p := Pipeline{Name: "reviews", Steps: []steps.Config{{Predict: &steps.Predict{Model: "constant"}}}}
	if err := e.LoadAll(t.Context(), p.Steps); err != nil {
		t.Fatal(err)
	}
	stream := e.Programs("reviews", batching.Stream)
	if none, release := stream.Take(); none != nil {
		t.Error("there is a program before one is put")
		release()
	}
	for generation := uint64(1); generation <= 2; generation++ {
		if _, err := e.Put(p, batching.Stream); err != nil {
			t.Fatal(err)
		}
		program, release := stream.Take()
		row, fault := program.Decoder.Decode(&pipeline.Record{Value: []byte(`{"review_id":"a","text":"good"}`)})
		if fault != nil {
			t.Fatal(fault)
		}
		if err := program.Run(t.Context(), []*pipeline.Row{row}, nil); err != nil {
			t.Fatal(err)
		}
		answer, fault := program.Encoder.Append(nil, row)
		if fault != nil || program.Generation != generation || !strings.Contains(string(answer), `"label":"positive"`) {
			t.Errorf("generation %d answers %s, %v: want generation %d, and a label", program.Generation, answer, fault, generation)
		}
		release()
	}
	if none, release := e.Programs("reviews", batching.Online).Take(); none != nil {
		t.Error("requests have the stream's program")
		release()
	}
	p.Steps = append(p.Steps, p.Steps[0])
	if _, err := e.Put(p, batching.Stream); err == nil || !strings.HasPrefix(err.Error(), "pipeline reviews: output: ") {
		t.Errorf("got %v, want that a column is there twice", err)
	}
	if now, release := stream.Take(); now.Generation != 2 {
		t.Errorf("generation %d is current after one that failed, want 2", now.Generation)
		release()
	}
	if err := errors.Join(e.Close(t.Context()), stop()); err != nil {
		t.Error(err)
	}
}

func TestAStepsErrorCanBeToldWithoutItsPlace(t *testing.T) {
	e := OnLoaded(nil, World{})
	_, err := e.Compile(Pipeline{Name: "p", Input: schemas.InputConfig{Format: "xml"}}, batching.Stream)
	at, ok := errors.AsType[*steps.Error](err)
	if !ok || err.Error() != "pipeline p: input: "+at.Err.Error() {
		t.Errorf("got %v and %v, want both", err, at)
	}
}
