package dev

import (
	"errors"
	"reflect"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kfake"
)

// abortedIn are the partitions of the embedded broker, map[topic]map[number]*partition, of which each has a list of aborted transactions. It is private to
// kfake, which has no other way to it; a version that keeps it elsewhere is an error.
func abortedIn(cluster *kfake.Cluster) (reflect.Value, error) {
	all := reflect.ValueOf(cluster).Elem().FieldByName("data")
	if all.Kind() == reflect.Struct {
		all = all.FieldByName("tps")
	}
	if all.IsValid() && all.Kind() == reflect.Map && all.Type().Elem().Kind() == reflect.Map && all.Type().Elem().Elem().Kind() == reflect.Pointer {
		if list, ok := all.Type().Elem().Elem().Elem().FieldByName("abortedTxns"); ok && list.Type.Kind() == reflect.Slice {
			return all, nil
		}
	}
	return reflect.Value{}, errors.New("embedded broker: this version of kfake keeps its list of aborted transactions elsewhere; see internal/dev/aborted.go")
}

// forgetAborted empties the lists of aborted transactions of topics that were compacted just now, while no transaction is open in them.
//
// Compaction removes the records of aborted transactions, and the marks of their ends where the producer has no other record that stays. kfake keeps
// the transaction in the list that it sends to readers, though. A reader who is told of an aborted transaction drops what that producer wrote until the
// mark comes: here it never does, and what the producer commits later would be dropped, too. The list has no other use once the records are gone.
//
// The caller holds the broker still (see cleaner.handle).
func forgetAborted(all reflect.Value, topics []string) {
	for _, topic := range topics {
		partitions := all.MapIndex(reflect.ValueOf(topic))
		if !partitions.IsValid() {
			continue // deleted meanwhile
		}
		for each := partitions.MapRange(); each.Next(); {
			aborted := each.Value().Elem().FieldByName("abortedTxns")
			reflect.NewAt(aborted.Type(), unsafe.Pointer(aborted.UnsafeAddr())).Elem().SetZero() //nolint:gosec // see abortedIn
		}
	}
}
