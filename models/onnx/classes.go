package onnx

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// classify takes note of classes, of outputs that are made into maps by them, and of those that say which of several labels a row has.
func (in *inspector) classify() {
	var own, mapped [][]string // of classifiers, and of maps, which come last and have the names that the model answers with
	for _, n := range in.nodes {
		switch {
		case n.classes == nil:
		case n.op != zipMap:
			own = append(own, n.classes)
		default:
			mapped = append(mapped, n.classes)
			for i := range in.graph.Outputs {
				if out := &in.graph.Outputs[i]; slices.Contains(n.outputs, out.Name) {
					out.Type, out.Shape = Float32, []int64{-1, int64(len(n.classes))}
					in.graph.Zipped = append(in.graph.Zipped, out.Name)
				}
			}
		}
	}
	in.graph.Classes = agreed(own)
	if len(mapped) > 0 {
		in.graph.Classes = agreed(mapped)
	}
	for _, o := range in.graph.Outputs {
		if whole := o.Type == Int64 || o.Type == Int32; whole && (len(o.Shape) == 2 && o.Shape[1] > 1 || in.binarized(o.Name)) {
			in.graph.Sets = append(in.graph.Sets, o.Name)
		}
	}
}

// agreed are the classes that all have, nil where they differ.
func agreed(classes [][]string) []string {
	if len(classes) == 0 || slices.ContainsFunc(classes, func(other []string) bool { return !slices.Equal(other, classes[0]) }) {
		return nil
	}
	return classes[0]
}

// binarized says that an output has the bits of a Binarizer, whatever shape the file states: neural networks of scikit-learn state that of one label.
func (in *inspector) binarized(output string) bool {
	for range in.nodes { // as long as a chain may be
		at := slices.IndexFunc(in.nodes, func(n node) bool { return slices.Contains(n.outputs, output) })
		if at < 0 || len(in.nodes[at].inputs) == 0 {
			return false
		}
		switch n := in.nodes[at]; n.op {
		case "ai.onnx.ml.Binarizer":
			return true
		case "Cast", "Identity":
			output = n.inputs[0]
		default:
			return false
		}
	}
	return false
}

// parseClasses reads classlabels_strings, classlabels_int64s and classlabels_ints, as operators of ai.onnx.ml have them.
func parseClasses(b []byte, n *node) error {
	named := false
	err := eachField(b, func(num protowire.Number, value []byte, _ uint64) error {
		named = named || num == 1 && strings.HasPrefix(string(value), "classlabels_")
		return nil
	})
	if err != nil || !named {
		return err
	}
	number := func(v uint64) { n.classes = append(n.classes, strconv.FormatInt(int64(v), 10)) } //nolint:gosec // as protocol buffers have it
	return eachField(b, func(num protowire.Number, value []byte, single uint64) error {
		switch {
		case num == 8 && value == nil: // ints
			number(single)
		case num == 8: // packed
			for len(value) > 0 {
				v, size := protowire.ConsumeVarint(value)
				if size < 0 {
					return protowire.ParseError(size)
				}
				number(v)
				value = value[size:]
			}
		case num == 9: // strings
			n.classes = append(n.classes, string(value))
		}
		return nil
	})
}
