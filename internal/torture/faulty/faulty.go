// Package faulty is a tiny classifier that is slow, fails, hangs, crashes the process or eats its memory when a text has
// the word for it. make.py makes the files of the model, and says how.
package faulty

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
)

// Words that the model obeys.
const (
	Slow   = "xslow"   // a run that takes some 50 ms longer for each
	Fail   = "xfail"   // a run that fails
	Hang   = "xhang"   // a run that does not come back
	Crash  = "xcrash"  // a run that ends the process by a signal; on amd64 only
	Hungry = "xhungry" // a run that fills a gigabyte for each
)

//go:embed model
var model embed.FS

// Write the folder of the model, which must not be there yet: NAME/VERSION of a repository.
func Write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	files, err := fs.Sub(model, "model")
	if err != nil {
		return err
	}
	if err := os.CopyFS(folder, files); err != nil {
		return fmt.Errorf("write the faulty model: %w", err)
	}
	return nil
}
