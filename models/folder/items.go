package folder

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"nearline/internal/files"
	"nearline/models/onnx"
)

// Items are what a model of sequences knows and reads beside columns, as recommenders of the SASRec kind do: what somebody had last, and which items are
// to be scored for them.
//
//   - history, int64 [users, items]: oldest first, padded on the left with 0
//   - candidates, int64 [candidates]: 0 for an item that the model does not know
//   - user, int64 [candidates]: whose candidate it is, the row of history
//
// Nobody's candidates are padded: those of all users of a batch lie one after the other, and a history is read once for all of its candidates.
type Items struct {
	Most  int // items of a history that the model reads: the last ones
	Fixed int // items that a history has, padded; 0 where they may be any number

	index map[string]int64 // by id, from 1
	has   [itemRoleCount]bool
}

// ItemRole is what an input of the graph is about.
type ItemRole uint8

// The roles; NoItems is that of columns.
const (
	NoItems ItemRole = iota
	ItemHistory
	ItemCandidates
	ItemUser
	itemRoleCount
)

var itemRoles = map[string]ItemRole{"history": ItemHistory, "candidates": ItemCandidates, "user": ItemUser}

// rolesOf inputs. A column may be called user, or history: they are items only beside a vector of candidates.
func rolesOf(inputs []onnx.Info) map[string]ItemRole {
	for _, i := range inputs {
		if i.Name == "candidates" && i.Type == onnx.Int64 && len(i.Shape) == 1 && i.Shape[0] < 0 {
			return itemRoles
		}
	}
	return nil
}

// defaultHistory is how many items of a history are read of a model that does not say it.
const defaultHistory = 50

// whole says whether there is all that items need.
func (s *Items) whole() error {
	switch {
	case s == nil:
		return nil
	case s.has[ItemHistory] != s.has[ItemUser]:
		return errors.New("the graph has one of history and user: want both, or neither")
	}
	return nil
}

// itemsFile names the items that a model knows.
const itemsFile = "items.txt"

// read items.txt: an id a line; the first is 1 to the graph.
func (s *Items) read(folder string) error {
	path := filepath.Join(folder, itemsFile)
	file, err := files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: want the ids of the items that the model knows, one a line, in the order of its numbers from 1", path)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	s.index = map[string]int64{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		id := lines.Text()
		if len(s.index) == 0 {
			id = string(files.TrimMark([]byte(id)))
		}
		if _, again := s.index[id]; again || id == "" {
			return fmt.Errorf("%s:%d: %q is empty, or there already: want an id a line", path, len(s.index)+1, id)
		}
		s.index[id] = int64(len(s.index) + 1)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(s.index) == 0 {
		return fmt.Errorf("%s is empty: want the ids of the items that the model knows, one a line", path)
	}
	return nil
}

// Known are the last items of a history that the model knows.
func (s *Items) Known(history []string) []int64 {
	known := make([]int64, 0, min(len(history), s.Most))
	for i := len(history) - 1; i >= 0 && len(known) < s.Most; i-- {
		if n := s.index[history[i]]; n > 0 {
			known = append(known, n)
		}
	}
	for i, j := 0, len(known)-1; i < j; i, j = i+1, j-1 {
		known[i], known[j] = known[j], known[i]
	}
	return known
}

// ReadHistory says whether the model reads what somebody had before. None does that knows no items.
func (s *Items) ReadHistory() bool { return s != nil && s.has[ItemHistory] }

// Len is how many items the model knows.
func (s *Items) Len() int { return len(s.index) }

// Number of an item to the graph: 0 for one that the model does not know.
func (s *Items) Number(id string) int64 { return s.index[id] }
