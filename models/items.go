package models

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"nearline/internal/files"
	"nearline/models/onnx"
)

// itemInputs are what a model of sequences reads beside columns, as recommenders of the SASRec kind do: what somebody had last, and which items are
// to be scored for them.
//
//   - history, int64 [users, items]: oldest first, padded on the left with 0
//   - candidates, int64 [candidates]: 0 for an item that the model does not know
//   - user, int64 [candidates]: whose candidate it is, the row of history
//
// Nobody's candidates are padded: those of all users of a batch lie one after the other, and a history is read once for all of its candidates.
type itemInputs struct {
	index map[string]int64 // by id, from 1
	most  int              // items of a history that the model reads: the last ones
	fixed int              // items that a history has, padded; 0 where they may be any number
	has   [itemRoleCount]bool
}

type itemRole uint8

const (
	noItems itemRole = iota
	itemHistory
	itemCandidates
	itemUser
	itemRoleCount
)

var itemRoles = map[string]itemRole{"history": itemHistory, "candidates": itemCandidates, "user": itemUser}

// rolesOf inputs. A column may be called user, or history: they are items only beside a vector of candidates.
func rolesOf(inputs []onnx.Info) map[string]itemRole {
	for _, i := range inputs {
		if i.Name == "candidates" && i.Type == onnx.Int64 && len(i.Shape) == 1 && i.Shape[0] < 0 {
			return itemRoles
		}
	}
	return nil
}

// defaultHistory is how many items of a history are read of a model that does not say it.
const defaultHistory = 50

// takesItems adds an input of items.
func (t *tableModel) takesItems(i onnx.Info, role itemRole) error {
	want := 1
	if role == itemHistory {
		want = 2
	}
	if len(i.Shape) != want || i.Type != onnx.Int64 || i.Shape[0] > 0 {
		return fmt.Errorf("the graph wants input %s: want history int64[?, ?], candidates int64[?] and user int64[?], each with a dynamic first axis", i)
	}
	if t.items == nil {
		t.items = &itemInputs{most: defaultHistory}
	}
	if role == itemHistory && i.Shape[1] > 0 {
		t.items.fixed, t.items.most = int(i.Shape[1]), int(i.Shape[1])
	}
	t.items.has[role] = true
	t.inputs = append(t.inputs, tableInput{kind: i.Type, role: role})
	return nil
}

// whole says whether there is all that items need.
func (s *itemInputs) whole() error {
	switch {
	case s == nil:
		return nil
	case s.has[itemHistory] != s.has[itemUser]:
		return errors.New("the graph has one of history and user: want both, or neither")
	}
	return nil
}

// itemsFile names the items that a model knows.
const itemsFile = "items.txt"

// read items.txt: an id a line; the first is 1 to the graph.
func (s *itemInputs) read(folder string) error {
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

// fill an input with what tables have of items.
func (s *itemInputs) fill(in *onnx.Input, role itemRole, rows []*row, total int) {
	in.Data = in.Data[:0]
	switch in.Rows, in.Columns = total, 1; role {
	case itemCandidates:
		for _, r := range rows {
			for _, id := range r.table.Items {
				in.Data = append(in.Data, s.index[id]) // 0 for one that it does not know
			}
		}
	case itemUser:
		for user, r := range rows {
			for range r.table.Rows {
				in.Data = append(in.Data, int64(user))
			}
		}
	default:
		s.fillHistory(in, rows)
	}
}

// fillHistory leaves out items that the model does not know: they would pass for padding.
func (s *itemInputs) fillHistory(in *onnx.Input, rows []*row) {
	width := s.fixed
	if width == 0 {
		width = 1
		for _, r := range rows {
			width = max(width, len(s.known(r.table.History)))
		}
	}
	in.Rows, in.Columns = len(rows), width
	for _, r := range rows {
		known := s.known(r.table.History)
		for range width - len(known) {
			in.Data = append(in.Data, 0)
		}
		in.Data = append(in.Data, known...)
	}
}

// known are the last items of a history that the model knows.
func (s *itemInputs) known(history []string) []int64 {
	known := make([]int64, 0, min(len(history), s.most))
	for i := len(history) - 1; i >= 0 && len(known) < s.most; i-- {
		if n := s.index[history[i]]; n > 0 {
			known = append(known, n)
		}
	}
	for i, j := 0, len(known)-1; i < j; i, j = i+1, j-1 {
		known[i], known[j] = known[j], known[i]
	}
	return known
}

// cost of a history in a batch, in rows.
func (s *itemInputs) cost(history []string) int {
	if s == nil || !s.has[itemHistory] {
		return 0
	}
	return min(len(history), s.most)
}
