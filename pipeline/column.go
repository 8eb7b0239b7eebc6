package pipeline

// Column is one that a model of tables reads.
type Column struct {
	Name string `json:"name"`
	// Text says that it has texts; otherwise it has numbers.
	Text bool `json:"text,omitempty"`
	// Whole says that its numbers are whole ones, of which none may be missing. Others are missing where they are not numbers (NaN).
	Whole bool `json:"whole,omitempty"`
}

func (c Column) String() string {
	switch {
	case c.Text:
		return c.Name + " (text)"
	case c.Whole:
		return c.Name + " (whole number)"
	}
	return c.Name
}

// CandidateID is what the id of a candidate is called, in the inputs of its columns and in a ranking.
const CandidateID = "item_id"

// CandidateList is what a row has to be ranked.
type CandidateList struct {
	// Items are the candidates' ids, each once, in the order in which they first came.
	Items []string
	// Numbers and Texts are the columns of all of them, one after the other, as the model reads them.
	Numbers []float64
	Texts   []string
	// History is what somebody had before, oldest first, for a model that reads it.
	History []string
	// Fields go into the result beside the ranking.
	Fields []Field
}
