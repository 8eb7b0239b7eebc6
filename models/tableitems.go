package models

import (
	"nearline/models/folder"
	"nearline/models/onnx"
)

// fillItems fills an input of the graph with the items of the tables.
func (t *tableModel) fillItems(in *onnx.Input, role folder.ItemRole, rows []*row, total int) {
	in.Data = in.Data[:0]
	switch in.Rows, in.Columns = total, 1; role {
	case folder.ItemCandidates:
		for _, r := range rows {
			for _, id := range r.table.Items {
				in.Data = append(in.Data, t.Items.Number(id)) // 0 for one that it does not know
			}
		}
	case folder.ItemUser:
		for user, r := range rows {
			for range r.table.Rows {
				in.Data = append(in.Data, int64(user))
			}
		}
	default:
		t.fillHistory(in, rows)
	}
}

// fillHistory leaves out items that the model does not know: they would pass for padding.
func (t *tableModel) fillHistory(in *onnx.Input, rows []*row) {
	width := t.Items.Fixed
	if width == 0 {
		width = 1
		for _, r := range rows {
			width = max(width, len(t.Items.Known(r.table.History)))
		}
	}
	in.Rows, in.Columns = len(rows), width
	for _, r := range rows {
		known := t.Items.Known(r.table.History)
		for range width - len(known) {
			in.Data = append(in.Data, 0)
		}
		in.Data = append(in.Data, known...)
	}
}

// historyCost is what a history costs in a batch, in rows.
func (t *tableModel) historyCost(history []string) int {
	if !t.Items.ReadHistory() {
		return 0
	}
	return min(len(history), t.Items.Most)
}
