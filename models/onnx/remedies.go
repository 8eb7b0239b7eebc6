package onnx

import "strings"

// remedies say what to do about a graph that the runtime refuses to open, by the runtime's words.
var remedies = []struct{ words, remedy string }{
	{"unsupported model ir version",
		"the file is newer than this ONNX Runtime: want a newer library, or an export by an older version of its tool"},
	{"is under development and support for this is limited",
		"the graph's opset is newer than this ONNX Runtime: want a newer library, or an export with a lower opset, such as 20"},
	{"is not a registered function/op",
		"the graph has an operator that this ONNX Runtime does not: want a newer library where its domain is com.microsoft, or else an " +
			"export of standard operators alone"},
	{"no op registered for",
		"the graph has an operator that its opset does not: want another export"},
	{"could not find an implementation",
		"the runtime does not have this operator in this type, on this device: want an export in float32"},
	{"does not match expected type",
		"the graph contradicts itself, as some converters to float16 leave it: want it converted by onnxruntime.transformers.float16, " +
			"or the float32 that it was made from"},
}

// remedied adds to what the runtime said what to do about it, where that is known.
func remedied(message string) string {
	lower := strings.ToLower(message)
	for _, r := range remedies {
		if strings.Contains(lower, r.words) {
			return message + "; " + r.remedy
		}
	}
	return message
}
