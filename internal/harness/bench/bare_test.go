package main

import (
	"slices"
	"testing"

	"nearline/models"
)

func TestTablesArePaddedToTheLongestThatTheyRunWith(t *testing.T) {
	table := func(rows int) models.Table {
		return models.Table{Rows: rows, List: true, Numbers: slices.Repeat([]float64{7}, 2*rows), Items: slices.Repeat([]string{"a"}, rows)}
	}
	tables := []models.Table{table(1), table(3), table(2), table(1), table(5)}
	for i, p := range paddedTables(tables, 2) {
		want := []int{3, 3, 2, 2, 5}[i]
		if p.Rows != want || len(p.Numbers) != 2*want || len(p.Items) != want || len(p.Texts) != 0 || !p.List {
			t.Errorf("table %d: got %+v, want %d rows", i, p, want)
		}
		if tables[i].Rows < want && (p.Numbers[2*want-1] != 0 || p.Items[want-1] != "" || p.Numbers[0] != 7) {
			t.Errorf("table %d: got %+v, want rows of nothing after its own", i, p)
		}
	}
}
