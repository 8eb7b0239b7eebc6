package onnx

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// zipMap is what scikit-learn's and LightGBM's exporters end classifiers with unless they are told otherwise: it makes a sequence of maps, one
// for each row, of a matrix of probabilities.
const zipMap = "ai.onnx.ml.ZipMap"

// unzip takes the maps out of an ONNX file: the outputs keep their names, and are the matrices that the maps were made of. A map
// for each row costs more than most such models do. The fields are numbered as in onnx.proto.
func unzip(model []byte) ([]byte, error) {
	var zipped []string
	graphs := 0
	whole, err := rewritten(model, func(num protowire.Number, graph []byte) ([]byte, error) {
		if num != 7 {
			return graph, nil
		}
		graphs++
		nodes, err := rewritten(graph, func(num protowire.Number, content []byte) ([]byte, error) {
			if num != 1 {
				return content, nil
			}
			n, err := parseNode(content, 0)
			if err != nil || n.op != zipMap {
				return content, err
			}
			if len(n.inputs) != 1 || len(n.outputs) != 1 {
				return nil, fmt.Errorf("a ZipMap has %d inputs and %d outputs: want one of each", len(n.inputs), len(n.outputs))
			}
			zipped = append(zipped, n.outputs[0])
			return identity(n.inputs[0], n.outputs[0]), nil
		})
		if err != nil {
			return nil, err
		}
		return rewritten(nodes, func(num protowire.Number, content []byte) ([]byte, error) {
			if num != 12 {
				return content, nil
			}
			info, err := parseValueInfo(content)
			if err != nil || !slices.Contains(zipped, info.Name) {
				return content, err
			}
			return matrixInfo(info.Name), nil
		})
	})
	if err == nil && graphs != 1 {
		err = errors.New("it has no graph")
	}
	return whole, err
}

// rewritten is a message with other contents in its fields that have a length.
func rewritten(message []byte, change func(num protowire.Number, content []byte) ([]byte, error)) ([]byte, error) {
	out := make([]byte, 0, len(message)+64)
	for len(message) > 0 {
		num, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return nil, protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(num, kind, message[tag:])
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		field := message[:tag+size]
		message = message[tag+size:]
		if kind != protowire.BytesType {
			out = append(out, field...)
			continue
		}
		content, _ := protowire.ConsumeBytes(field[tag:])
		content, err := change(num, content)
		if err != nil {
			return nil, err
		}
		out = protowire.AppendTag(out, num, kind)
		out = protowire.AppendBytes(out, content)
	}
	return out, nil
}

// identity is the NodeProto of an Identity.
func identity(input, output string) (node []byte) {
	for _, field := range []struct {
		num  protowire.Number
		text string
	}{{1, input}, {2, output}, {4, "Identity"}} {
		node = protowire.AppendTag(node, field.num, protowire.BytesType)
		node = protowire.AppendString(node, field.text)
	}
	return node
}

// matrixInfo is the ValueInfoProto of a float32 matrix whose sizes are not stated.
func matrixInfo(name string) []byte {
	message := func(num protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), content)
	}
	shape := append(message(1, nil), message(1, nil)...)                                                 // two dimensions
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(Float32)) //nolint:gosec // 1
	tensor = append(tensor, message(2, shape)...)
	return append(message(1, []byte(name)), message(2, message(1, tensor))...)
}
