package onnx

import "strings"

// judge counts the operators and looks for what couples rows, given the names whose values are constant. Nodes come
// in an order in which each follows those that it reads from; ONNX demands it.
func (in *inspector) judge(nodes []node, constant map[string]bool) {
	known := make(map[string]bool, len(constant)+len(nodes))
	for name := range constant {
		known[name] = true
	}
	for _, n := range nodes {
		in.graph.Ops[n.op]++
		if in.graph.Coupled == "" {
			in.graph.Coupled = coupling(n, known)
		}
		fixed := !strings.HasPrefix(n.op, "Random") && len(n.bodies) == 0
		for _, name := range n.inputs {
			fixed = fixed && (name == "" || known[name])
		}
		for _, name := range n.outputs {
			known[name] = fixed
		}
		for _, body := range n.bodies {
			in.judge(body, known)
		}
	}
}

// scaleInputs are the operators that quantise with a scale that they are given, and which inputs are such scales.
var scaleInputs = map[string][]int{
	"QuantizeLinear":                  {1},
	"QLinearMatMul":                   {1, 4, 6},
	"QLinearConv":                     {1, 4, 6},
	"com.microsoft.QuantizeLinear":    {1},
	"com.microsoft.QAttention":        {3, 4},
	"com.microsoft.QGemm":             {1, 4, 7},
	"com.microsoft.QLinearAdd":        {1, 4, 6},
	"com.microsoft.QLinearMul":        {1, 4, 6},
	"com.microsoft.QLinearLeakyRelu":  {1, 3},
	"com.microsoft.QLinearSigmoid":    {1, 3},
	"com.microsoft.QLinearSoftmax":    {1, 3},
	"com.microsoft.QLinearReduceMean": {1, 3},
}

// coupling says why the node makes rows of a batch depend on each other, or "".
func coupling(n node, constant map[string]bool) string {
	op := n.op[strings.LastIndexByte(n.op, '.')+1:]
	switch {
	case strings.HasPrefix(op, "DynamicQuantize"):
		return op + " takes the scale of its activations over the whole batch"
	case op == "MatMulNBits":
		// Seen: answers move by up to 0.005 with the number of rows, as other kernels are chosen.
		return op + " computes differently for different numbers of rows"
	}
	for _, i := range scaleInputs[n.op] {
		if i < len(n.inputs) && n.inputs[i] != "" && !constant[n.inputs[i]] {
			return op + " quantises with a scale that is computed while it runs"
		}
	}
	return ""
}
