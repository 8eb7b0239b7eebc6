package onnx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"nearline/internal/files"
)

// Graph is what an ONNX file says of itself.
type Graph struct {
	Producer string // such as "pytorch 2.4.0"
	// Opset is the version of the default operator set.
	Opset int64
	// Inputs that a run has to be given, and Outputs, in the graph's order.
	Inputs, Outputs []Info
	// Ops counts the nodes by operator, subgraphs and functions included. An operator outside the default domain is
	// named with it: "com.microsoft.Attention".
	Ops map[string]int
	// External are the files that weights lie in, beside the graph, in the order in which it names them.
	External []External
	// Weights counts the values of the initializers by their type, those that lie in other files included.
	Weights map[Type]int64
	// Coupled says why rows of a batch move each other's answers; "" says that nothing of the kind was found. Such a
	// graph computes a quantisation scale while it runs, over the whole batch: its rows have to be run one at a time.
	Coupled string
	// Classes are the names of the classes that a classifier of scikit-learn's kind has in itself, in the order of its probabilities;
	// nil where there are none, or several classifiers that do not agree.
	Classes []string
	// Zipped are outputs that are sequences of maps in the file, from classes to probabilities. Open makes matrices of them, as Outputs have it.
	Zipped []string
	// Sets are outputs that say of each of several labels whether a row has it: whole numbers, a column for each label, as classifiers
	// of scikit-learn's kind have them that were trained on several labels.
	Sets []string
}

// External is a file of weights.
type External struct {
	File string // relative to the graph's folder, with slashes
	Size int64  // that it has at least, as far as the graph says
}

// Input finds an input by name.
func (g *Graph) Input(name string) (Info, bool) { return find(g.Inputs, name) }

// Output finds an output by name.
func (g *Graph) Output(name string) (Info, bool) { return find(g.Outputs, name) }

func find(infos []Info, name string) (Info, bool) {
	for _, i := range infos {
		if i.Name == name {
			return i, true
		}
	}
	return Info{}, false
}

// maxNode bounds what Inspect reads into memory at once. Weights are initializers, which are passed by; what is left is
// nodes, whose attributes are small, but for a forest's, which is one node.
const maxNode = 512 << 20

// Inspect reads the ONNX file at path. Weights are passed by, so that it costs a read of the file and little memory;
// external data is not opened.
//
// The fields are numbered as in onnx.proto of ONNX 1.17; other fields are ignored, as protocol buffers ask for.
func Inspect(path string) (*Graph, error) {
	file, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("inspect model: %w", err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("inspect model %s: %w", path, err)
	}
	graph, err := inspect(file, stat.Size())
	if err != nil {
		return nil, fmt.Errorf("inspect model %s: it is not a whole ONNX file: %w", path, err)
	}
	return graph, nil
}

var errTruncated = errors.New("it ends in the middle")

// inspector walks a file once, from its beginning to its end.
type inspector struct {
	graph        Graph
	initializers map[string]bool
	inputs       []Info // initializers included, as files of IR version 3 list them
	nodes        []node
	hasGraph     bool
}

// node is what is kept of a NodeProto.
type node struct {
	op              string // with its domain, unless it is the default one
	inputs, outputs []string
	bodies          [][]node // of the graphs in its attributes
	classes         []string // of a classifier, or of what makes maps of its probabilities
}

func inspect(r io.Reader, size int64) (*Graph, error) {
	in := &inspector{graph: Graph{Ops: map[string]int{}, Weights: map[Type]int64{}}, initializers: map[string]bool{}}
	if err := in.model(&section{r: bufio.NewReaderSize(r, 1<<16), left: size}); err != nil {
		return nil, asTruncated(err)
	}
	if !in.hasGraph {
		return nil, errors.New("it has no graph")
	}
	for _, i := range in.inputs {
		if !in.initializers[i.Name] {
			in.graph.Inputs = append(in.graph.Inputs, i)
		}
	}
	in.judge(in.nodes, in.initializers)
	in.classify()
	return &in.graph, nil
}

// model reads a ModelProto.
func (in *inspector) model(s *section) error {
	var producer, producerVersion string
	err := s.fields(func(num protowire.Number, size int64) error {
		switch num {
		case 2, 3: // producer_name, producer_version
			b, err := s.bytes(size)
			if num == 2 {
				producer = string(b)
			} else {
				producerVersion = string(b)
			}
			return err
		case 7: // graph
			in.hasGraph = true
			return s.message(size, in.topGraph)
		case 8: // opset_import
			b, err := s.bytes(size)
			if err != nil {
				return err
			}
			return in.opset(b)
		case 25: // functions
			b, err := s.bytes(size)
			if err != nil {
				return err
			}
			nodes, err := parseNodes(b, 7, 0)
			if err != nil {
				return err
			}
			// What a function is given may be computed, so nothing in it is taken for constant.
			in.judge(nodes, map[string]bool{})
			return nil
		}
		return s.skip(size)
	})
	in.graph.Producer = strings.TrimSpace(producer + " " + producerVersion)
	return err
}

// topGraph reads the model's GraphProto, streaming.
func (in *inspector) topGraph(s *section) error {
	return s.fields(func(num protowire.Number, size int64) error {
		switch num {
		case 1: // node
			b, err := s.bytes(size)
			if err != nil {
				return err
			}
			n, err := parseNode(b, 0)
			in.nodes = append(in.nodes, n)
			return err
		case 5: // initializer
			return s.message(size, in.initializer)
		case 15: // sparse_initializer: its values are a TensorProto that has the name
			return s.message(size, func(s *section) error {
				return s.fields(func(num protowire.Number, size int64) error {
					if num == 1 {
						return s.message(size, in.initializer)
					}
					return s.skip(size)
				})
			})
		case 11, 12: // input, output
			b, err := s.bytes(size)
			if err != nil {
				return err
			}
			info, err := parseValueInfo(b)
			if num == 11 {
				in.inputs = append(in.inputs, info)
			} else {
				in.graph.Outputs = append(in.graph.Outputs, info)
			}
			return err
		}
		return s.skip(size)
	})
}

// initializer reads a TensorProto's name, type and shape, and passes its data by.
func (in *inspector) initializer(s *section) error {
	kind, values := Type(0), int64(1)
	grow := func(dim uint64) { // what is no size of a tensor counts for nothing
		if dim > 1<<32 || values > 1<<40 {
			dim = 0
		}
		values *= int64(dim)
	}
	s.number = func(num protowire.Number, value uint64) {
		switch num {
		case 1: // dims
			grow(value)
		case 2: // data_type
			kind = Type(value)
		}
	}
	var external [][]byte
	err := s.fields(func(num protowire.Number, size int64) error {
		if num != 1 && num != 8 && num != 13 {
			return s.skip(size)
		}
		b, err := s.bytes(size)
		if num == 8 {
			in.initializers[string(b)] = true
			return err
		}
		if num == 13 {
			external = append(external, b)
			return err
		}
		for len(b) > 0 && err == nil { // dims, packed
			dim, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			grow(dim)
			b = b[n:]
		}
		return err
	})
	in.graph.Weights[kind] += values
	if err != nil || external == nil {
		return err
	}
	return in.external(external)
}

// external takes note of where a tensor lies, by the StringStringEntryProtos of its external_data.
func (in *inspector) external(entries [][]byte) error {
	var e External
	var offset, length int64
	for _, b := range entries {
		var key, value string
		err := eachField(b, func(num protowire.Number, content []byte, _ uint64) error {
			switch num {
			case 1:
				key = string(content)
			case 2:
				value = string(content)
			}
			return nil
		})
		if err != nil {
			return err
		}
		switch key {
		case "location":
			e.File = value
		case "offset":
			offset, err = strconv.ParseInt(value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return fmt.Errorf("external data: %s is %q", key, value)
		}
	}
	if offset >= 0 && length >= 0 && length <= math.MaxInt64-offset {
		e.Size = offset + length
	}
	// A graph has hundreds of tensors in one file, one after the other.
	if n := len(in.graph.External); n > 0 && in.graph.External[n-1].File == e.File {
		in.graph.External[n-1].Size = max(in.graph.External[n-1].Size, e.Size)
	} else {
		in.graph.External = append(in.graph.External, e)
	}
	return nil
}

func (in *inspector) opset(b []byte) error {
	var domain string
	var version int64
	err := eachField(b, func(num protowire.Number, value []byte, number uint64) error {
		switch num {
		case 1:
			domain = string(value)
		case 2:
			version = int64(number)
		}
		return nil
	})
	if domain == "" || domain == "ai.onnx" {
		in.graph.Opset = version
	}
	return err
}

// maxDepth bounds how deep graphs may lie in the attributes of nodes.
const maxDepth = 16

// parseNodes reads the nodes out of a GraphProto (field 1) or a FunctionProto (field 7).
func parseNodes(b []byte, field protowire.Number, depth int) ([]node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("graphs lie in each other more than %d deep", maxDepth)
	}
	var nodes []node
	err := eachField(b, func(num protowire.Number, value []byte, _ uint64) error {
		if num != field || value == nil {
			return nil
		}
		n, err := parseNode(value, depth)
		nodes = append(nodes, n)
		return err
	})
	return nodes, err
}

func parseNode(b []byte, depth int) (node, error) {
	var n node
	var domain string
	err := eachField(b, func(num protowire.Number, value []byte, _ uint64) error {
		switch num {
		case 1:
			n.inputs = append(n.inputs, string(value))
		case 2:
			n.outputs = append(n.outputs, string(value))
		case 4:
			n.op = string(value)
		case 5:
			return parseAttribute(value, &n, depth)
		case 7:
			domain = string(value)
		}
		return nil
	})
	if domain != "" && domain != "ai.onnx" {
		n.op = domain + "." + n.op
	}
	return n, err
}

// parseAttribute keeps the graphs of an AttributeProto, as an If or a Loop has them, and the names of classes.
func parseAttribute(b []byte, n *node, depth int) error {
	if err := parseClasses(b, n); err != nil {
		return err
	}
	return eachField(b, func(num protowire.Number, value []byte, _ uint64) error {
		if (num != 6 && num != 11) || value == nil { // g, graphs
			return nil
		}
		body, err := graphBody(value, depth+1)
		if err != nil {
			return err
		}
		n.bodies = append(n.bodies, body)
		return nil
	})
}

// graphBody reads a subgraph's nodes. Its own initializers become nodes without inputs: constants.
func graphBody(b []byte, depth int) ([]node, error) {
	var names []string
	err := eachField(b, func(num protowire.Number, value []byte, _ uint64) error {
		if num != 5 {
			return nil
		}
		return eachField(value, func(num protowire.Number, value []byte, _ uint64) error {
			if num == 8 {
				names = append(names, string(value))
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	nodes, err := parseNodes(b, 1, depth)
	if len(names) > 0 {
		nodes = slices.Insert(nodes, 0, node{op: "Constant", outputs: names})
	}
	return nodes, err
}

// parseValueInfo reads a ValueInfoProto of a tensor.
func parseValueInfo(b []byte) (Info, error) {
	var info Info
	tensor := func(num protowire.Number, value []byte, number uint64) error { // TypeProto.Tensor
		switch num {
		case 1:
			info.Type = Type(number)
		case 2:
			info.Shape = []int64{}
			return eachField(value, func(num protowire.Number, value []byte, _ uint64) error { // TensorShapeProto
				if num != 1 {
					return nil
				}
				dim := int64(-1)
				err := eachField(value, func(num protowire.Number, _ []byte, number uint64) error { // Dimension
					if num == 1 {
						dim = max(int64(number), -1)
					}
					return nil
				})
				info.Shape = append(info.Shape, dim)
				return err
			})
		}
		return nil
	}
	err := eachField(b, func(num protowire.Number, value []byte, _ uint64) error {
		switch num {
		case 1:
			info.Name = string(value)
		case 2: // TypeProto
			return eachField(value, func(num protowire.Number, value []byte, _ uint64) error {
				switch num {
				case 1: // tensor_type
					return eachField(value, tensor)
				case 4: // sequence_type
					info.Type = Sequence
				}
				return nil
			})
		}
		return nil
	})
	return info, err
}
